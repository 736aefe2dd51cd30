"""Group `gate`."""

from typing import Literal

from engine.core.params import Fraction, Group
from engine.settings.evaluate import EvaluateParams
from engine.settings.harness import HarnessSettings


class GateSettings(Group):
    verdict: Literal["any", "ships", "goal"]  # ships: one that ships nothing stops; goal: so does another approach's
    allow_contamination: bool  # true: evaluation items in the training data or the documents do not stop
    minimum_parity: Fraction
    require_no_regression: bool = False  # true: a suite not shown to have held fails `dvc repro`


class GateParams(EvaluateParams):
    """What the gate needs to know; a project without lm-eval lacks the group `harness`."""

    gate: GateSettings
    harness: HarnessSettings | None = None
