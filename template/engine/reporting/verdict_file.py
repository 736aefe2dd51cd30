"""Stage `report`: everything that was measured, as one page that works offline, a model card and a verdict file."""

from typing import Any

from engine.core.artifacts import REPORT_PAGE
from engine.reporting.inputs import Facts


def verdict(facts: Facts) -> dict[str, Any]:
    """The decision for programs: what `gate`, CI and `tunesmith` read."""
    primary = facts.scores["primary_metric"]
    return {
        **facts.scores["verdict"],
        "smoke": facts.scores["smoke"],
        "primary_metric": primary,
        "arms": {arm: metrics[primary] for arm, metrics in facts.scores["arms"].items()},
        "cost": {
            "usd_per_1000_requests": {arm: cost["usd_per_1000_requests"] for arm, cost in facts.cost["arms"].items()},
            "training_usd": facts.cost["training"]["usd"] if facts.cost["training"] else None,
            "break_even": facts.cost["break_even"],
        },
        "report": str(REPORT_PAGE),
    }
