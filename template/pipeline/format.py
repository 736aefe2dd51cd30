"""Stage `format`: curated records as the trainer reads them, checked against the model's own chat template."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.arms import Record, conversation, quantile, system_prompt
from pipeline.files import ProjectError, read_jsonl, run_stage, write_json, write_jsonl
from pipeline.generation import Message
from pipeline.model import base_model
from pipeline.runtime import quiet
from pipeline.settings import load

SOURCES = {"train": Path("data/curated/train.jsonl"), "dev": Path("data/eval/dev.jsonl")}
FORMATTED = Path("data/formatted")
REPORT = Path("reports/format.json")
SHOWN = 5  # records named in an error


def main() -> None:
    from transformers import AutoTokenizer

    quiet()
    settings = load()
    tokenizer = AutoTokenizer.from_pretrained(base_model(settings))
    system = system_prompt("system")
    report = {}
    for split, source in SOURCES.items():
        records = read_jsonl(source)
        rows = [to_prompt_completion(record, system) for record in records]
        lengths = [token_lengths(row, tokenizer) for row in rows]
        refuse_truncation(records, lengths, settings.format.max_length)
        write_jsonl(FORMATTED / f"{split}.jsonl", rows)
        report[split] = statistics(lengths)
    write_json(REPORT, report)
    train = report["train"]
    shares = f"{train['tokens']} tokens, {train['trained_tokens']} of them trained"
    print(f"train: {train['rows']} rows, {shares}; the longest has {train['longest']}")


def to_prompt_completion(record: Record, system: str) -> dict[str, list[Message]]:
    """The trainer's row: the loss is taken on the completion, that is on the last assistant message, alone."""
    return {"prompt": conversation(record, system), "completion": record["messages"][-1:]}


def token_lengths(row: dict[str, list[Message]], tokenizer: Any) -> tuple[int, int]:
    """Tokens of the whole row and of its trained part, as the model's chat template renders them.

    Raises:
        ProjectError: the template does not render the prompt as the beginning of the whole conversation, or the
            assistant's turn does not close with the end-of-turn token: such a model would never learn to stop.
    """
    prompt = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False)
    if not whole.startswith(prompt):
        raise ProjectError(
            "the chat template renders a prompt differently with and without its answer",
            "models/base: chat_template",
            "loss on the answer alone cannot be computed; use another base model or mend its chat template",
        )
    if tokenizer.eos_token not in whole[len(prompt) :]:
        raise ProjectError(
            f"the chat template does not end the assistant's turn with {tokenizer.eos_token!r}",
            "models/base: chat_template",
            "set the tokenizer's eos_token to its end-of-turn token",
        )
    ids = tokenizer([prompt, whole], add_special_tokens=False)["input_ids"]
    return len(ids[1]), len(ids[1]) - len(ids[0])


def refuse_truncation(records: Sequence[Record], lengths: Sequence[tuple[int, int]], limit: int) -> None:
    """Raise `ProjectError` when any row is longer than ``limit`` tokens: its answer would be cut off unseen."""
    too_long = [(record, total) for record, (total, _) in zip(records, lengths, strict=True) if total > limit]
    if not too_long:
        return
    named = ", ".join(f"line {record['line']} ({total} tokens)" for record, total in too_long[:SHOWN])
    longest = max(total for _, total in too_long)
    raise ProjectError(
        f"{len(too_long)} of {len(records)} rows are longer than {limit} tokens and would lose part of their answer",
        f"input {named}{', ...' if len(too_long) > SHOWN else ''}",
        f"set format.max_length to {longest}, or remove those records",
    )


def statistics(lengths: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Token counts of one split."""
    totals = [total for total, _ in lengths]
    return {
        "rows": len(totals),
        "tokens": sum(totals),
        "trained_tokens": sum(trained for _, trained in lengths),
        "median": int(quantile(totals, 0.5)),
        "p95": int(quantile(totals, 0.95)),
        "longest": max(totals),
    }


if __name__ == "__main__":
    sys.exit(run_stage(main))
