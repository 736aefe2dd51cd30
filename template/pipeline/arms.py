"""An arm is a model and a prompt policy. All arms answer the same frozen items with the same decoding."""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.files import ProjectError, sha256_json
from pipeline.generation import Generator, Message
from pipeline.progress import Progress
from pipeline.settings import EvaluateSettings

Record = dict[str, Any]  # a curated record; its last message is the expected answer
Row = dict[str, Any]  # one answered item; see `answer_items`
PROMPTS = Path("prompts")
TIMED_REQUESTS = 5  # single requests timed per arm, after the batched run has warmed everything


def system_prompt(name: str) -> str:
    """The text of ``prompts/<name>.txt``, without surrounding white space; empty means no system message."""
    path = PROMPTS / f"{name}.txt"
    try:
        return path.read_text("utf-8").strip()
    except FileNotFoundError:
        raise ProjectError("a prompt file is missing", str(path), "restore it from git") from None


def conversation(record: Record, system: str, shots: Sequence[Record] = ()) -> list[Message]:
    """The chat prompt of a record: system message, shots as earlier turns, then the record's own turns but the last.

    A record's own system message wins over the project's.
    """
    turns = record["messages"][:-1]
    if turns and turns[0]["role"] == "system":
        system, turns = turns[0]["content"], turns[1:]
    opening = [{"role": "system", "content": system}] if system else []
    examples = [message for shot in shots for message in shot["messages"] if message["role"] != "system"]
    return [*opening, *examples, *turns]


def choose_shots(train: Sequence[Record], count: int, seed: int) -> list[Record]:
    """``count`` training records, one label after another: none is shown twice before all are shown once."""
    by_label: dict[str, list[Record]] = {}
    for record in sorted(train, key=lambda record: record["id"]):
        by_label.setdefault(record["label"] or "", []).append(record)
    generator = random.Random(seed)
    for records in by_label.values():
        generator.shuffle(records)
    labels = sorted(by_label)
    generator.shuffle(labels)
    rounds = [by_label[label][turn] for turn in range(count) for label in labels if turn < len(by_label[label])]
    return rounds[:count]


def answer_items(
    arm: str,
    generator: Generator,
    items: Sequence[Record],
    conversations: Sequence[list[Message]],
    settings: EvaluateSettings,
) -> tuple[list[Row], dict[str, Any]]:
    """Answer every item. Returns the rows (the same on every run) and the measurement (seconds; never the same)."""
    prompts = [generator.render(messages) for messages in conversations]
    progress = Progress(arm, len(items))
    start = time.perf_counter()
    answers = generator.answer(prompts, settings.max_new_tokens, settings.batch_size, progress)
    seconds = time.perf_counter() - start
    rows = [
        {
            "id": item["id"],
            "label": item["label"],
            "group": item["group"],
            "expected": item["messages"][-1]["content"],
            "answer": answer.text,
            "prompt_sha256": sha256_json(prompt),
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "finish": answer.finish,
        }
        for item, prompt, answer in zip(items, prompts, answers, strict=True)
    ]
    single = generator.time_single(prompts[:TIMED_REQUESTS], settings.max_new_tokens)
    return rows, measurement(rows, seconds, single)


def measurement(rows: Sequence[Row], seconds: float, single: Sequence[float]) -> dict[str, Any]:
    """Tokens, batched throughput and single-request latency of one arm."""
    return {
        "items": len(rows),
        "seconds": round(seconds, 3),
        "requests_per_second": round(len(rows) / seconds, 4),
        "prompt_tokens": sum(row["prompt_tokens"] for row in rows),
        "completion_tokens": sum(row["completion_tokens"] for row in rows),
        "latency_seconds": {"p50": quantile(single, 0.5), "p95": quantile(single, 0.95), "n": len(single)},
    }


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)
    return round(ordered[min(rank, len(ordered) - 1)], 4)
