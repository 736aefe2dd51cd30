"""What `advise` works out: the approach to take, and what each approach would cost."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.costing.price_list import Figure, PriceError
from tunesmith.costs import cost_inputs, estimate, prices
from tunesmith.costs.estimate import Estimate
from tunesmith.decision import Advice, advise
from tunesmith.errors import Problem, SpecError
from tunesmith.planner.plan import Plan, plan
from tunesmith.planner.plan_inputs import RowLengths
from tunesmith.spec import Spec

LISTED = "`tunesmith catalog prices` prints every price"


@dataclass(frozen=True)
class Assessment:
    """The decision for a spec, and an estimate of each approach. ``stale`` names the prices that should be checked."""

    spec: Spec
    advice: Advice
    estimates: list[Estimate]
    stale: list[str]


def assess(spec: Spec, override: Path | None = None, rows: RowLengths | None = None) -> Assessment:
    """Advice and estimates for a spec; ``override`` is a user's own price file, ``rows`` are the user's, counted.

    Raises:
        SpecError: there is no price for something that the spec names.
        FileProblem: the price file cannot be read.
    """
    try:
        listed = prices.load(spec.catalogue, override)
        planned = plan(spec.catalogue, spec.answers, spec.pins, rows_counted=rows, prices=prices.machines(listed))
        inputs = cost_inputs.of_plan(planned, listed)
    except PriceError as error:
        raise SpecError("prices", [Problem(error.where, f"{error.what}; {error.fix}")], LISTED) from None
    today = dt.date.today()
    stale = [_row_and_name(name, figure) for name, figure in inputs.used.items() if figure.old(today)]
    estimates = estimate.estimates(spec.answers, inputs, planned)
    return Assessment(spec, advise(spec.answers), estimates, stale)


def owned(planned: Plan, listed: Mapping[str, Any]) -> list[Estimate]:
    """What the chosen approach costs to own, by route.

    Raises:
        PriceError: a price is missing.
    """
    return estimate.owned(planned.answers, cost_inputs.of_plan(planned, listed), planned)


def _row_and_name(name: str, figure: Figure) -> str:
    """The name of a price after that of its row, if the row has several prices."""
    return name if figure.title == name else f"{figure.title}: {name}"
