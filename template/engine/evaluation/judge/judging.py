"""Stage `judge`: a model compares the two deciding arms' answers and grades every arm's, if it agrees with people."""

from typing import Any

from engine.core.artifacts import BASELINE_ANSWERS, JUDGE_CALIBRATION, RUBRIC_CALIBRATION, SCORES, TEST, TUNED_ANSWERS
from engine.core.device import prepare
from engine.core.display import ENDPOINT, family, in_order
from engine.core.io import read_json, read_jsonl
from engine.costing.arm_costs import as_dict, read_price, usd_per_1000
from engine.evaluation.judge.llm_grader import Graded, grade, mean_grades, qualify_grades, read_labels
from engine.evaluation.judge.pairwise_judge import Effort, Pair, judge, preference, qualify, read_calibration
from engine.inference.arms import Row
from engine.inference.backend import Backend, Endpoint
from engine.inference.prompting import read_prompt, situation
from engine.inference.transformers_backend import Generator
from engine.models.base import base_model
from engine.settings.judge import JudgeParams


def compare_answers(backend: Backend, settings: JudgeParams) -> tuple[dict[str, Any], Effort]:
    """Agreement with people about pairs; if it qualifies, also which of the deciding arms it prefers."""
    prompt, batch = read_prompt("judge"), settings.evaluate.batch_size
    rows = read_calibration()[: settings.curate.dev_items if settings.smoke else None]
    pairs = [Pair(row["question"], row["first"], row["second"]) for row in rows]
    judgements, effort = judge(backend, prompt, pairs, batch)
    human = [row["human"] for row in rows]
    found = qualify(judgements, human, alpha=settings.evaluate.alpha, seed=settings.seed)
    report: dict[str, Any] = {"calibration": str(JUDGE_CALIBRATION), **found}
    if report["qualified"]:
        verdict = read_json(SCORES)["verdict"]
        pairs = answered_pairs(verdict["challenger"], verdict["best_baseline"])
        judgements, more = judge(backend, prompt, pairs, batch)
        report["preference"], effort = preference(judgements, pairs), effort.plus(more)
    return report, effort


def grade_answers(backend: Backend, settings: JudgeParams) -> tuple[dict[str, Any], Effort]:
    """Agreement with people about grades; if it qualifies, also the mean grade of every arm."""
    prompt, knobs = read_prompt("rubric"), settings.evaluate
    rows = read_labels()[: settings.curate.dev_items if settings.smoke else None]
    given, effort = grade(
        backend, prompt, [Graded(r["question"], r["expected"], r["answer"]) for r in rows], knobs.batch_size
    )
    found = qualify_grades(given, [row["human"] for row in rows], alpha=knobs.alpha, seed=settings.seed)
    report: dict[str, Any] = {"calibration": str(RUBRIC_CALIBRATION), **found}
    if report["qualified"]:
        grades: dict[str, list[int | None]] = {}
        for arm in in_order(read_json(SCORES)["arms"]):
            grades[arm], more = grade(backend, prompt, answered_items(arm), knobs.batch_size)
            effort = effort.plus(more)
        groups = [row["group"] for row in answered(next(iter(grades)))]
        report["arms"] = mean_grades(
            grades, groups, samples=knobs.bootstrap_samples, seed=settings.seed, alpha=knobs.alpha
        )
    return report, effort


def dollars(effort: Effort, settings: JudgeParams) -> dict[str, float | None] | None:
    """What judging cost: an endpoint's tokens as `cost.hosted_model`, or this machine's time; None: unknown."""
    if not effort.requests:
        return None
    arm = f"{ENDPOINT}judge" if settings.judge.endpoint else "judge"
    price = read_price(settings.cost.hardware)["usd_per_hour"]
    per_1000 = usd_per_1000(arm, effort._asdict() | {"items": effort.requests}, price, settings.cost)
    return as_dict(per_1000 and per_1000.times(effort.requests / 1000))


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
    asked = {row["id"]: situation(row) for row in read_jsonl(TEST)}
    return [Graded(asked[row["id"]], row["expected"], row["answer"]) for row in answered(arm)]


def answered(arm: str) -> list[Row]:
    """The rows of an arm."""
    return read_jsonl((TUNED_ANSWERS if family(arm) == "tuned" else BASELINE_ANSWERS) / f"{arm}.jsonl")
