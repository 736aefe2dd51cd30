"""Intervals and paired tests for benchmark scores. Pure functions: numbers in, numbers out, same seed same result.

Items drawn from one group (a sentence template, a document, a customer) resemble each other, so a group is the unit
that is resampled. ``groups`` gives each item's group; None, for all or for one item, means an item on its own.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtri  # what scipy.stats.norm.ppf calls, without its checks
from scipy.stats import binomtest

from engine.core.interval import Interval
from engine.evaluation.results import Power

Groups: TypeAlias = Sequence[str | None] | None
_BLOCK = 500  # resamples held in memory at once


class PairedDifference(NamedTuple):
    """Mean of the per-item differences, its interval, and a two-sided p-value for "no difference"."""

    mean: float
    low: float
    high: float
    p_value: float


def wilson(successes: float, n: float, alpha: float = 0.05) -> Interval:
    """Score interval of a proportion; unlike the normal one it is right at 0 and at n (0 of 32 is [0, 0.107]).

    (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)       Wilson 1927, JASA 22:209.
    Counts may be fractional: an effective sample size is (see `proportion_interval`).
    """
    if n <= 0:
        return Interval(0.0, 0.0, 1.0)
    z = _z(alpha)
    p = successes / n
    centre = p + z * z / (2 * n)
    margin = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Interval(p, max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale))


def proportion_interval(outcomes: ArrayLike, alpha: float = 0.05, groups: Groups = None) -> Interval:
    """Wilson interval of 0/1 outcomes at the effective sample size n / design effect (Kish 1965, 8.2)."""
    values = np.asarray(outcomes, dtype=float)
    effect = design_effect(values, groups)
    return wilson(float(values.sum()) / effect, len(values) / effect, alpha)


def design_effect(values: ArrayLike, groups: Groups = None) -> float:
    """How many times larger grouping makes the variance of the mean; never below 1.

    Cluster-robust variance sum_g (sum_{i in g} (x_i - mean))² / n², over the one of independent items.
    Miller 2024, arXiv 2411.00640, section 2.2.
    """
    array = np.asarray(values, dtype=float)
    if groups is None or len(array) < 2:
        return 1.0
    centred = array - array.mean()
    independent = float(centred @ centred)
    if independent < 1e-12:
        return 1.0
    sums, _ = _by_group(centred, groups)
    return max(1.0, float(sums @ sums) / independent)


def percentile_interval(estimate: float, resampled: NDArray[np.float64], alpha: float) -> Interval:
    """An estimate with the percentiles of its resamples (Efron & Tibshirani 1993, 13.3)."""
    low, high = np.quantile(resampled, [alpha / 2, 1 - alpha / 2])
    return Interval(estimate, float(low), float(high))


def bootstrap_mean(
    values: ArrayLike, *, samples: int = 10_000, seed: int = 0, alpha: float = 0.05, groups: Groups = None
) -> Interval:
    """Percentile bootstrap interval of a mean; whole groups are resampled.

    Efron & Tibshirani 1993, 13.3; for groups Field & Welsh 2007, JRSS B 69:369.
    """
    array = np.asarray(values, dtype=float)
    if not len(array):
        return Interval(0.0, 0.0, 0.0)
    return percentile_interval(float(array.mean()), _resampled_means(array, groups, samples, seed), alpha)


def bootstrap_ratio(
    top: ArrayLike,
    bottom: ArrayLike,
    *,
    samples: int = 10_000,
    seed: int = 0,
    alpha: float = 0.05,
    groups: Groups = None,
) -> Interval:
    """Percentile bootstrap interval of sum(top) / sum(bottom), both of the same items; whole groups are resampled.

    A resample whose ``bottom`` is all zeros has no ratio and is left out.
    """
    above, below = np.asarray(top, dtype=float), np.asarray(bottom, dtype=float)
    if not below.sum():
        return Interval(0.0, 0.0, 0.0)
    with np.errstate(invalid="ignore"):
        ratios = _resampled_means(above, groups, samples, seed, below)
    return percentile_interval(float(above.sum() / below.sum()), ratios[np.isfinite(ratios)], alpha)


def resamples(groups: Sequence[str | None], samples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of resamples, a row each: how often each item is drawn when whole groups are."""
    index, sizes = _numbered(tuple(groups))
    generator = np.random.default_rng(seed)
    for start in range(0, samples, _BLOCK):
        drawn = generator.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), min(_BLOCK, samples - start))
        yield drawn[:, index].astype(np.float64)


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    samples: int = 10_000,
    seed: int = 0,
    alpha: float = 0.05,
    groups: Groups = None,
) -> PairedDifference:
    """Interval and p-value of mean(first - second) over the same items, by resampling items (or groups).

    p = 2·min(#(d* <= 0) + 1, #(d* >= 0) + 1) / (samples + 1)
    Efron & Tibshirani 1993, 15.4; Davison & Hinkley 1997, 4.2 for the +1.
    """
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if not len(difference):
        return PairedDifference(0.0, 0.0, 0.0, 1.0)
    means = _resampled_means(difference, groups, samples, seed)
    interval = percentile_interval(float(difference.mean()), means, alpha)
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p_value = min(1.0, 2 * (tail + 1) / (samples + 1))
    return PairedDifference(interval.mean, interval.low, interval.high, p_value)


def paired_permutation(
    first: ArrayLike, second: ArrayLike, *, samples: int = 10_000, seed: int = 0, groups: Groups = None
) -> float:
    """Two-sided p-value when the two scores of an item (of a group) could as well be swapped: random sign flips.

    p = (#(|d*| >= |d|) + 1) / (samples + 1)                      Fisher 1935, 21; Phipson & Smyth 2010 for the +1.
    """
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if not len(difference):
        return 1.0
    sums, _ = _by_group(difference, groups)
    observed = abs(float(sums.sum()))
    generator = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, samples, _BLOCK):
        signs = generator.integers(0, 2, size=(min(_BLOCK, samples - start), len(sums))) * 2 - 1
        extreme += int((np.abs(signs @ sums) >= observed - 1e-9).sum())
    return (extreme + 1) / (samples + 1)


def mcnemar(gains: int, losses: int) -> float:
    """Exact two-sided p-value for 0/1 outcomes of two arms on the same items (McNemar 1947, Psychometrika 12:153).

    ``gains`` and ``losses`` count the discordant items; under "no difference" each is a fair coin.
    """
    return float(binomtest(gains, gains + losses).pvalue) if gains + losses else 1.0


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values that keep the chance of any false finding at alpha (Holm 1979, Scand. J. Stat. 6:65)."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        largest = max(largest, min(1.0, p * (len(p_values) - rank)))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def required_items(effect: float, disagreement: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items a paired comparison needs to see a difference of ``effect`` with the given power.

    (z_{1-alpha/2}·sqrt(m) + z_power·sqrt(m - effect²))² / effect²     Connor 1987, Biometrics 43:207.
    ``disagreement`` m is the mean squared difference of an item's two scores; for 0/1 scores, the discordant share.
    """
    if effect <= 0:
        raise ValueError("effect must be above 0")
    return math.ceil(_items_needed(effect, disagreement, alpha, power))


def minimum_detectable_effect(n: int, disagreement: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest difference that ``n`` paired items show with the given power; inverts `required_items`."""
    if n <= _items_needed(1.0, disagreement, alpha, power):
        return 1.0
    return float(brentq(lambda effect: _items_needed(effect, disagreement, alpha, power) - n, 1e-9, 1.0))


POWER_EFFECTS = (0.02, 0.03, 0.05, 0.1, 0.2)
POWERS = (0.5, 0.8, 0.9)


def power_table(disagreement: float, *, alpha: float = 0.05) -> list[Power]:
    """Items needed for each of `POWER_EFFECTS` at each of `POWERS`, when two arms disagree as these do."""
    return [
        Power(effect=effect, power=power, items=required_items(effect, disagreement, alpha=alpha, power=power))
        for effect in POWER_EFFECTS
        for power in POWERS
    ]


def _items_needed(effect: float, disagreement: float, alpha: float, power: float) -> float:
    m = max(disagreement, effect)  # arms that differ by `effect` disagree on at least that share
    root = _z(alpha) * math.sqrt(m) + float(ndtri(power)) * math.sqrt(max(0.0, m - effect * effect))
    return (root / effect) ** 2


def _z(alpha: float) -> float:
    return float(ndtri(1 - alpha / 2))


def _by_group(values: NDArray[np.float64], groups: Groups) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and size of every group, in order of first appearance."""
    if groups is None:
        return values, np.ones(len(values))
    if len(groups) != len(values):
        raise ValueError(f"{len(values)} values but {len(groups)} groups")
    index, sizes = _numbered(tuple(groups))
    sums: NDArray[np.float64] = np.bincount(index, weights=values).astype(np.float64)
    return sums, sizes


@lru_cache(maxsize=8)  # a study asks again and again for the same groups
def _numbered(groups: tuple[str | None, ...]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each item's group as a number, and the sizes of the groups."""
    numbers: dict[str | tuple[int], int] = {}
    index = [numbers.setdefault((i,) if name is None else name, len(numbers)) for i, name in enumerate(groups)]
    return np.array(index, dtype=np.int64), np.bincount(index).astype(np.float64)


def _resampled_means(
    values: NDArray[np.float64], groups: Groups, samples: int, seed: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Means by item; with ``weights``, by unit of weight."""
    sums, sizes = _by_group(values, groups)
    if weights is not None:
        sizes, _ = _by_group(weights, groups)
    generator = np.random.default_rng(seed)
    blocks = []
    for start in range(0, samples, _BLOCK):
        drawn = generator.integers(0, len(sums), size=(min(_BLOCK, samples - start), len(sums)))
        blocks.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(blocks)
