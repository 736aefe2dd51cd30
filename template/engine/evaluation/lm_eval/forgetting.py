"""What tuning made the model forget: a suite's scores of the tuned model against those of the untouched one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from engine.core.artifacts import HARNESS_REPORT
from engine.core.display import points
from engine.core.interval import Interval
from engine.core.io import Result, read
from engine.evaluation.metrics import mean_score
from engine.evaluation.paired_comparison import compare
from engine.evaluation.statistics import required_items
from engine.evaluation.verdict import significant
from engine.settings.harness import HarnessParams

HELD, LOST, OPEN, BLIND = "held", "lost", "undecided", "too hard"


class Forgetting(Result, frozen=True, kw_only=True):
    """A suite's paired difference, and what it says."""

    status: str
    difference: Interval
    p_value: float
    discordant: int
    items_needed: int


class Suite(Forgetting, frozen=True, kw_only=True):
    """A suite's scores of both models."""

    metric: str
    shots: int
    items: int
    chance: float
    base: Interval
    tuned: Interval


class Opinion(Result, frozen=True, kw_only=True, omit_defaults=True):
    """An arm's items answered by lm-eval, against the answers that the arm gave; or why it was not asked."""

    skipped: str | None = None
    items: int | None = None
    shots: int | None = None
    same_prompts: int | None = None
    same_answers: int | None = None
    exact_match: float | None = None
    exact_match_of_lm_eval: float | None = None


class Choice(Result, frozen=True, kw_only=True):
    """How often a model finds the right answer likelier than those of other items."""

    items: int
    chance: float
    acc: Interval


class HarnessReport(Result, frozen=True, kw_only=True):
    """``reports/harness.json``: opinions by arm, choices by model, and suites."""

    smoke: bool
    domain: dict[str, Opinion]
    choice: dict[str, Choice]
    suites: dict[str, Suite]


def forgetting(base: Sequence[float], tuned: Sequence[float], chance: float, settings: HarnessParams) -> Forgetting:
    """The paired difference on a suite, and what it says.

    ``held``: the tuned model is shown to lose less than the margin (one-sided non-inferiority test). ``lost``: it is
    worse beyond chance, and by the margin or more. ``too hard``: the untouched model is so near to guessing that it has
    nothing of the margin's size to lose. Otherwise ``undecided``. A gate that wants every suite held needs no
    correction for their number: it opens wrongly only if every single test does (intersection-union test).
    """
    margin, alpha = settings.harness.margin, settings.evaluate.alpha
    c = compare(tuned, base, None, settings)
    held, p_value = non_inferior(tuned, base, margin, alpha=alpha)
    if np.mean(base) - chance < margin:
        status = BLIND
    elif held:
        status = HELD
    elif c.p < alpha and c.difference.high < 0 and c.difference.mean <= -margin:
        status = LOST
    else:
        status = OPEN
    return Forgetting(
        status=status,
        difference=c.difference.rounded(),
        p_value=significant(p_value),
        discordant=c.discordant,
        items_needed=required_items(margin, max(c.disagreement, margin**2), alpha=2 * alpha),
    )


def non_inferior(first: ArrayLike, second: ArrayLike, margin: float, *, alpha: float = 0.05) -> tuple[bool, float]:
    """Whether mean(first - second) is shown to lie above ``-margin``; also the one-sided p-value.

    z = (mean + margin) / standard error                           Wellek 2010, Testing Statistical Hypotheses, 1.
    """
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    distance = float(difference.mean()) + margin
    error = float(difference.std()) / np.sqrt(len(difference))
    if error < 1e-12:
        return distance > 0, 0.0 if distance > 0 else 1.0
    p_value = float(ndtr(-distance / error))
    return p_value < alpha, p_value


def read_harness() -> HarnessReport:
    """What the stage `harness` found."""
    return read(HARNESS_REPORT, HarnessReport, "harness")


def forgetting_table(suites: dict[str, Suite]) -> str:
    """What became of the suites outside the task, a line each."""
    lines = (
        f"  {name}: {100 * suite.base.mean:.1f}% before tuning, {100 * suite.tuned.mean:.1f}% after: {suite.status}"
        for name, suite in suites.items()
    )
    return "\n".join(["Outside the task:", *lines]) + "\n"


def regressions(suites: dict[str, Suite], margin: float) -> list[str]:
    """Suites that are not shown to have held, as reasons for the gate to refuse."""
    return [
        f"{name}: {suite.status} ({points(suite.difference.mean, sign=True)}); gate.require_no_regression "
        f"wants it shown that less than {points(margin)} are lost"
        for name, suite in suites.items()
        if suite.status != HELD
    ]


def interval(scores: Sequence[float], settings: HarnessParams) -> Interval:
    """A mean score with its interval."""
    return mean_score(scores, None, settings).rounded()
