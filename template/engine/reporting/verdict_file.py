"""``reports/verdict.json``: the decision for programs, what `gate`, CI and `tunesmith` read."""

from engine.core.interval import Interval, Range
from engine.core.io import Result
from engine.costing.results import BreakEven
from engine.evaluation.results import Verdict


class CostInBrief(Result, frozen=True, kw_only=True):
    """Dollars of each arm and of training."""

    usd_per_1000_requests: dict[str, Range | None]
    training_usd: Range | None
    break_even: BreakEven | None


class VerdictFile(Verdict, frozen=True, kw_only=True):
    """The verdict with the scores and the costs that it rests on."""

    smoke: bool
    primary_metric: str
    arms: dict[str, Interval]
    cost: CostInBrief
    report: str
