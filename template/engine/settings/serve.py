"""Group `serve`."""

from engine.core.params import Group, PositiveInt
from engine.settings.evaluate import EvaluateParams
from engine.settings.model import ModelParams
from engine.settings.retrieval import RetrievalSettings
from engine.settings.train import TrainSettings


class ServeSettings(Group):
    """How the shipped artefact is tried out."""

    parity_items: PositiveInt  # benchmark items answered again by the real server


class ServeParams(EvaluateParams, ModelParams):
    """What serving an arm needs to know; a project may lack two of the groups."""

    serve: ServeSettings
    retrieval: RetrievalSettings | None = None
    train: TrainSettings | None = None
