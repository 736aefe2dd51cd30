"""What each approach would cost, as a project records it on the day it is generated; its DECISION.md shows it."""

import math
from typing import Any

from tunesmith import catalog
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costs import cost_inputs, estimate, prices
from tunesmith.costs.estimate import Estimate
from tunesmith.planner.plan import Plan


def decision_costs(made: Plan) -> dict[str, Any]:
    """The approaches with their dollars at the listed prices; empty if the list lacks a price that they need.

    A user's own prices and the optional price package are left out, so that the same spec gives the same figures
    everywhere.
    """
    answers, listed = made.answers, catalog.table("prices.yaml")
    if answers["hosted_model"] not in listed["hosted"]:
        return {}
    try:
        found = cost_inputs.of_plan(made, listed)
    except prices.PriceError:
        return {}
    rows = [_row(row) for row in estimate.estimates(answers, found, made)]
    oldest = min(str(figure.date) for figure in found.used.values() if figure.date)
    return {"monthly_requests": answers["monthly_requests"], "oldest_price": oldest, "approaches": rows}


def _row(row: Estimate) -> dict[str, Any]:
    bands = ("once_usd", "per_1000_usd", "three_years_usd")
    found: dict[str, Any] = {"title": row.title, **{name: _bounds(getattr(row, name)) for name in bands}}
    if row.break_even:
        found |= {"against": row.against, "break_even": _bounds(row.break_even)}
    return found


def _bounds(band: Band) -> dict[str, float | None]:
    """To three figures; None if the bound is infinite."""
    return {name: None if math.isinf(value) else float(f"{value:.3g}") for name, value in band._asdict().items()}
