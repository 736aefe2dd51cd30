"""One arm against another over the same items: the paired test, its rules, and whether the challenger wins or loses.

A challenger is the dearer approach (tuning against anything cheaper, retrieval against a prompt). It must show that it
is better, beyond chance and by enough to matter; the cheaper arm has nothing to show.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.core.display import points, span, title
from engine.core.interval import Interval
from engine.evaluation.metrics import is_binary
from engine.evaluation.results import Rule
from engine.evaluation.statistics import (
    Groups,
    design_effect,
    mcnemar,
    paired_bootstrap,
    paired_permutation,
    required_items,
)
from engine.settings.evaluate import EvaluateParams


class Comparison(NamedTuple):
    """One arm minus another, over the same items."""

    difference: Interval
    test: str
    p_value: float
    permutation_p_value: float  # whole groups swapped: guards against groups that make McNemar too sure
    disagreement: float  # mean squared difference; for 0/1 scores the share of discordant items
    discordant: int
    design_effect: float

    @property
    def p(self) -> float:
        """The larger of the two p-values."""
        return max(self.p_value, self.permutation_p_value)


class Contest(NamedTuple):
    """A challenger against the best arm of the cheaper approaches."""

    challenger: str
    incumbent: str
    comparison: Comparison
    alpha: float  # already divided by the number of arms the challenger was picked from (Bonferroni)
    effect: float  # the smallest gain that is worth it

    @property
    def rules(self) -> dict[str, Rule]:
        """Every rule with its numbers."""
        c, low, high = self.comparison, self.comparison.difference.low, self.comparison.difference.high
        p = f"{c.test} p = {c.p_value:.3g}, by group p = {c.permutation_p_value:.3g}, alpha = {self.alpha:g}"
        gain = f"gain {points(c.difference.mean, sign=True)} {span(c.difference)}"
        wanted = f"worth shipping from {points(self.effect)}"
        certain = c.p < self.alpha
        return {
            "better": Rule(
                f"{self.challenger} is significantly better than {self.incumbent}", certain and low > 0, f"{gain}; {p}"
            ),
            "worthwhile": Rule("the gain is worth shipping", c.difference.mean >= self.effect, f"{gain}; {wanted}"),
            "not_worse": Rule(
                f"{self.challenger} is not significantly worse than {self.incumbent}",
                not (certain and high < 0),
                f"{gain}; {p}",
            ),
            "possible": Rule("a gain worth shipping is still possible", high >= self.effect, f"{gain}; {wanted}"),
        }

    @property
    def won(self) -> bool:
        """The challenger is better beyond chance, by enough to matter."""
        return self.rules["better"].holds and self.rules["worthwhile"].holds

    @property
    def lost(self) -> bool:
        """The challenger is worse beyond chance, or a gain that matters is ruled out."""
        return not self.won and not (self.rules["not_worse"].holds and self.rules["possible"].holds)

    def items_needed(self) -> int:
        """Items that show the minimum effect with 80% power; for an open contest, that settle the gain seen."""
        c, sought = self.comparison, max(self.effect, 0.01)
        if not (self.won or self.lost):
            gain = c.difference.mean
            sought = min(sought, gain if gain >= sought else max(sought - gain, sought / 2))
        return int(np.ceil(required_items(min(1.0, sought), c.disagreement, alpha=self.alpha) * c.design_effect))

    def explain(self, scores: str, needed: int, n: int) -> str:
        """How it ended, in a sentence or two."""
        c, rules = self.comparison, self.rules
        gain = f"{points(c.difference.mean, sign=True)} {span(c.difference)}"
        if self.won:
            return f"{scores}: a gain of {gain} ({c.test}, p = {c.p_value:.2g})."
        if self.lost:
            worse = (
                "tuning made it worse" if self.challenger.startswith("tuned") else f"{title(self.challenger)} is worse"
            )
            why = "a gain worth shipping is ruled out" if rules["not_worse"].holds else worse
            return f"{scores}: a difference of {gain}, {why}."
        enough = f"may be below the {points(self.effect)} that are worth shipping"
        doubt = "is not significant" if not rules["better"].holds else enough
        return (
            f"{scores}; the difference of {gain} {doubt}. About {needed} items would settle it; the benchmark has {n}."
        )


def compare(first: Sequence[float], second: Sequence[float], groups: Groups, settings: EvaluateParams) -> Comparison:
    """Exact McNemar for 0/1 scores, paired bootstrap otherwise; the interval resamples groups in both cases."""
    alpha, seed, samples = settings.evaluate.alpha, settings.seed, settings.evaluate.bootstrap_samples
    bootstrap = paired_bootstrap(first, second, samples=samples, seed=seed, alpha=alpha, groups=groups)
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    gains, losses = int((difference > 0).sum()), int((difference < 0).sum())
    binary = is_binary([*first, *second])
    return Comparison(
        difference=Interval(bootstrap.mean, bootstrap.low, bootstrap.high),
        test="exact McNemar" if binary else "paired bootstrap",
        p_value=mcnemar(gains, losses) if binary else bootstrap.p_value,
        permutation_p_value=paired_permutation(first, second, samples=samples, seed=seed, groups=groups),
        disagreement=float(np.mean(difference**2)) if len(difference) else 0.0,
        discordant=gains + losses,
        design_effect=design_effect(difference, groups),
    )
