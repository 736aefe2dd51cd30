"""Ship the tuned model, or not: fixed rules over paired scores, with a trace of every rule and its numbers.

Tuned is compared with the *best* arm that needs no training. Picking the best by its score only makes tuned's case
harder, so the chance of shipping a model that is no better stays below alpha / 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pipeline.files import ProjectError
from pipeline.metrics import is_binary
from pipeline.settings import Settings
from pipeline.statistics import (
    Groups,
    Interval,
    bootstrap_mean,
    design_effect,
    holm,
    mcnemar,
    minimum_detectable_effect,
    paired_bootstrap,
    paired_permutation,
    proportion_interval,
    required_items,
)
from pipeline.wording import p_value, percent, points, span, title

SHIP, RAG, PROMPT = "SHIP TUNED", "USE RAG", "USE THE PROMPT"
COLLECT, INSUFFICIENT = "COLLECT MORE DATA", "INSUFFICIENT EVIDENCE"

TUNED = "tuned"
FEWEST_ITEMS = 30  # below this no interval is narrow enough to decide anything
USABLE_SCORE = 0.2  # an arm that is not shown to reach this is not worth shipping, whatever it beats

Arms: TypeAlias = Mapping[str, Mapping[str, Any]]  # arm -> {"items": rows, "scores": one primary score a row}


class Comparison(NamedTuple):
    """Tuned minus one baseline arm, over the same items."""

    difference: Interval
    test: str
    p_value: float
    permutation_p_value: float  # whole groups swapped: guards against groups that make McNemar too sure
    disagreement: float  # mean squared difference; for 0/1 scores the share of discordant items
    discordant: int
    design_effect: float


class Study(NamedTuple):
    """Everything the rules look at."""

    smoke: bool
    items: int
    best: str  # the best arm without training
    intervals: Mapping[str, Interval]  # arm -> primary score
    comparison: Comparison  # tuned against ``best``
    alpha: float
    effect: float  # the smallest gain that is worth shipping


class Rule(NamedTuple):
    """One question the verdict asks, its answer, and the numbers behind it."""

    rule: str
    holds: bool
    detail: str


def decide(arms: Arms, settings: Settings) -> dict[str, Any]:
    """The verdict on ``arms``, which hold `TUNED` and at least one other arm. See the module's constants for the words.

    Raises:
        ProjectError: the arms did not answer the same items.
    """
    check_same_items(arms)
    alpha, effect = settings.evaluate.alpha, settings.evaluate.minimum_effect
    groups = [item["group"] for item in arms[TUNED]["items"]]
    scores = {arm: list(value["scores"]) for arm, value in arms.items()}
    intervals = {arm: _interval(values, groups, settings) for arm, values in scores.items()}
    baselines = sorted(arms.keys() - {TUNED}, key=lambda arm: (-intervals[arm].mean, _tokens(arms[arm]), arm))
    compared = {arm: compare(scores[TUNED], scores[arm], groups, settings) for arm in baselines}
    best, n = baselines[0], len(groups)
    study = Study(settings.smoke, n, best, intervals, compared[best], alpha, effect)
    rules = examine(study)
    decision = conclude(rules, best)
    needed = items_needed(study, decision)
    adjusted = holm({arm: c.p_value for arm, c in compared.items()})
    return {
        "decision": decision,
        "ship": {SHIP: TUNED, PROMPT: best, RAG: best}.get(decision),
        "reason": _sentence(explain(decision, rules, study, needed)),
        "best_baseline": best,
        "tuned": TUNED,
        "difference": {name: round(value, 6) for name, value in compared[best].difference._asdict().items()},
        "p_value": _significant(compared[best].p_value),
        "permutation_p_value": _significant(compared[best].permutation_p_value),
        "test": compared[best].test,
        "alpha": alpha,
        "items": n,
        "discordant": compared[best].discordant,
        "minimum_effect": effect,
        "detectable_effect": round(minimum_detectable_effect(n, compared[best].disagreement, alpha=alpha), 4),
        "required_items": needed,
        "comparisons": {
            arm: {
                "difference": round(c.difference.mean, 6),
                "p_value": _significant(c.p_value),
                "p_holm": _significant(adjusted[arm]),
            }
            for arm, c in compared.items()
        },
        "trace": [rule._asdict() for rule in rules.values()],
    }


def check_same_items(arms: Arms) -> None:
    """Paired statistics are void unless every arm answered the same items in the same order."""
    wanted = [item["id"] for item in arms[TUNED]["items"]]
    for arm, value in arms.items():
        if [item["id"] for item in value["items"]] != wanted or len(value["scores"]) != len(wanted):
            raise ProjectError(
                f"arm {arm} did not answer the same items as {TUNED}",
                "results/",
                "run `dvc repro -f baseline evaluate`",
            )


def compare(tuned: Sequence[float], other: Sequence[float], groups: Groups, settings: Settings) -> Comparison:
    """Exact McNemar for 0/1 scores, paired bootstrap otherwise; the interval resamples groups in both cases."""
    alpha, seed, samples = settings.evaluate.alpha, settings.seed, settings.evaluate.bootstrap_samples
    bootstrap = paired_bootstrap(tuned, other, samples=samples, seed=seed, alpha=alpha, groups=groups)
    difference = np.asarray(tuned, dtype=float) - np.asarray(other, dtype=float)
    gains, losses = int((difference > 0).sum()), int((difference < 0).sum())
    binary = is_binary([*tuned, *other])
    return Comparison(
        difference=Interval(bootstrap.mean, bootstrap.low, bootstrap.high),
        test="exact McNemar" if binary else "paired bootstrap",
        p_value=mcnemar(gains, losses) if binary else bootstrap.p_value,
        permutation_p_value=paired_permutation(tuned, other, samples=samples, seed=seed, groups=groups),
        disagreement=float(np.mean(difference**2)) if len(difference) else 0.0,
        discordant=gains + losses,
        design_effect=design_effect(difference, groups),
    )


def examine(study: Study) -> dict[str, Rule]:
    """Every rule with its numbers, in the order in which `conclude` asks them."""
    smoke, n, best, intervals, c, alpha, effect = study
    low, high = c.difference.low, c.difference.high
    top = max((best, TUNED), key=lambda arm: intervals[arm].mean)
    certain = max(c.p_value, c.permutation_p_value) < alpha
    p = f"{c.test} p = {c.p_value:.3g}, by group p = {c.permutation_p_value:.3g}, alpha = {alpha:g}"
    gain = f"gain {points(c.difference.mean, sign=True)} {span(c.difference)}"
    wanted = f"worth it from {points(effect)}"
    return {
        "real": Rule("the run is not a smoke run", not smoke, "a tiny random model" if smoke else "the real model"),
        "enough": Rule(
            "the benchmark is large enough for any verdict", n >= FEWEST_ITEMS, f"{n} items, at least {FEWEST_ITEMS}"
        ),
        "usable": Rule(
            "some arm is usable",
            intervals[top].low >= USABLE_SCORE,
            f"best is {top} at {percent(intervals[top])}; the interval must start at {points(USABLE_SCORE)} or above",
        ),
        "better": Rule(f"tuned is better than {best}, beyond chance", certain and low > 0, f"{gain}; {p}"),
        "worthwhile": Rule("the gain is worth it", c.difference.mean >= effect, f"{gain}; {wanted}"),
        "not_worse": Rule(f"tuned is not worse than {best}, beyond chance", not (certain and high < 0), f"{gain}; {p}"),
        "possible": Rule("a gain that is worth it is still possible", high >= effect, f"{gain}; {wanted}"),
    }


def conclude(rules: Mapping[str, Rule], best: str) -> str:
    """The decision, from the rules alone."""
    holds = {name: rule.holds for name, rule in rules.items()}
    if not (holds["real"] and holds["enough"]):
        return INSUFFICIENT
    if not holds["usable"]:
        return COLLECT
    if holds["better"] and holds["worthwhile"]:
        return SHIP
    if not (holds["not_worse"] and holds["possible"]):
        return RAG if best.startswith("rag") else PROMPT
    return INSUFFICIENT


def items_needed(study: Study, decision: str) -> int:
    """Benchmark items that show the minimum effect with 80% power; for an open verdict, that settle the gain seen."""
    c, sought = study.comparison, max(study.effect, 0.01)
    if decision == INSUFFICIENT:
        gain = c.difference.mean
        sought = min(sought, gain if gain >= sought else max(sought - gain, sought / 2))
    return int(np.ceil(required_items(min(1.0, sought), c.disagreement, alpha=study.alpha) * c.design_effect))


def explain(decision: str, rules: Mapping[str, Rule], study: Study, needed: int) -> str:
    """The verdict in a sentence or two for someone who has not seen the numbers."""
    _, n, best, intervals, c, _, effect = study
    gain = f"{points(c.difference.mean, sign=True)} {span(c.difference)}"
    tuned = f"{title(TUNED)} scores {percent(intervals[TUNED])}"
    other = f"{title(best)} {percent(intervals[best])}"
    if not rules["real"].holds:
        return "A smoke run on a tiny random model shows that every stage works, and says nothing about the model."
    if not rules["enough"].holds:
        floor = f"The benchmark has {n} items; below {FEWEST_ITEMS} no verdict is drawn."
        return f"{floor} Seeing a gain of {points(effect)} takes about {needed}."
    if decision == COLLECT:
        return no_arm_works(f"{tuned}, {other}", helps=rules["better"].holds)
    if decision == SHIP:
        return f"{tuned}, the best arm without training, {other}: a gain of {gain} ({c.test}, {p_value(c.p_value)})."
    if decision in (PROMPT, RAG):
        why = "a gain that would be worth it is ruled out" if rules["not_worse"].holds else "tuning made it worse"
        return f"{other} needs no training; {tuned}, a difference of {gain}: {why}."
    doubt = (
        "is not beyond chance" if not rules["better"].holds else f"may be below the {points(effect)} that are worth it"
    )
    more = f"About {needed} items would settle it; the benchmark has {n}."
    return f"{tuned}, {other}; the difference of {gain} {doubt}. {more}"


def no_arm_works(scores: str, *, helps: bool) -> str:
    """What to do when nothing is usable."""
    if helps:
        return (
            f"No arm is good enough to ship, but tuning helps: {scores}. Collect more and better examples, or train "
            "longer; answers that are facts to look up are better retrieved (approach: rag)."
        )
    return (
        f"No arm is good enough to ship, and tuning did not help: {scores}. If the answers are facts to look up, "
        "tuning is not worth it: retrieve them (approach: rag). Otherwise collect more and better examples."
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _interval(scores: Sequence[float], groups: Groups, settings: Settings) -> Interval:
    alpha = settings.evaluate.alpha
    if is_binary(scores):
        return proportion_interval(scores, alpha, groups)
    return bootstrap_mean(
        scores, samples=settings.evaluate.bootstrap_samples, seed=settings.seed, alpha=alpha, groups=groups
    )


def _tokens(arm: Mapping[str, Any]) -> int:
    """Prompt tokens of an arm: of two equal arms the cheaper one is the better."""
    return sum(item["prompt_tokens"] for item in arm["items"])


def _significant(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
