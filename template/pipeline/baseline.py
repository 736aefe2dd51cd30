"""Stage `baseline`: what the untouched model scores with a prompt, with examples and with retrieval.

`train` depends on the marker this stage writes, so nothing is tuned that was not measured first.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.evaluation.metrics import metrics_of, score_items, summarise
from pipeline.files import ProjectError, read_json, read_jsonl, run_stage, write_json, write_jsonl
from pipeline.inference.arms import Row, answer_items, compared
from pipeline.inference.backends import Backend, Endpoint, answer_all
from pipeline.inference.calls import expected_text
from pipeline.inference.generation import Generator
from pipeline.inference.gguf_model import GgufModel
from pipeline.inference.perplexity import add_reference_nll
from pipeline.inference.prompting import (
    Passages,
    Policy,
    Record,
    choose_shots,
    read_passages,
    read_prompt,
    refuse_given_away,
    shot_pool,
)
from pipeline.inference.unsaid import refuse_unsaid
from pipeline.model import base_model, base_sha256
from pipeline.runtime import prepare
from pipeline.settings import Settings, load
from pipeline.wording import ENDPOINT, GGUF

TEST = Path("data/eval/test.jsonl")
DEV = Path("data/eval/dev.jsonl")
BENCHMARK = Path("data/eval/benchmark.json")
RESULTS = Path("results/baseline")
MARKER = Path("results/baseline.json")
MEASURED = Path("reports/measured/baseline.json")


def main() -> None:
    settings = load()
    metrics_of(settings)  # a slip in the project's own is told before anything is answered
    items = read_jsonl(TEST)
    device = prepare(settings.seed)
    generator = Generator(base_model(settings), device)
    asking = Policy(read_prompt(settings.evaluate.prompt))
    whole = [item | {"messages": [*asking.ask(item), item["messages"][-1]]} for item in items]
    refuse_unsaid(whole, generator.template, str(TEST))
    backends: dict[str, Backend] = {"": generator}
    if settings.evaluate.endpoint:
        backends[ENDPOINT] = Endpoint(settings.evaluate.endpoint)
    if settings.evaluate.gguf:
        backends[GGUF] = GgufModel(settings.evaluate.gguf, device.threads)
    passages = read_passages("train", "dev", "test") if settings.retrieves else None
    measured: dict[str, Any] = {}
    shots: dict[str, int] = {}
    tried: dict[str, dict[str, float]] = {}
    for prefix, backend in backends.items():
        counts, found = choose_counts(backend, passages, settings)
        shots |= {prefix + name: count for name, count in counts.items()}
        tried |= {prefix + name: scores for name, scores in found.items()}
        for name, policy in policies(items, counts, passages, settings).items():
            arm = prefix + name
            rows, measured[arm] = answer_items(arm, backend, items, policy, settings.evaluate, RESULTS)
            check_shots(arm, rows, counts.get(name, 0))
            if settings.evaluate.perplexity and isinstance(backend, Generator):
                rows = add_reference_nll(rows, backend, items, policy)
            write_jsonl(RESULTS / f"{arm}.jsonl", rows)
            print(f"{arm}: {headline(rows, settings)}")
    write_json(MEASURED, measured)
    write_json(
        MARKER,
        {
            "arms": sorted(measured),
            "base_sha256": base_sha256(),
            "benchmark_sha256": read_json(BENCHMARK)["sha256"],
            "shots": shots,
            "shots_tried_on_dev": tried,
        },
    )


def policies(
    items: Sequence[Record], counts: Mapping[str, int], passages: Passages | None, settings: Settings
) -> dict[str, Policy]:
    """The prompt policies of the arms without training: with and without examples, with and without retrieval.

    ``counts`` is the number of examples of each policy that shows any.
    """
    knobs = settings.evaluate
    system, pool = read_prompt(knobs.prompt), shot_pool(knobs.shot_selection)
    if knobs.shot_selection == "fixed":  # training records were told apart from the benchmark by `curate`
        refuse_given_away(pool, items)

    def shots(name: str) -> dict[str, list[Record]]:
        return choose_shots(pool, items, counts[name], settings.seed, knobs.shot_selection)

    found = {"zero_shot": Policy(system), "few_shot": Policy(system, shots("few_shot"))}
    if passages is not None:
        found |= {"rag": Policy(system, {}, passages), "rag_few_shot": Policy(system, shots("rag_few_shot"), passages)}
    return found


def choose_counts(
    backend: Backend, passages: Passages | None, settings: Settings
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
        shown = policies(dev, dict.fromkeys(names, count), passages, settings)
        for name in names:
            tried[name][count] = dev_score(backend, dev, shown[name], settings)
            print(f"dev, {name}, {count} examples: {metric} {tried[name][count]:.3f} on {len(dev)} items")
    best = {name: max(candidates, key=lambda count: (scores[count], -count)) for name, scores in tried.items()}
    rounded = {name: {str(count): round(score, 6) for count, score in scores.items()} for name, scores in tried.items()}
    return best, rounded


def check_shots(arm: str, rows: Sequence[Row], count: int) -> None:
    """Every item was asked with as many examples as the arm is said to show. Raises `ProjectError` otherwise."""
    odd = [row["id"] for row in rows if row["shots"] != count]
    if odd:
        what = f"{len(odd)} items of {arm} were not asked with {count} examples, {odd[0]} for one"
        raise ProjectError(what, "results/baseline", "check prompts/ and evaluate.shots, then run `dvc repro baseline`")


def dev_score(backend: Backend, dev: Sequence[Record], policy: Policy, settings: Settings) -> float:
    """The mean primary metric of a policy on dev items."""
    prompts = [backend.render(policy.ask(item), item.get("tools")) for item in dev]
    answers = answer_all(backend, prompts, settings.evaluate.max_new_tokens, settings.evaluate.batch_size)
    rows: list[dict[str, Any]] = [
        {**item, "expected": expected_text(item), "answer": compared(backend, prompt, answer, item)}
        for item, prompt, answer in zip(dev, prompts, answers, strict=True)
    ]
    scores = score_items(rows, settings)[settings.evaluate.primary_metric]
    return sum(scores) / len(scores)


def headline(rows: list[Row], settings: Settings) -> str:
    """The primary metric of an arm with its interval, as one phrase."""
    metric = settings.evaluate.primary_metric
    score = summarise(rows, settings)[metric]
    return f"{metric} {score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}] on {len(rows)} items"


if __name__ == "__main__":
    sys.exit(run_stage(main))
