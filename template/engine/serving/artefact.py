"""The folder that is served: the tuned model as it was evaluated, or the untouched base model."""

from pathlib import Path

from engine.core.device import prepare
from engine.core.display import family
from engine.core.params import needed
from engine.models.base import base_model
from engine.settings.serve import ServeParams


def artefact(arm: str, settings: ServeParams) -> Path:
    """The folder to serve: the tuned model as it was evaluated, or the untouched base model."""
    if family(arm) != "tuned":
        return base_model(settings)
    # Only an arm that was trained gets here: a project without training has no such module.
    from engine.models.merge_adapter import served_model  # type: ignore[import-not-found,unused-ignore]

    train = needed(settings.train, "train")
    folder: Path = served_model(settings, train, prepare(settings.seed, train.compute_dtype))
    return folder
