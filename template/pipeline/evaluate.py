"""Stage `evaluate`: the tuned model on the frozen items, then the verdict against the best prompted arm."""

import sys
from pathlib import Path
from typing import Any

from pipeline.arms import Row, answer_items, conversation, system_prompt
from pipeline.baseline import BENCHMARK, MARKER, RESULTS, TEST, headline
from pipeline.export import describe, served_model
from pipeline.files import ProjectError, read_json, read_jsonl, run_stage, write_json, write_jsonl
from pipeline.generation import Generator
from pipeline.metrics import score_items, summarise
from pipeline.runtime import prepare
from pipeline.settings import Settings, load
from pipeline.verdict import decide

TUNED_RESULTS = Path("results/tuned")
SERVED = Path("models/served.json")
SCORES = Path("reports/scores.json")
ARMS_PLOT = Path("reports/arms.json")
MEASURED = Path("reports/measured/evaluate.json")


def main() -> None:
    settings = load()
    # Loaded as it is served: on this machine's own number type, from the merged weights.
    device = prepare(settings.seed)
    folder = served_model(settings, prepare(settings.seed, settings.train.compute_dtype))
    system = system_prompt("system")
    items = read_jsonl(TEST)
    prompts = [conversation(item, system) for item in items]
    rows, measured = answer_items("tuned", Generator(folder, device), items, prompts, settings.evaluate)
    write_jsonl(TUNED_RESULTS / "tuned.jsonl", rows)
    print(f"tuned: {headline(rows, settings)}")
    write_json(MEASURED, {"tuned": measured})
    write_json(SERVED, describe(folder))

    arms = {**baseline_arms(), "tuned": rows}
    scores = score(arms, settings)
    write_json(SCORES, scores)
    write_json(ARMS_PLOT, plot_rows(scores))
    print(f"{scores['verdict']['decision']}: {scores['verdict']['reason']}")


def baseline_arms() -> dict[str, list[Row]]:
    """The rows of every arm that was answered before training, checked to be of this benchmark."""
    marker, benchmark = read_json(MARKER), read_json(BENCHMARK)
    if marker["benchmark_sha256"] != benchmark["sha256"]:
        raise ProjectError("the baseline was measured on another benchmark", str(MARKER), "run `dvc repro baseline`")
    return {arm: read_jsonl(RESULTS / f"{arm}.jsonl") for arm in marker["arms"]}


def score(arms: dict[str, list[Row]], settings: Settings) -> dict[str, Any]:
    """Every metric of every arm with its interval, and the verdict."""
    primary = settings.evaluate.primary_metric
    judged = {arm: {"items": rows, "scores": score_items(rows, settings)[primary]} for arm, rows in arms.items()}
    return {
        "smoke": settings.smoke,
        "items": len(arms["tuned"]),
        "benchmark_sha256": read_json(BENCHMARK)["sha256"],
        "primary_metric": primary,
        "arms": {arm: summarise(rows, settings) for arm, rows in arms.items()},
        "verdict": decide(judged, settings),
    }


def plot_rows(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """The primary metric of each arm, as DVC plots it."""
    primary = scores["primary_metric"]
    means = {arm: metrics[primary] for arm, metrics in scores["arms"].items()}
    return [{"arm": arm, "score": m["mean"], "low": m["low"], "high": m["high"]} for arm, m in means.items()]


if __name__ == "__main__":
    sys.exit(run_stage(main))
