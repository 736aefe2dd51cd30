"""The intervals and tests against published worked examples, scipy, and simulation."""

import numpy as np
import pytest
from scipy import stats

from engine.core.interval import Interval
from engine.evaluation.statistics import (
    bootstrap_mean,
    bootstrap_ratio,
    design_effect,
    holm,
    mcnemar,
    minimum_detectable_effect,
    paired_bootstrap,
    paired_permutation,
    power_table,
    proportion_interval,
    required_items,
    wilson,
)


def test_wilson_gives_newcombes_published_intervals() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, n), (low, high) in published.items():
        interval = wilson(successes, n)
        assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize(("successes", "n"), [(0, 32), (5, 40), (120, 240), (240, 240)])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_wilson_equals_scipy(successes: int, n: int, alpha: float) -> None:
    theirs = stats.binomtest(successes, n).proportion_ci(1 - alpha, method="wilson")
    ours = wilson(successes, n, alpha)
    wanted = (successes / n, theirs.low, theirs.high)
    assert (ours.mean, ours.low, ours.high) == pytest.approx(wanted, abs=1e-12)


def test_no_items_say_nothing_about_a_proportion() -> None:
    assert wilson(0, 0) == Interval(0.0, 0.0, 1.0)


def test_mcnemar_is_the_exact_binomial_test_on_discordant_items() -> None:
    for gains, losses in [(1, 0), (3, 14), (9, 9), (40, 12), (0, 25)]:
        assert mcnemar(gains, losses) == pytest.approx(stats.binomtest(gains, gains + losses).pvalue)
    # worked example of the exact test, Fay 2011 (R package exact2x2): 2 against 9 discordant pairs
    assert mcnemar(2, 9) == pytest.approx(0.0654, abs=5e-5)


def test_two_arms_that_never_differ_are_not_different() -> None:
    assert mcnemar(0, 0) == 1.0
    same = [0.0, 1.0, 1.0, 0.5]
    assert paired_permutation(same, same) == 1.0
    assert paired_bootstrap(same, same) == (0.0, 0.0, 0.0, 1.0)


def test_holm_gives_the_textbook_adjustment() -> None:
    # Wright 1992, Biometrics 48:1005, as computed by R: p.adjust(c(.01, .04, .03, .005), "holm")
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"only": 0.9}) == {"only": 0.9}
    assert holm({}) == {}


def test_required_items_match_the_power_of_the_test() -> None:
    # 80% power at a difference of 10 points with 30% discordant pairs: the binomial agrees to a few items
    n = required_items(0.10, 0.30)
    generator = np.random.default_rng(1)
    found = 0
    for _ in range(2000):
        outcomes = generator.random(n)
        gains, losses = int((outcomes < 0.20).sum()), int(((outcomes >= 0.20) & (outcomes < 0.30)).sum())
        found += mcnemar(gains, losses) < 0.05
    assert 0.74 < found / 2000 < 0.86


def test_required_items_give_the_studys_published_sizes() -> None:
    sizes = [required_items(effect, disagreement) for effect, disagreement in ((0.03, 0.2), (0.05, 0.2), (0.05, 0.3))]
    assert sizes == [1742, 626, 940]


def test_the_detectable_effect_inverts_the_required_items() -> None:
    for n, disagreement in ((60, 0.4), (240, 0.3), (626, 0.2), (5000, 0.05)):
        effect = minimum_detectable_effect(n, disagreement)
        assert required_items(effect, disagreement) == pytest.approx(n, abs=1)
    assert minimum_detectable_effect(1, 0.5) == 1.0


def test_no_effect_cannot_be_found_by_any_number_of_items() -> None:
    with pytest.raises(ValueError, match="above 0"):
        required_items(0.0, 0.2)


def test_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).beta(2, 3, size=150)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    ours = bootstrap_mean(values, samples=20_000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)


def test_the_bootstrap_of_a_ratio_agrees_with_scipy_and_leaves_out_what_has_no_ratio() -> None:
    top, bottom = np.random.default_rng(5).uniform(1, 9, size=(2, 150))
    theirs = stats.bootstrap(
        (top, bottom),
        lambda a, b: a.sum() / b.sum(),
        n_resamples=4000,
        method="percentile",
        paired=True,
        rng=1,
        vectorized=False,
    ).confidence_interval
    ours = bootstrap_ratio(top, bottom, samples=4000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert ours.mean == pytest.approx(top.sum() / bottom.sum())
    assert bootstrap_ratio([1, 0, 0], [2, 0, 0], samples=200) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_ratio([0, 0], [0, 0]) == Interval(0.0, 0.0, 0.0)


def test_bootstrap_interval_covers_the_truth() -> None:
    generator = np.random.default_rng(4)
    intervals = [bootstrap_mean(generator.beta(2, 3, size=80), samples=400, seed=s) for s in range(400)]
    covered = np.mean([interval.low <= 0.4 <= interval.high for interval in intervals])
    assert 0.90 < covered < 0.98


def test_the_same_seed_gives_the_same_numbers() -> None:
    values = np.linspace(0, 1, 50)
    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values, seed=5) != bootstrap_mean(values, seed=6)


def test_grouped_items_carry_less_evidence() -> None:
    values = np.repeat([0.0, 1.0] * 10, 12)  # 20 groups whose items all agree
    groups = [f"group {number // 12}" for number in range(240)]
    assert design_effect(values, groups) == pytest.approx(12)
    assert design_effect(values) == 1.0
    alone, grouped = (proportion_interval(values, groups=g) for g in (None, groups))
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    assert grouped == pytest.approx(wilson(10, 20))


def test_grouped_intervals_cover_the_truth_where_ungrouped_ones_do_not() -> None:
    generator = np.random.default_rng(5)
    groups = [f"{number // 8}" for number in range(240)]
    covered = {"grouped": 0, "ungrouped": 0}
    for _ in range(300):
        values = (np.repeat(generator.random(30), 8) < 0.4).astype(float)  # the items of a group agree
        for name, given in (("grouped", groups), ("ungrouped", None)):
            interval = proportion_interval(values, groups=given)
            covered[name] += interval.low <= 0.4 <= interval.high
    assert covered["grouped"] > 0.9 * 300
    assert covered["ungrouped"] < 0.7 * 300


def test_items_without_a_group_stand_alone() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    assert bootstrap_mean(values, groups=[None] * 5) == bootstrap_mean(values)
    with pytest.raises(ValueError, match="5 values but 1 groups"):
        bootstrap_mean(values, groups=["a"])


def test_permutation_p_value_agrees_with_scipy() -> None:
    generator = np.random.default_rng(6)
    first, second = generator.normal(0.25, 1, 40), generator.normal(0, 1, 40)
    theirs = stats.permutation_test(
        (first - second,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    assert paired_permutation(first, second, samples=20_000) == pytest.approx(theirs, abs=0.01)


def test_five_groups_can_never_be_significant() -> None:
    groups = [f"{number // 20}" for number in range(100)]
    assert paired_permutation(np.ones(100), np.zeros(100), groups=groups) > 0.05
    assert paired_permutation(np.ones(100), np.zeros(100)) < 0.001


def test_paired_bootstrap_rejects_a_true_null_no_more_than_it_says() -> None:
    generator = np.random.default_rng(7)
    rejected = 0
    for seed in range(300):
        first, second = generator.random((2, 120))
        rejected += paired_bootstrap(first, second, samples=400, seed=seed).p_value < 0.05
    assert rejected / 300 < 0.09


def test_mcnemar_and_holm_are_statsmodels() -> None:
    # statsmodels 0.15.0: mcnemar([[101, 59], [121, 33]], exact=True) is the table of Agresti 1990, p. 350
    assert mcnemar(59, 121) == pytest.approx(4.4344492637551645e-06)
    assert mcnemar(3, 11) == pytest.approx(0.057373046875)


def test_the_power_table_grows_with_power_and_shrinks_with_the_effect() -> None:
    table = {(row.effect, row.power): row.items for row in power_table(0.3)}
    assert table[0.05, 0.8] == required_items(0.05, 0.3)
    assert table[0.02, 0.8] > table[0.05, 0.8] > table[0.1, 0.8]
    assert table[0.05, 0.5] < table[0.05, 0.8] < table[0.05, 0.9]
