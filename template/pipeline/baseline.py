"""Stage `baseline`: what the untouched model scores with a prompt alone, before any training.

`train` depends on the marker this stage writes, so nothing is tuned that was not measured first.
"""

import sys
from pathlib import Path

from pipeline.arms import Row, answer_items, choose_shots, conversation, system_prompt
from pipeline.files import read_json, read_jsonl, run_stage, write_json, write_jsonl
from pipeline.generation import Generator
from pipeline.metrics import summarise
from pipeline.model import base_model
from pipeline.run_record import base_sha256
from pipeline.runtime import prepare
from pipeline.settings import Settings, load

TEST = Path("data/eval/test.jsonl")
BENCHMARK = Path("data/eval/benchmark.json")
TRAIN = Path("data/curated/train.jsonl")
RESULTS = Path("results/baseline")
MARKER = Path("results/baseline.json")
MEASURED = Path("reports/measured/baseline.json")


def main() -> None:
    settings = load()
    device = prepare(settings.seed)
    generator = Generator(base_model(settings), device)
    items, system = read_jsonl(TEST), system_prompt("prompted")
    shots = choose_shots(read_jsonl(TRAIN), settings.evaluate.shots, settings.seed)
    policies = {"zero_shot": [], "few_shot": shots} if shots else {"zero_shot": []}

    measured = {}
    for arm, examples in policies.items():
        prompts = [conversation(item, system, examples) for item in items]
        rows, measured[arm] = answer_items(arm, generator, items, prompts, settings.evaluate)
        write_jsonl(RESULTS / f"{arm}.jsonl", rows)
        print(f"{arm}: {headline(rows, settings)}")
    write_json(MEASURED, measured)
    write_json(
        MARKER,
        {
            "arms": sorted(policies),
            "base_sha256": base_sha256(),
            "benchmark_sha256": read_json(BENCHMARK)["sha256"],
            "shots": [shot["id"] for shot in shots],
        },
    )


def headline(rows: list[Row], settings: Settings) -> str:
    """The primary metric of an arm with its interval, as one phrase."""
    metric = settings.evaluate.primary_metric
    score = summarise(rows, settings)[metric]
    return f"{metric} {score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}] on {len(rows)} items"


if __name__ == "__main__":
    sys.exit(run_stage(main))
