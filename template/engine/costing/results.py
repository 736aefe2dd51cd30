"""What the stage `cost` writes: ``reports/measured/cost.json``, and the tokens alone to ``reports/usage.json``."""

import math

from engine.core.interval import Range
from engine.core.io import Result
from engine.costing.cost_arithmetic import Band
from engine.inference.results import Latency


def as_range(band: Band) -> Range:
    """A band for JSON, which knows no infinity: a bound that is not reached is null."""
    return Range(*(None if math.isinf(value) else float(f"{value:.6g}") for value in band))


class Usage(Result, frozen=True, kw_only=True):
    """Mean tokens of one request and its answer; None if a server does not count them."""

    prompt_tokens_per_request: float | None
    completion_tokens_per_request: float | None


class UsageReport(Result, frozen=True, kw_only=True):
    """The tokens of every arm: the same on every run."""

    arms: dict[str, Usage]


class ArmCost(Usage, frozen=True, kw_only=True):
    """Tokens, latency and dollars of one arm."""

    seconds_per_request: float
    latency_seconds: Latency
    usd_per_1000_requests: Range | None
    usd_per_month: Range | None


class Machine(Result, frozen=True, kw_only=True):
    """The machine that is priced; ``key`` is its row in the price list."""

    key: str
    title: str
    usd_per_hour: Range | None
    source: str
    date: str | None


class Hosted(Result, frozen=True, kw_only=True):
    """Dollars for 1,000 of each arm's requests to a hosted model."""

    title: str
    source: str | None
    date: str | None
    arms: dict[str, Range | None]


class TrainingCost(Result, frozen=True, kw_only=True):
    """Seconds and dollars of the training run."""

    seconds: float
    steps: int
    usd: Range | None


class BreakEven(Result, frozen=True, kw_only=True):
    """Requests after which training is paid for, or why there is no such number."""

    against: str
    requests: Range | str
    reason: str


class RouteCost(Result, frozen=True, kw_only=True, omit_defaults=True):
    """One way to run the service; ``break_even`` in requests a month, if there is a hosted model to compare with."""

    arm: str
    once: dict[str, float]
    monthly: dict[str, float]
    usd_per_month: Range
    usd_three_years: Range
    break_even: Range | None = None


class FigureSwing(Result, frozen=True, kw_only=True):
    """What one figure at its low and at its high end does to the three-year cost."""

    figure: str
    low: float
    high: float
    usd_at_low: float
    usd_at_high: float


class Tornado(Result, frozen=True, kw_only=True):
    """The swings of a route, the widest first; no route if none of a rented machine is priced."""

    of: str | None
    swings: list[FigureSwing]


class Ownership(Result, frozen=True, kw_only=True):
    """The total cost of ownership by route, and where each price comes from."""

    years: int
    routes: dict[str, RouteCost]
    tornado: Tornado
    sources: dict[str, str]


class PlannedFigure(Result, frozen=True, kw_only=True):
    """A planned figure beside the measured one; ``off`` is their ratio."""

    figure: str
    planned: Range
    measured: float
    off: float | None
    within: bool


class CostReport(Result, frozen=True, kw_only=True):
    """Everything that the stage found."""

    hardware: Machine
    measured_on: str
    utilisation: float
    monthly_requests: int
    arms: dict[str, ArmCost]
    hosted: dict[str, Hosted]
    training: TrainingCost | None
    break_even: BreakEven | None
    warnings: list[str]
    assumptions: list[str]
    ownership: Ownership
    plan: list[PlannedFigure]
