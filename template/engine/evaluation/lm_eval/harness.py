"""Stage `harness`: lm-evaluation-harness runs the base and the tuned model, on the benchmark and on other things.

On the benchmark it is a second opinion: its prompts must be the arms' own, token for token, and an answer that it gives
too must score the same. On the suites it shows what tuning made the model forget.
"""

from collections.abc import Iterator, Sequence

import msgspec

from engine.chat.openai_messages import Record
from engine.core.artifacts import HARNESS_ANSWERS, HARNESS_TASKS, SHOTS
from engine.core.errors import ProjectError
from engine.core.io import read, sha256_json, write_jsonl
from engine.evaluation.item_metrics import exact_match
from engine.evaluation.lm_eval.forgetting import Choice, Opinion, Suite, forgetting, interval
from engine.evaluation.lm_eval.runner import Engine, Run
from engine.evaluation.lm_eval.tasks import sayable, write_answer_task, write_choice_task
from engine.inference.policies import base_policies, tuned_policies
from engine.inference.prompting import Policy, read_passages
from engine.inference.results import Shots, read_arm
from engine.settings.harness import HarnessParams

SMOKE_ITEMS = 8
BARE = {"base": "zero_shot", "tuned": "tuned"}  # the arm whose prompt a model's multiple choice uses


def policies(model: str, items: Sequence[Record], settings: HarnessParams) -> Iterator[tuple[str, Policy]]:
    """The arms of a model, with the prompts that they were measured with. An endpoint's are not run again."""
    if model == "tuned":
        yield from tuned_policies(settings).items()
        return
    passages = read_passages("train", "dev", "test") if settings.retrieves else None
    yield from base_policies(items, read(SHOTS, Shots, "baseline").shots, passages, settings).items()


def second_opinion(
    engine: Engine, arm: str, policy: Policy, items: Sequence[Record], settings: HarnessParams
) -> Opinion:
    """An arm's items answered by lm-eval, against the answers that the arm gave.

    Raises:
        ProjectError: lm-eval saw another prompt, or scored an equal answer otherwise.
    """
    if not sayable(items):
        return Opinion(skipped="its tasks cannot express items with tools or thinking")
    shots = write_answer_task(arm, items, policy, settings.evaluate.max_new_tokens, HARNESS_TASKS)
    if shots is None:
        return Opinion(skipped="lm-eval cannot express items with earlier turns")
    run = engine.run(arm, HARNESS_TASKS, shots)
    kept = {row.id: row for row in read_arm(arm)}
    rows = [kept[item["id"]] for item in items]
    ours = [exact_match(row.expected, row.answer) for row in rows]
    same = [row.answer == answer for row, answer in zip(rows, run.answers, strict=True)]
    for row, prompt, equal, mine, theirs in zip(rows, run.prompts, same, ours, run.scores, strict=True):
        if sha256_json(prompt) != row.prompt_sha256:
            raise ProjectError("lm-eval used another prompt than the arm", f"{arm}, item {row.id}", FIX)
        if equal and mine != theirs:
            raise ProjectError("lm-eval scores an equal answer differently", f"{arm}, item {row.id}", FIX)
    keep(run, arm, "domain")
    return Opinion(
        items=len(rows),
        shots=shots,
        same_prompts=len(rows),
        same_answers=sum(same),
        exact_match=round(sum(ours) / len(ours), 6),
        exact_match_of_lm_eval=round(sum(run.scores) / len(run.scores), 6),
    )


FIX = "run `dvc repro -f baseline`; if the error remains, fix the model's tokenizer or chat template"


def choose(engine: Engine, name: str, policy: Policy, items: Sequence[Record], settings: HarnessParams) -> Choice:
    """How often the right answer is likelier than those of other items."""
    write_choice_task(name, items, policy, settings.seed, HARNESS_TASKS)
    run = engine.run(name, HARNESS_TASKS)
    keep(run, name, "domain")
    return Choice(items=len(run.scores), chance=round(run.chance, 6), acc=interval(run.scores, settings))


def compare_suite(name: str, runs: dict[str, Run], settings: HarnessParams) -> Suite:
    """A suite's scores of both models, and whether the tuned one holds what the base knew.

    Raises:
        ProjectError: the two did not see the same prompts.
    """
    base, tuned = runs["base"], runs["tuned"]
    if base.prompts != tuned.prompts:
        fix = "a suite must not draw its items or examples at random; if it does not, " + FIX
        raise ProjectError("the tuned model got other prompts than the base model", f"suite {name}", fix)
    return Suite(
        metric=base.metric,
        shots=base.shots,
        items=len(base.scores),
        chance=round(base.chance, 6),
        base=interval(base.scores, settings),
        tuned=interval(tuned.scores, settings),
        **msgspec.structs.asdict(forgetting(base.scores, tuned.scores, base.chance, settings)),
    )


def keep(run: Run, name: str, folder: str) -> None:
    """Write every item's answer and score."""
    rows = (
        {"item": n, "answer": a, run.metric: s} for n, (a, s) in enumerate(zip(run.answers, run.scores, strict=True))
    )
    write_jsonl(HARNESS_ANSWERS / folder / f"{name}.jsonl", rows)


def told(opinion: Opinion) -> str:
    """A second opinion as a phrase."""
    return opinion.skipped or (
        f"exact match {opinion.exact_match:.3f}, by lm-eval {opinion.exact_match_of_lm_eval:.3f}; "
        f"{opinion.same_answers} of {opinion.items} answers the same"
    )
