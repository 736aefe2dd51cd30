"""``reports/verdict.json``: the decision for programs, what `gate`, CI and `tunesmith` read."""

import msgspec

from engine.core.artifacts import REPORT_PAGE
from engine.core.interval import Interval, Range
from engine.core.io import Result
from engine.costing.results import BreakEven, CostReport
from engine.evaluation.results import Scores, Verdict


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


def verdict(scores: Scores, cost: CostReport) -> VerdictFile:
    """The verdict of a project."""
    return VerdictFile(
        **msgspec.structs.asdict(scores.verdict),
        smoke=scores.smoke,
        primary_metric=scores.primary_metric,
        arms=scores.primary,
        cost=CostInBrief(
            usd_per_1000_requests={arm: priced.usd_per_1000_requests for arm, priced in cost.arms.items()},
            training_usd=cost.training.usd if cost.training else None,
            break_even=cost.break_even,
        ),
        report=str(REPORT_PAGE),
    )
