"""Curated records as rows of prompt and completion, with what their tokens say."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.chat.openai_messages import Message, Record
from engine.chat.template import ChatTemplate, Conversation
from engine.chat.template_checks import (
    Row,
)
from engine.chat.tool_calls import tool_list
from engine.core.errors import ProjectError
from engine.inference.arms import quantile
from engine.inference.prompting import Passages, conversation

SOURCES = {"train": Path("data/curated/train.jsonl"), "dev": Path("data/eval/dev.jsonl")}
STEPS = 50  # a sample of lengths, from which `tunesmith plan` computes the padding
LEFT_OUT = {  # what a template may leave out of a turn before the answer
    "name": ("unread_names", "a turn has a name"),
    "thinking": ("unread_thinking", "a turn before the answer has thinking"),
}
CHECKED = 20  # rows of each split and kind whose token ids are compared


def learnt(record: Record, system: str, passages: Passages | None = None) -> Conversation:
    """What a record is trained on as: its prompt, its answer and its tools."""
    return [*conversation(record, system, (), passages), record["messages"][-1]], record.get("tools")


def sampled(rows: Sequence[Row], asked: Sequence[Conversation]) -> tuple[list[Row], list[Conversation]]:
    """The first rows of text alone, and the first with tools, calls or thinking, to be checked."""
    beyond = [bool(tools) or any(turn.keys() & {"tool_calls", "thinking"} for turn in turns) for turns, tools in asked]
    places = [place for kind in (False, True) for place in [p for p, own in enumerate(beyond) if own is kind][:CHECKED]]
    return [rows[place] for place in places], [asked[place] for place in places]


def to_prompt_completion(turns: Sequence[Message], tools: str | None, template: ChatTemplate) -> Row:
    """The trainer's row: the loss is computed on the completion only, that is, on the last assistant message."""
    converted = template.turns(turns)
    row: Row = {"prompt": converted[:-1], "completion": converted[-1:]}
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
            "the loss of the answer alone cannot be computed; use another base model or fix its chat template",
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
