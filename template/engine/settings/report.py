"""What the report and the model card read."""

from engine.settings.evaluate import EvaluateParams
from engine.settings.harness import HarnessSettings
from engine.settings.model import ModelParams
from engine.settings.train import TrainSettings


class ReportParams(EvaluateParams, ModelParams):
    """What the report needs to know; a project may lack two of the groups."""

    harness: HarnessSettings | None = None
    train: TrainSettings | None = None
