"""What to ship: fixed rules over paired scores, with a trace of every rule and its numbers.

The approaches are ordered by what they cost to build and keep: a prompt, then retrieval, then tuning. The best arm of
the dearest approach challenges the *best* of all cheaper arms; if it loses, retrieval challenges the best prompt.
Picking the cheaper side's best by its score only makes the challenger's case harder, and a challenger that is itself
picked among k arms is held to alpha / k. So the chance of shipping an arm that is no better stays below alpha / 2.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

from engine.core.display import family, p_value, percent, points, title
from engine.core.errors import ProjectError
from engine.core.interval import Interval
from engine.evaluation.metrics import mean_score
from engine.evaluation.paired_comparison import Comparison, Contest, compare
from engine.evaluation.results import Gain, Rule, Verdict
from engine.evaluation.statistics import holm, minimum_detectable_effect
from engine.inference.results import Row
from engine.settings.evaluate import EvaluateParams

SHIP, RAG, PROMPT = "SHIP TUNED", "USE RAG", "USE THE PROMPT"
COLLECT, INSUFFICIENT = "COLLECT MORE DATA", "INSUFFICIENT EVIDENCE"
WINS = {"tuned": SHIP, "rag": RAG, "prompt": PROMPT}  # approach -> the decision when its arm is the one to ship
FEWEST_ITEMS = 30  # below this no interval is narrow enough to decide anything
USABLE_SCORE = 0.2  # an arm that is not shown to reach this never ships, even if it beats all others
Paired: TypeAlias = Callable[[str, str], Comparison]  # one arm minus another


class Arm(NamedTuple):
    """The answers of an arm, and the primary score of each."""

    rows: Sequence[Row]
    scores: Sequence[float]

    @property
    def tokens(self) -> float:
        """Of two equal arms the one with fewer is better; an unknown number counts as dearest."""
        return sum(float("inf") if row.prompt_tokens is None else row.prompt_tokens for row in self.rows)


class Study(NamedTuple):
    """Everything the rules look at."""

    smoke: bool
    items: int
    intervals: Mapping[str, Interval]  # arm -> primary score
    contests: Sequence[Contest]  # the dearest approach first; the first one decides unless its challenger loses
    best_prompt: str

    @property
    def top(self) -> str:
        """The arm with the highest score."""
        return max(self.intervals, key=lambda arm: self.intervals[arm].mean)


def decide(arms: Mapping[str, Arm], settings: EvaluateParams) -> Verdict:
    """The verdict on two or more arms. See the module's constants for the words.

    Raises:
        ProjectError: there is one arm only, or the arms did not answer the same items.
    """
    check_same_items(arms)
    rows = next(iter(arms.values())).rows
    groups = [row.group for row in rows]
    intervals = {name: mean_score(arm.scores, groups, settings) for name, arm in arms.items()}
    ranked = sorted(arms, key=lambda name: (-intervals[name].mean, arms[name].tokens, name))

    @cache
    def paired(first: str, second: str) -> Comparison:
        return compare(arms[first].scores, arms[second].scores, groups, settings)

    contests, best_prompt = draw_up(ranked, paired, settings)
    study = Study(settings.smoke, len(rows), intervals, contests, best_prompt)
    rules = examine(study)
    decision = conclude(study, rules)
    deciding = next((c for c in contests if not c.lost), contests[-1])
    ship = shipped(study, decision, deciding)
    reason = explain(study, rules, decision, deciding)
    if ship is not None:
        rules.append(usable(study, ship, "the arm to ship is usable"))
        if not rules[-1].holds:
            decision, reason, ship = COLLECT, too_small_a_gain(study, ship, reason), None
    first, alpha = contests[0].comparison, contests[0].alpha
    against = {arm: paired(contests[0].challenger, arm) for arm in ranked if arm != contests[0].challenger}
    adjusted = holm({arm: c.p_value for arm, c in against.items()})
    return Verdict(
        decision=decision,
        ship=ship,
        reason=_sentence(reason),
        challenger=contests[0].challenger,
        best_baseline=contests[0].incumbent,
        difference=first.difference.rounded(),
        p_value=significant(first.p_value),
        permutation_p_value=significant(first.permutation_p_value),
        test=first.test,
        alpha=settings.evaluate.alpha,
        items=len(rows),
        discordant=first.discordant,
        minimum_effect=settings.evaluate.minimum_effect,
        detectable_effect=round(minimum_detectable_effect(len(rows), first.disagreement, alpha=alpha), 4),
        required_items=deciding.items_needed(),
        comparisons={
            arm: Gain(
                difference=round(c.difference.mean, 6),
                p_value=significant(c.p_value),
                p_holm=significant(adjusted[arm]),
            )
            for arm, c in against.items()
        },
        why_not=why_not(ship or study.top, ranked, paired, settings),
        trace=rules,
    )


def draw_up(ranked: Sequence[str], paired: Paired, settings: EvaluateParams) -> tuple[list[Contest], str]:
    """Who challenges whom, and the best prompt. ``ranked`` has the best arm first, of equals the cheaper one.

    Without tuning and retrieval the best prompt with examples challenges the bare one; either is a prompt to use.
    """
    kinds = {kind: [arm for arm in ranked if family(arm) == kind] for kind in ("prompt", "rag", "tuned")}
    alpha, effect = settings.evaluate.alpha, settings.evaluate.minimum_effect

    def contest(challengers: Sequence[str], incumbent: str) -> Contest:
        one = challengers[0]
        return Contest(one, incumbent, paired(one, incumbent), alpha / len(challengers), effect)

    cheaper = [arm for arm in ranked if family(arm) != "tuned"]
    contests = []
    if kinds["tuned"]:
        contests.append(contest(kinds["tuned"], cheaper[0]))
    if kinds["rag"] and kinds["prompt"]:
        contests.append(contest(kinds["rag"], kinds["prompt"][0]))
    if not contests:
        bare = "zero_shot" if "zero_shot" in ranked else ranked[-1]
        contests.append(contest([arm for arm in ranked if arm != bare], bare))
    return contests, (kinds["prompt"] or cheaper)[0]


def check_same_items(arms: Mapping[str, Arm]) -> None:
    """Paired statistics are void unless every arm answered the same items in the same order."""
    if len(arms) < 2:
        raise ProjectError("a single arm cannot be compared", "results/", "measure another arm: `dvc repro`")
    first, *others = arms
    wanted = [row.id for row in arms[first].rows]
    for arm in others:
        if [row.id for row in arms[arm].rows] != wanted or len(arms[arm].scores) != len(wanted):
            raise ProjectError(
                f"arms {arm} and {first} did not answer the same items", "results/", "run `dvc repro -f baseline`"
            )


def examine(study: Study) -> list[Rule]:
    """Every rule with its numbers, in the order in which `conclude` asks them."""
    rules = [
        Rule("the run is not a smoke run", not study.smoke, "a tiny random model" if study.smoke else "the real model"),
        Rule(
            "the benchmark is large enough for any verdict",
            study.items >= FEWEST_ITEMS,
            f"{study.items} items, at least {FEWEST_ITEMS}",
        ),
        usable(study, study.top, "some arm is usable"),
    ]
    for contest in study.contests:
        rules += contest.rules.values()
    return rules


def usable(study: Study, arm: str, rule: str) -> Rule:
    """Whether an arm is good enough to ship, independently of the other arms."""
    score = study.intervals[arm]
    detail = f"{arm} scores {percent(score)}; the interval must start at {points(USABLE_SCORE)} or above"
    return Rule(rule, score.low >= USABLE_SCORE, detail)


def conclude(study: Study, rules: Sequence[Rule]) -> str:
    """The decision, from the rules alone."""
    real, enough, some_usable = (rule.holds for rule in rules[:3])
    if not (real and enough):
        return INSUFFICIENT
    if not some_usable:
        return COLLECT
    for contest in study.contests:
        kind = family(contest.challenger)
        if kind == "prompt":
            return PROMPT  # whichever prompt it is
        if contest.won:
            return WINS[kind]
        if not contest.lost:
            return INSUFFICIENT
    return PROMPT if study.contests[-1].incumbent == study.best_prompt else RAG


def shipped(study: Study, decision: str, deciding: Contest) -> str | None:
    """The arm to ship, if any."""
    if decision in (COLLECT, INSUFFICIENT):
        return None
    if decision == PROMPT:
        return study.best_prompt
    return deciding.challenger if deciding.won else deciding.incumbent


def explain(study: Study, rules: Sequence[Rule], decision: str, deciding: Contest) -> str:
    """The verdict in a sentence or two for someone who has not seen the numbers."""
    real, enough, _ = (rule.holds for rule in rules[:3])
    needed = deciding.items_needed()
    if not real:
        return "A smoke run on a tiny random model shows that every stage works. It says nothing about the model."
    if not enough:
        floor = f"The benchmark has {study.items} items; a verdict needs at least {FEWEST_ITEMS}."
        return f"{floor} Seeing a gain of {points(deciding.effect)} takes about {needed}."
    told = [contest.explain(_scores(contest, study), contest.items_needed(), study.items) for contest in study.contests]
    if decision == COLLECT:
        return no_arm_works(study)
    if decision == PROMPT and family(deciding.challenger) == "prompt":
        best = f"{title(study.best_prompt)} scores {percent(study.intervals[study.best_prompt])}"
        return f"{best} and needs neither training nor documents."
    return " ".join(_sentence(text) for text in told[: study.contests.index(deciding) + 1])


def no_arm_works(study: Study) -> str:
    """What to do when nothing is usable."""
    first = study.contests[0]
    scores = _scores(first, study)
    kind = family(first.challenger)
    if kind != "tuned":
        more = "a larger model, or " if kind == "rag" else "retrieval if the answers are facts, a larger model, or "
        return f"No arm is good enough to ship: {scores}. Try a better prompt, {more}more and better examples."
    if first.rules["better"].holds:
        return (
            f"No arm is good enough to ship, but tuning helps: {scores}. Collect more and better examples, or train "
            "longer; if the answers are facts to look up, use retrieval (approach: rag)."
        )
    return (
        f"No arm is good enough to ship, and tuning did not help: {scores}. If the answers are facts to look up, "
        "tuning is not worth it; use retrieval (approach: rag). Otherwise collect more and better examples."
    )


def too_small_a_gain(study: Study, kept: str, reason: str) -> str:
    """What to do when the arm that the contests leave is useless, and a usable one is not enough better."""
    top = study.top
    return (
        f"{_sentence(reason)} But {title(kept)}, at {percent(study.intervals[kept])}, is not good enough to ship. "
        f"Collect more and better examples; or, if what {title(top)} reaches is worth its cost, lower "
        "evaluate.minimum_effect before the next benchmark."
    )


def why_not(kept: str, arms: Sequence[str], paired: Paired, settings: EvaluateParams) -> dict[str, str]:
    """For every other arm, how it compares with the one that is kept (or that scores best, if none is)."""
    others = {arm: paired(kept, arm) for arm in sorted(arms) if arm != kept}
    adjusted = holm({arm: c.p for arm, c in others.items()})
    reasons = {}
    for arm, c in others.items():
        gap, p = points(abs(c.difference.mean)), p_value(adjusted[arm])
        if adjusted[arm] >= settings.evaluate.alpha:
            reasons[arm] = f"not distinguishable from {kept} ({points(-c.difference.mean, sign=True)}, {p} after Holm)"
        elif c.difference.mean > 0:
            reasons[arm] = f"{gap} below {kept} ({p} after Holm)"
        else:
            reasons[arm] = f"{gap} above {kept} ({p} after Holm), which is the cheaper approach"
    return reasons


def _scores(contest: Contest, study: Study) -> str:
    sides = (contest.challenger, contest.incumbent)
    return ", ".join(f"{title(arm)} scores {percent(study.intervals[arm])}" for arm in sides)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def significant(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
