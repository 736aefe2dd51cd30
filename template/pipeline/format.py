"""Stage `format`: curated records as the trainer reads them, checked against the model's own chat template."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.files import ProjectError, read_jsonl, run_stage, write_json, write_jsonl
from pipeline.inference.arms import quantile
from pipeline.inference.backends import Message
from pipeline.inference.calls import tool_list
from pipeline.inference.chat_template import ChatTemplate, Conversation
from pipeline.inference.prompting import Passages, Record, conversation, read_passages, read_prompt
from pipeline.inference.unsaid import refuse_unsaid
from pipeline.model import base_model
from pipeline.render_check import (
    Row,
    check_tokens,
    control_tokens,
    holds,
    refuse_control_tokens,
    refuse_truncation,
    refuse_untrainable,
    unread,
)
from pipeline.reporting.format_page import write_page
from pipeline.runtime import quiet
from pipeline.settings import load

SOURCES = {"train": Path("data/curated/train.jsonl"), "dev": Path("data/eval/dev.jsonl")}
FORMATTED = Path("data/formatted")
REPORT = Path("reports/format.json")
STEPS = 50  # lengths that stand for all, from which `tunesmith plan` reckons the padding
LEFT_OUT = {  # what a template may leave out of a turn before the answer
    "name": ("unread_names", "a turn has a name"),
    "thinking": ("unread_thinking", "a turn before the answer has its thinking"),
}
CHECKED = 20  # rows of each split and kind whose token ids are compared


def main() -> None:
    from transformers import AutoTokenizer

    quiet()
    settings = load()
    tokenizer = AutoTokenizer.from_pretrained(base_model(settings))
    template = ChatTemplate(tokenizer)
    system, limit = read_prompt("system"), settings.format.max_length
    passages = read_passages("train", "dev") if settings.format.with_passages else None
    policy, tokens = settings.curate.anomalies.special_tokens, control_tokens(tokenizer)
    report = {}
    left_out = []
    samples = []
    for split, source in SOURCES.items():
        records = read_jsonl(source)
        refuse_untrainable(records, str(source))
        asked = [learnt(record, system, passages) for record in records]
        whole = [record | {"messages": turns} for record, (turns, _) in zip(records, asked, strict=True)]
        refuse_unsaid(whole, template, str(source))
        held = [holds(record, tokens) if policy != "keep" else None for record in records]
        if policy == "error":
            refuse_control_tokens(records, held, str(source))
        rows = [to_prompt_completion(turns, tools, template) for turns, tools in asked]
        lengths = [token_lengths(turns, tools, template) for turns, tools in asked]
        check_tokens(*sampled(rows, asked), template)
        if settings.format.too_long == "error":
            refuse_truncation(records, lengths, limit)
        fits = [not token and total <= limit for token, (total, _) in zip(held, lengths, strict=True)]
        left_out += [
            {"split": split, "id": record["id"], "line": record["line"], "tokens": total}
            | ({"reason": "special_tokens", "token": token} if token else {"reason": "too_many_tokens"})
            for record, token, (total, _), fit in zip(records, held, lengths, fits, strict=True)
            if not fit
        ]
        kept = [length for length, fit in zip(lengths, fits, strict=True) if fit]
        if not kept:
            where = "format.max_length"
            raise ProjectError(f"no {split} record fits {limit} tokens", where, "raise it")
        if split == "train":
            samples = [parts for parts, fit in zip(zip(records, asked, lengths, strict=True), fits, strict=True) if fit]
        write_jsonl(FORMATTED / f"{split}.jsonl", (row for row, fit in zip(rows, fits, strict=True) if fit))
        report[split] = statistics(kept, limit) | {"left_out": len(rows) - len(kept)}
        for key, (name, what) in LEFT_OUT.items():
            if count := unread(key, asked, template):
                report[split][name] = count
                print(f"{split}: in {count} rows {what}, which the chat template leaves out")
    write_jsonl(FORMATTED / "rejected.jsonl", left_out)
    write_json(REPORT, report)
    write_page(samples, report, limit, template)
    train = report["train"]
    shares = f"{train['tokens']} tokens, {train['trained_tokens']} of them trained"
    print(f"train: {train['rows']} rows, {shares}; the longest has {train['longest']}; {len(left_out)} are left out")


def learnt(record: Record, system: str, passages: Passages | None = None) -> Conversation:
    """What a record is trained on as: its prompt, its answer and its tools."""
    return [*conversation(record, system, (), passages), record["messages"][-1]], record.get("tools")


def sampled(rows: Sequence[Row], asked: Sequence[Conversation]) -> tuple[list[Row], list[Conversation]]:
    """The first rows of text alone, and the first with tools, calls or thinking, to be checked."""
    beyond = [bool(tools) or any(turn.keys() & {"tool_calls", "thinking"} for turn in turns) for turns, tools in asked]
    places = [place for kind in (False, True) for place in [p for p, own in enumerate(beyond) if own is kind][:CHECKED]]
    return [rows[place] for place in places], [asked[place] for place in places]


def to_prompt_completion(turns: Sequence[Message], tools: str | None, template: ChatTemplate) -> Row:
    """The trainer's row: the loss is taken on the completion, that is on the last assistant message, alone."""
    said = template.turns(turns)
    row: Row = {"prompt": said[:-1], "completion": said[-1:]}
    return row | ({"tools": json.dumps(tool_list(tools), ensure_ascii=False)} if tools else {})


def token_lengths(turns: Sequence[Message], tools: str | None, template: ChatTemplate) -> tuple[int, int]:
    """Tokens of the whole row and of its trained part, as the model's chat template renders them.

    Raises:
        ProjectError: the template does not render the prompt as the beginning of the whole conversation, or the
            assistant's turn does not close with the end-of-turn token: such a model would never learn to stop.
    """
    tokenizer = template.tokenizer
    prompt, whole = template.text(turns[:-1], tools, prompt=True), template.text(turns, tools)
    if not whole.startswith(prompt):
        raise ProjectError(
            "the chat template renders a prompt differently with and without its answer",
            "models/base: chat_template",
            "loss on the answer alone cannot be computed; use another base model or fix its chat template",
        )
    if tokenizer.eos_token not in whole[len(prompt) :]:
        raise ProjectError(
            f"the chat template does not end the assistant's turn with {tokenizer.eos_token!r}",
            "models/base: chat_template",
            "set the tokenizer's eos_token to its end-of-turn token",
        )
    ids = tokenizer([prompt, whole], add_special_tokens=False)["input_ids"]
    return len(ids[1]), len(ids[1]) - len(ids[0])


def statistics(lengths: Sequence[tuple[int, int]], limit: int) -> dict[str, Any]:
    """Token counts of one split, and how full sequences of ``limit`` tokens would be if rows were packed into them."""
    totals = [total for total, _ in lengths]
    return {
        "rows": len(totals),
        "tokens": sum(totals),
        "trained_tokens": sum(trained for _, trained in lengths),
        "median": int(quantile(totals, 0.5)),
        "p95": int(quantile(totals, 0.95)),
        "longest": max(totals),
        "lengths": [int(quantile(totals, (step + 0.5) / STEPS)) for step in range(STEPS)],  # evenly spaced by rank
        "packed_sequences": packed(totals, limit),
        "packed_fill": round(sum(totals) / (packed(totals, limit) * limit), 4),
    }


def packed(totals: Sequence[int], limit: int) -> int:
    """How many sequences of ``limit`` tokens hold all rows, whole, the longest first and each in the fullest that fits.

    Best-fit decreasing, as TRL packs.
    """
    room = [0] * (limit + 1)  # how many sequences have so many tokens free
    count = 0
    for total in sorted(totals, reverse=True):
        free = next((left for left in range(total, limit + 1) if room[left]), None)
        if free is None:
            count, free = count + 1, limit
        else:
            room[free] -= 1
        room[free - total] += 1
    return count


if __name__ == "__main__":
    sys.exit(run_stage(main))
