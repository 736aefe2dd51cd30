"""How many examples a prompt shows: chosen on dev, checked on test."""

from collections.abc import Sequence

from engine.chat.openai_messages import Record
from engine.chat.tool_calls import expected_text
from engine.core.artifacts import DEV
from engine.core.errors import ProjectError
from engine.core.io import read_jsonl
from engine.evaluation.metrics import score_items
from engine.inference.arms import compared
from engine.inference.backend import Backend, answer_all
from engine.inference.policies import base_policies
from engine.inference.prompting import Passages, Policy, shot_pool
from engine.inference.results import Answered, Row
from engine.settings.evaluate import EvaluateParams


def choose_counts(
    backend: Backend, passages: Passages | None, settings: EvaluateParams
) -> tuple[dict[str, int], dict[str, dict[str, float]]]:
    """How many examples each policy shows to this model, and the dev scores of the numbers tried.

    Chosen on dev: the test items see one number only, so trying more of them cannot flatter an arm. Of equal scores
    the smaller number. Each policy has its own: with passages in the prompt, or a stronger model, another one is best.
    """
    names = ["few_shot", "rag_few_shot"] if passages is not None else ["few_shot"]
    wanted = settings.evaluate.shots[:1] if settings.smoke else settings.evaluate.shots
    most = len(shot_pool(settings.evaluate.shot_selection))
    candidates = sorted({min(count, most) for count in wanted})
    if len(candidates) == 1:
        return dict.fromkeys(names, candidates[0]), {}
    dev, metric = read_jsonl(DEV), settings.evaluate.primary_metric
    tried: dict[str, dict[int, float]] = {name: {} for name in names}
    for count in candidates:
        shown = base_policies(dev, dict.fromkeys(names, count), passages, settings)
        for name in names:
            tried[name][count] = dev_score(backend, dev, shown[name], settings)
            print(f"dev, {name}, {count} examples: {metric} {tried[name][count]:.3f} on {len(dev)} items")
    best = {name: max(candidates, key=lambda count: (scores[count], -count)) for name, scores in tried.items()}
    rounded = {name: {str(count): round(score, 6) for count, score in scores.items()} for name, scores in tried.items()}
    return best, rounded


def check_shots(arm: str, rows: Sequence[Row], count: int) -> None:
    """Check that every item was asked with the arm's number of examples. Raises `ProjectError` otherwise."""
    odd = [row.id for row in rows if row.shots != count]
    if odd:
        what = f"{len(odd)} items of {arm} were not asked with {count} examples, {odd[0]} for one"
        raise ProjectError(what, "results/baseline", "check prompts/ and evaluate.shots, then run `dvc repro baseline`")


def dev_score(backend: Backend, dev: Sequence[Record], policy: Policy, settings: EvaluateParams) -> float:
    """The mean primary metric of a policy on dev items."""
    prompts = [backend.render(policy.ask(item), item.get("tools")) for item in dev]
    answers = answer_all(backend, prompts, settings.evaluate.max_new_tokens, settings.evaluate.batch_size)
    rows = [
        Answered(
            id=item["id"],
            label=item["label"],
            group=item["group"],
            expected=expected_text(item),
            answer=compared(backend, prompt, answer, item),
        )
        for item, prompt, answer in zip(dev, prompts, answers, strict=True)
    ]
    scores = score_items(rows, settings)[settings.evaluate.primary_metric]
    return sum(scores) / len(scores)
