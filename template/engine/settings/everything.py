"""The whole of ``params.yaml``. No stage reads it: a new knob of any group would change the code of that stage."""

from pathlib import Path

from engine.core.artifacts import PARAMS
from engine.core.params import load
from engine.settings.cost import CostParams, CostSettings
from engine.settings.curate import CurateParams, CurateSettings
from engine.settings.data import DataSettings
from engine.settings.gate import GateParams
from engine.settings.harness import HarnessParams, HarnessSettings
from engine.settings.judge import JudgeParams, JudgeSettings
from engine.settings.report import ReportParams
from engine.settings.retrieval import RetrievalParams, RetrievalSettings
from engine.settings.serve import ServeParams
from engine.settings.train import FormatSettings, TrainParams, TrainSettings


class Everything(
    CurateParams,
    RetrievalParams,
    JudgeParams,
    HarnessParams,
    CostParams,
    ServeParams,
    GateParams,
    ReportParams,
    TrainParams,
):
    """The whole file. A group that the project's approach has no use for is absent."""

    curate: CurateSettings  # type: ignore[assignment]
    cost: CostSettings  # type: ignore[assignment]
    data: DataSettings | None = None
    format: FormatSettings | None = None  # type: ignore[assignment]
    train: TrainSettings | None = None  # type: ignore[assignment]
    retrieval: RetrievalSettings | None = None  # type: ignore[assignment]
    judge: JudgeSettings | None = None  # type: ignore[assignment]
    harness: HarnessSettings | None = None  # type: ignore[assignment]


def load_all(path: Path = PARAMS) -> Everything:
    """Read and check all of ``params.yaml``. Raises `ProjectError`, which names all faults."""
    settings: Everything = load(Everything, path)
    return settings
