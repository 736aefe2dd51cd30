"""Group `harness`."""

from typing import Annotated

from pydantic import Field

from engine.core.params import Group, PositiveInt
from engine.settings.evaluate import EvaluateParams


class HarnessSettings(Group):
    suites: list[str]  # evals/suites/<name>.yaml, or a task of lm-eval's own
    suite_items: PositiveInt | None  # at most this many items of a suite; null: all
    domain_items: PositiveInt | None  # benchmark items that every arm repeats; null: all
    margin: Annotated[float, Field(gt=0, lt=1)]  # the loss on a suite that matters


class HarnessParams(EvaluateParams):
    """What runs of lm-eval need to know."""

    harness: HarnessSettings
