"""Stage `baseline`: what the untouched model scores with a prompt, with examples and with retrieval.

`train` depends on the marker this stage writes, so nothing is tuned that was not measured first.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.arms import Row, answer_items
from pipeline.backends import Backend, Endpoint, answer_all
from pipeline.files import read_json, read_jsonl, run_stage, write_json, write_jsonl
from pipeline.generation import Generator
from pipeline.metrics import score_items, summarise
from pipeline.model import base_model, base_sha256
from pipeline.prompting import Passages, Policy, Record, choose_shots, read_passages, read_prompt
from pipeline.runtime import prepare
from pipeline.settings import Settings, load

TEST = Path("data/eval/test.jsonl")
DEV = Path("data/eval/dev.jsonl")
BENCHMARK = Path("data/eval/benchmark.json")
TRAIN = Path("data/curated/train.jsonl")
RESULTS = Path("results/baseline")
MARKER = Path("results/baseline.json")
MEASURED = Path("reports/measured/baseline.json")


def main() -> None:
    settings = load()
    items = read_jsonl(TEST)
    backends: dict[str, Backend] = {"": Generator(base_model(settings), prepare(settings.seed))}
    if settings.evaluate.endpoint:
        backends["endpoint_"] = Endpoint(settings.evaluate.endpoint)
    passages = read_passages("train", "dev", "test") if settings.retrieves else None
    count, tried = choose_count(backends[""], passages, settings)
    measured = {}
    for prefix, backend in backends.items():
        for name, policy in policies(items, count, passages, settings).items():
            arm = prefix + name
            rows, measured[arm] = answer_items(arm, backend, items, policy, settings.evaluate)
            write_jsonl(RESULTS / f"{arm}.jsonl", rows)
            print(f"{arm}: {headline(rows, settings)}")
    write_json(MEASURED, measured)
    write_json(
        MARKER,
        {
            "arms": sorted(measured),
            "base_sha256": base_sha256(),
            "benchmark_sha256": read_json(BENCHMARK)["sha256"],
            "shots": count,
            "shots_tried_on_dev": tried,
        },
    )


def policies(items: Sequence[Record], count: int, passages: Passages | None, settings: Settings) -> dict[str, Policy]:
    """The prompt policies of the arms without training: with and without examples, with and without retrieval."""
    knobs = settings.evaluate
    system = read_prompt(knobs.prompt)
    shots = choose_shots(read_jsonl(TRAIN), items, count, settings.seed, knobs.shot_selection)
    found = {"zero_shot": Policy(system), "few_shot": Policy(system, shots)}
    if passages is not None:
        found |= {"rag": Policy(system, {}, passages), "rag_few_shot": Policy(system, shots, passages)}
    return found


def choose_count(backend: Backend, passages: Passages | None, settings: Settings) -> tuple[int, dict[str, float]]:
    """How many examples to show, and the dev score of each number tried; of equal scores the smaller number.

    Chosen on dev: the test items see one number only, so trying more of them cannot flatter the few-shot arm.
    """
    candidates = settings.evaluate.shots[:1] if settings.smoke else sorted(set(settings.evaluate.shots))
    if len(candidates) == 1:
        return candidates[0], {}
    dev, tried = read_jsonl(DEV), {}
    last = "rag_few_shot" if passages is not None else "few_shot"
    for count in candidates:
        policy = policies(dev, count, passages, settings)[last]
        tried[count] = dev_score(backend, dev, policy, settings)
        print(f"dev, {count} examples: {settings.evaluate.primary_metric} {tried[count]:.3f} on {len(dev)} items")
    best = max(candidates, key=lambda count: (tried[count], -count))
    return best, {str(count): round(score, 6) for count, score in tried.items()}


def dev_score(backend: Backend, dev: Sequence[Record], policy: Policy, settings: Settings) -> float:
    """The mean primary metric of a policy on dev items."""
    prompts = [backend.render(policy.ask(item)) for item in dev]
    answers = answer_all(backend, prompts, settings.evaluate.max_new_tokens, settings.evaluate.batch_size)
    rows: list[dict[str, Any]] = [
        {**item, "expected": item["messages"][-1]["content"], "answer": answer.text}
        for item, answer in zip(dev, answers, strict=True)
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
