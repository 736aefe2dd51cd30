"""Stage `judge`: a model compares the two deciding arms' answers and grades every arm's, if it agrees with people."""

import msgspec

from engine.core.artifacts import SCORES, TEST
from engine.core.device import prepare
from engine.core.display import ENDPOINT, in_order
from engine.core.interval import Range
from engine.core.io import read, read_jsonl
from engine.costing.arm_costs import read_price, usd_per_1000
from engine.costing.results import as_range
from engine.evaluation.judge.llm_grader import Graded, grade, mean_grades, qualify_grades, read_labels
from engine.evaluation.judge.pairwise_judge import Pair, judge, preference, qualify, read_calibration
from engine.evaluation.judge.report import Comparing, Grading
from engine.evaluation.results import Scores
from engine.inference.backend import Answer, Backend, Endpoint
from engine.inference.prompting import context_text, read_prompt
from engine.inference.results import Work, read_arm
from engine.inference.transformers_backend import Generator
from engine.models.base import base_model
from engine.settings.judge import JudgeParams


def compare_answers(backend: Backend, settings: JudgeParams) -> tuple[Comparing, list[Answer]]:
    """Agreement with people about pairs; if it qualifies, also which of the deciding arms it prefers."""
    prompt, batch = read_prompt("judge"), settings.evaluate.batch_size
    rows = read_calibration()[: settings.curate.dev_items if settings.smoke else None]
    pairs = [Pair(row["question"], row["first"], row["second"]) for row in rows]
    judgements, replies = judge(backend, prompt, pairs, batch)
    human = [row["human"] for row in rows]
    found = qualify(judgements, human, alpha=settings.evaluate.alpha, seed=settings.seed)
    if found.qualified:
        verdict = read(SCORES, Scores, "evaluate").verdict
        pairs = answered_pairs(verdict.challenger, verdict.best_baseline)
        judgements, more = judge(backend, prompt, pairs, batch)
        found, replies = msgspec.structs.replace(found, preference=preference(judgements, pairs)), replies + more
    return found, replies


def grade_answers(backend: Backend, settings: JudgeParams) -> tuple[Grading, list[Answer]]:
    """Agreement with people about grades; if it qualifies, also the mean grade of every arm."""
    prompt, knobs = read_prompt("rubric"), settings.evaluate
    rows = read_labels()[: settings.curate.dev_items if settings.smoke else None]
    given, replies = grade(
        backend, prompt, [Graded(r["question"], r["expected"], r["answer"]) for r in rows], knobs.batch_size
    )
    found = qualify_grades(given, [row["human"] for row in rows], alpha=knobs.alpha, seed=settings.seed)
    if found.qualified:
        grades: dict[str, list[int | None]] = {}
        for arm in in_order(read(SCORES, Scores, "evaluate").arms):
            grades[arm], more = grade(backend, prompt, answered_items(arm), knobs.batch_size)
            replies += more
        groups = [row.group for row in read_arm(next(iter(grades)))]
        means = mean_grades(grades, groups, samples=knobs.bootstrap_samples, seed=settings.seed, alpha=knobs.alpha)
        found = msgspec.structs.replace(found, arms=means)
    return found, replies


def dollars(effort: Work, settings: JudgeParams) -> Range | None:
    """What judging cost: an endpoint's tokens as `cost.hosted_model`, or this machine's time; None: unknown."""
    if not effort.items:
        return None
    arm = f"{ENDPOINT}judge" if settings.judge.endpoint else "judge"
    per_1000 = usd_per_1000(arm, effort, read_price(settings.cost.hardware).amount, settings.cost)
    return per_1000 and as_range(per_1000.times(effort.items / 1000))


def judging_model(settings: JudgeParams) -> Backend:
    """The endpoint named in params.yaml, or the untouched base model."""
    if settings.judge.endpoint:
        return Endpoint(settings.judge.endpoint)
    return Generator(base_model(settings), prepare(settings.seed))


def answered_pairs(first: str, second: str) -> list[Pair]:
    """Both arms' answers to every test item."""
    both = zip(answered_items(first), answered_items(second), strict=True)
    return [Pair(a.question, a.answer, b.answer) for a, b in both]


def answered_items(arm: str) -> list[Graded]:
    """An arm's answer to every test item, with the expected one."""
    asked = {row["id"]: context_text(row) for row in read_jsonl(TEST)}
    return [Graded(asked[row.id], row.expected, row.answer) for row in read_arm(arm)]
