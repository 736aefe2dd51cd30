"""What tuning made the model forget: a suite's scores of the tuned model against those of the untouched one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.evaluation.metrics import is_binary
from engine.evaluation.paired_comparison import compare
from engine.evaluation.statistics import bootstrap_mean, non_inferior, proportion_interval, required_items
from engine.settings.harness import HarnessParams

HELD, LOST, OPEN, BLIND = "held", "lost", "undecided", "too hard"


def forgetting(base: Sequence[float], tuned: Sequence[float], chance: float, settings: HarnessParams) -> dict[str, Any]:
    """The paired difference on a suite, and what it says.

    ``held``: the tuned model is shown to lose less than the margin (one-sided non-inferiority test). ``lost``: it is
    worse beyond chance, and by the margin or more. ``too hard``: the untouched model is so near to guessing that it has
    nothing of the margin's size to lose. Otherwise ``undecided``. A gate that wants every suite held needs no
    correction for their number: it opens wrongly only if every single test does (intersection-union test).
    """
    margin, alpha = settings.harness.margin, settings.evaluate.alpha
    groups = [None] * len(base)
    c = compare(tuned, base, groups, settings)
    held, p_value = non_inferior(tuned, base, margin, alpha=alpha, groups=groups)
    if np.mean(base) - chance < margin:
        status = BLIND
    elif held:
        status = HELD
    elif c.p < alpha and c.difference.high < 0 and c.difference.mean <= -margin:
        status = LOST
    else:
        status = OPEN
    return {
        "status": status,
        "difference": {name: round(value, 6) for name, value in c.difference._asdict().items()},
        "p_value": float(f"{p_value:.4g}"),
        "discordant": c.discordant,
        "items_needed": required_items(margin, max(c.disagreement, margin**2), alpha=2 * alpha),
    }


def interval(scores: Sequence[float], settings: HarnessParams) -> dict[str, float]:
    """A mean score with its interval."""
    knobs = settings.evaluate
    if is_binary(scores):
        found = proportion_interval(scores, knobs.alpha)
    else:
        found = bootstrap_mean(scores, samples=knobs.bootstrap_samples, seed=settings.seed, alpha=knobs.alpha)
    return {name: round(float(value), 6) for name, value in found._asdict().items()}
