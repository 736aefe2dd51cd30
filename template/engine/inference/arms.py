"""An arm is a backend and a prompt policy. All arms answer the same frozen items with the same decoding."""

from collections.abc import Sequence
from pathlib import Path

from engine.chat.openai_messages import Record
from engine.chat.tool_calls import answer_text, expected_text, whole_answer
from engine.core.artifacts import MEASURED_LATENCY
from engine.core.io import sha256_json, write_jsonl
from engine.core.progress import Progress
from engine.inference.backend import Answer, Backend, Prompt, answer_all
from engine.inference.prompting import Policy
from engine.inference.results import Latency, Measurement, Row, Work
from engine.settings.evaluate import EvaluateSettings

TIMED_REQUESTS = 5  # single requests timed per arm, after the batched run has warmed everything


def answer_items(
    arm: str,
    backend: Backend,
    items: Sequence[Record],
    policy: Policy,
    settings: EvaluateSettings,
    results: Path,
) -> tuple[list[Row], Measurement]:
    """Answer every item. Returns the rows (the same on every run) and the measurement (seconds; never the same).

    What the model saw is kept, item by item, in ``prompts/<arm>.jsonl`` under ``results``.
    """
    prompts = [backend.render(policy.ask(item), item.get("tools")) for item in items]
    answers = answer_all(backend, prompts, settings.max_new_tokens, settings.batch_size, Progress(arm, len(items)))
    shown = ({"id": item["id"], "prompt": backend.text(p)} for item, p in zip(items, prompts, strict=True))
    write_jsonl(results / "prompts" / f"{arm}.jsonl", shown)
    rows = [
        Row(
            id=item["id"],
            label=item["label"],
            group=item["group"],
            expected=expected_text(item),
            answer=compared(backend, prompt, answer, item),
            prompt_sha256=sha256_json(prompt),
            template_sha256=backend.identity.get("template_sha256"),
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            finish=answer.finish,
            decoding=answer.decoding,
            shots=len(policy.shots.get(item["id"], ())),
            passages=[p["id"] for p in policy.passages[item["id"]]] if policy.passages is not None else [],
        )
        for item, prompt, answer in zip(items, prompts, answers, strict=True)
    ]
    times = (
        {"id": row.id, "seconds": round(a.request_seconds or a.seconds, 5)}
        for row, a in zip(rows, answers, strict=True)
    )
    write_jsonl(MEASURED_LATENCY / f"{arm}.jsonl", times)
    alone = [answer_all(backend, [p], settings.max_new_tokens, 1)[0] for p in prompts[:TIMED_REQUESTS]]
    return rows, measurement(answers, [answer.seconds for answer in alone])


def compared(backend: Backend, prompt: Prompt, answer: Answer, item: Record) -> str:
    """An answer to an item as it is scored: its calls, or its text without the thinking."""
    return answer_text(whole_answer(backend.text(prompt), answer.text), item)


def measurement(answers: Sequence[Answer], single: Sequence[float]) -> Measurement:
    """Tokens, batched throughput and single-request latency of one arm."""
    took = work(answers)
    return Measurement(
        items=took.items,
        seconds=round(took.seconds, 3),
        requests_per_second=round(took.items / took.seconds, 4),
        prompt_tokens=took.prompt_tokens,
        completion_tokens=took.completion_tokens,
        latency_seconds=latency(single),
    )


def work(answers: Sequence[Answer]) -> Work:
    """What answers took, all together."""
    return Work(
        items=len(answers),
        seconds=sum(answer.seconds for answer in answers),
        prompt_tokens=total([answer.prompt_tokens for answer in answers]),
        completion_tokens=total([answer.completion_tokens for answer in answers]),
    )


def latency(seconds: Sequence[float]) -> Latency:
    """The median of single requests, and the slowest of nineteen in twenty."""
    return Latency(p50=quantile(seconds, 0.5), p95=quantile(seconds, 0.95), n=len(seconds))


def total(counts: Sequence[int | None]) -> int | None:
    """The sum, unknown if any part is: what a server does not count is not free."""
    return None if None in counts else sum(count for count in counts if count is not None)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)
    return round(ordered[min(rank, len(ordered) - 1)], 4)
