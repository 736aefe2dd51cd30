"""Group `model`."""

from typing import Literal

from engine.core.params import Fraction, Group, Params, Part


class ModelSettings(Group):
    """Where the base model comes from, pinned so that it can never change unnoticed."""

    name: str
    source: Literal["package", "hub", "path"]
    id: str  # package: "name==version"; hub: "owner/name"; path: a folder
    file: str | None = None  # package only: the GGUF file inside the wheel
    sha256: str | None = None  # package only: of that file
    revision: str | None = None  # hub only: a full commit hash


class ModelParams(Params):
    """What loading the base model needs to know."""

    model: ModelSettings


class Duplicates(Part):
    """What decides in the group `curate` whether the embedding model is needed."""

    semantic_threshold: Fraction | None = None


class Similarity(Part):
    """What decides it in the group `evaluate`."""

    similarity: bool = False


class FetchParams(ModelParams):
    """What fetching the models ahead needs to know."""

    curate: Duplicates
    evaluate: Similarity

    @property
    def embeds(self) -> bool:
        """Whether any stage needs the embedding model."""
        return self.retrieves or self.curate.semantic_threshold is not None or self.evaluate.similarity
