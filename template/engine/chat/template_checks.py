"""What must hold before a model learns from rows: nothing is lost or cut, trainer and server see the same tokens."""

import json
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from engine.chat.openai_messages import Record
from engine.chat.template import ChatTemplate, Conversation
from engine.chat.template_coverage import SHOWN, refuse_faulty
from engine.core.errors import ProjectError

Row: TypeAlias = dict[str, Any]  # the trainer's: prompt and completion as the chat template reads turns; tools as JSON


def refuse_untrainable(records: Sequence[Record], source: str) -> None:
    """Raise `ProjectError` if a record is not a question with an answer. Training supports nothing else."""
    fix = "remove these records from the raw data, or remove the extra parts from these records"
    refuse_faulty(records, _untrainable, source, fix)


def _untrainable(record: Record) -> str | None:
    roles = [turn["role"] for turn in record["messages"]]
    if "rejected" in record or "desirable" in record:
        what = "compare or judge answers (preference or KTO data)"
    elif roles[-1] != "assistant" or "user" not in roles[:-1]:
        what = "have no user turn before the answer (plain text, or prompts only)"
    else:
        return None
    return f"{what}; such data can be curated but not trained on yet"


def control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """The texts that this tokenizer reads as control tokens anywhere, also in a user's text."""
    marks = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    marks -= {tokenizer.unk_token}
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or r"(?!)")


def holds(record: Record, tokens: re.Pattern[str]) -> str | None:
    """The first of the tokens found in a text of the record: content, thinking, calls or tools."""
    calls = [call["function"]["arguments"] for turn in record["messages"] for call in turn.get("tool_calls") or ()]
    texts = [turn[key] for turn in record["messages"] for key in ("content", "thinking") if key in turn]
    found = (tokens.search(text) for text in [*texts, *calls, record.get("tools") or ""])
    return next((match.group() for match in found if match), None)


def refuse_control_tokens(records: Sequence[Record], held: Sequence[str | None], source: str) -> None:
    """Raise `ProjectError` if a record contains the text of a control token."""
    lines = [f"{record['line']} ({token})" for record, token in zip(records, held, strict=True) if token]
    if lines:
        what = f"{len(lines)} records contain a control token of the model in a text"
        fix = "fix the records, or set curate.anomalies.special_tokens to drop or keep"
        raise ProjectError(what, f"{source}, input line {', '.join(lines[:SHOWN])}", fix)


def unread(key: str, conversations: Sequence[Conversation], template: ChatTemplate) -> int:
    """In how many conversations a turn has a ``name``, or one before the answer ``thinking``, that is not rendered."""
    count = 0
    for turns, tools in conversations:
        own = turns if key == "name" else turns[:-1]
        if any(key in turn for turn in own):
            bare = [{name: value for name, value in turn.items() if name != key} for turn in own]
            count += template.text(turns, tools) == template.text([*bare, *turns[len(bare) :]], tools)
    return count


def check_tokens(rows: Sequence[Row], conversations: Sequence[Conversation], template: ChatTemplate) -> None:
    """Compare the token ids that the trainer computes with those that the server computes.

    The trainer (`trl.SFTTrainer`) asks the chat template for the ids of a row's prompt and whole, and trains on what
    the whole has beyond the prompt; the server renders the conversation and tokenizes the text.

    Raises:
        ProjectError: they differ, or a token spans the border, so that the mask would begin inside it.
    """
    tokenizer = template.tokenizer
    for row, (turns, tools) in zip(rows, conversations, strict=True):
        whole_turns = [*row["prompt"], *row["completion"]]
        knobs = {"tools": json.loads(row["tools"]) if row.get("tools") else None, "return_dict": True}
        trained = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, **knobs)["input_ids"]
        whole = tokenizer.apply_chat_template(whole_turns, **knobs)["input_ids"]
        served = tokenizer(template.text(turns[:-1], tools, prompt=True), add_special_tokens=False)["input_ids"]
        if trained != served or whole[: len(trained)] != trained:
            what = "the trainer and the server" if trained != served else "a prompt with and without its answer"
            fix = "use another base model, or fix its chat template: a special token must separate the two"
            raise ProjectError(f"{what} have different tokens", "models/base: chat_template, tokenizer", fix)


def refuse_truncation(records: Sequence[Record], lengths: Sequence[tuple[int, int]], limit: int) -> None:
    """Raise `ProjectError` when any row is longer than ``limit`` tokens: its answer would be cut off unseen."""
    totals = [total for total, _ in lengths]
    long = [f"line {record['line']} ({n} tokens)" for record, n in zip(records, totals, strict=True) if n > limit]
    if long:
        what = f"{len(long)} of {len(records)} rows are longer than {limit} tokens and would lose part of their answer"
        where = f"input {', '.join(long[:SHOWN])}{', ...' if len(long) > SHOWN else ''}"
        raise ProjectError(what, where, f"set format.max_length to {max(totals)}, or remove those records")
