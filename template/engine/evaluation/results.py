"""What the stage `evaluate` writes to ``reports/scores.json``, and `serve` to ``reports/serve.json``."""

from engine.core.display import in_order, model_of
from engine.core.interval import Interval
from engine.core.io import Result


class Rule(Result, frozen=True):
    """One question the verdict asks, its answer, and the numbers behind it."""

    rule: str
    holds: bool
    detail: str


class Gain(Result, frozen=True, kw_only=True):
    """The challenger minus another arm."""

    difference: float
    p_value: float
    p_holm: float


class Verdict(Result, frozen=True, kw_only=True):
    """What to ship, the deciding comparison, and how every other arm compares."""

    decision: str
    ship: str | None
    reason: str
    challenger: str  # the arm that has to show that it is better
    best_baseline: str  # the best arm of the cheaper approaches
    difference: Interval
    p_value: float
    permutation_p_value: float
    test: str
    alpha: float
    items: int
    discordant: int
    minimum_effect: float
    detectable_effect: float
    required_items: int
    comparisons: dict[str, Gain]
    why_not: dict[str, str]
    trace: list[Rule]


class Pair(Interval, frozen=True, kw_only=True):
    """The first arm minus the second one."""

    first: str
    second: str
    p_holm: float


class Power(Result, frozen=True, kw_only=True):
    """Items that find a difference so large with this probability."""

    effect: float
    power: float
    items: int


class Slice(Result, frozen=True, kw_only=True):
    """The mean primary score of every arm in a part of the benchmark."""

    by: str
    slice: str
    items: int
    scores: dict[str, float]


class Scores(Result, frozen=True, kw_only=True):
    """The whole evaluation. ``arms`` and ``secondary`` are {arm: {measure: its mean and interval}}."""

    smoke: bool
    items: int
    benchmark_sha256: str
    primary_metric: str
    arms: dict[str, dict[str, Interval]]
    secondary: dict[str, dict[str, Interval]]
    verdict: Verdict
    pairs: list[Pair]
    power: list[Power]
    slices: list[Slice]

    @property
    def primary(self) -> dict[str, Interval]:
        """The primary metric of every arm."""
        return {arm: metrics[self.primary_metric] for arm, metrics in self.arms.items()}

    @property
    def best_local(self) -> str:
        """The arm with the highest primary score among those that this project can serve itself."""
        local = [arm for arm in in_order(self.arms) if not model_of(arm)]
        return max(local, key=lambda arm: self.primary[arm].mean)


class Parity(Result, frozen=True, kw_only=True):
    """Answers of the server that are the evaluated ones; ``equal_unbatched``: only if nothing is batched."""

    items: int
    equal: int
    equal_unbatched: int = 0  # earlier releases did not count them

    @property
    def all_equal(self) -> int:
        """Both together."""
        return self.equal + self.equal_unbatched


class ServingReport(Result, frozen=True, kw_only=True):
    """The arm that was tried on the server."""

    server: str
    arm: str
    folder: str
    parity: Parity
