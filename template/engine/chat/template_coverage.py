"""Refuses records with parts that the model's chat template would drop, before any training or measurement."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from engine.chat.openai_messages import Message, Record
from engine.chat.template import ChatTemplate
from engine.chat.tool_calls import answer_text, expected_text
from engine.core.errors import ProjectError

Piece: TypeAlias = tuple[str, list[Message], list[Message]]  # what it is; turns with it and without it
SHOWN = 5  # records named in an error


def refuse_dropped(records: Sequence[Record], template: ChatTemplate, source: str) -> None:
    """Raise `ProjectError` if the template leaves out tools, a call, its result or the thinking of an answer.

    A field counts as dropped if rendering without it gives the same text. A record is also refused if its tool call,
    once rendered, cannot be parsed back, since no answer could then score.
    """
    fix = "use a base model whose chat template supports it, or remove it from these records"
    refuse_faulty(records, lambda record: dropped_part(record, template), source, fix, f"; {template.where}")


def refuse_faulty(
    records: Sequence[Record], fault: Callable[[Record], str | None], source: str, fix: str, also: str = ""
) -> None:
    """Raise `ProjectError` for the first fault that a record has, with the lines of all that have it."""
    found: dict[str, list[str]] = {}
    for record in records:
        if what := fault(record):
            found.setdefault(what, []).append(str(record["line"]))
    if found:
        what, lines = next(iter(found.items()))
        where = f"{source}, input line {', '.join(lines[:SHOWN])}{also}"
        raise ProjectError(f"{len(lines)} records {what}", where, fix)


def dropped_part(record: Record, template: ChatTemplate) -> str | None:
    """The first part of a record that the model would not see, or that could not be scored."""
    turns, tools = record["messages"], record.get("tools")
    pieces = list(_pieces(turns))
    if not pieces and not tools:
        return None
    try:
        template.text(turns, tools)
    except ProjectError as error:
        return f"cannot be rendered: {error.what}"
    for what, whole, reduced in pieces:
        try:
            if template.text(reduced, tools) == template.text(whole, tools):
                return f"{what}, which the model's chat template drops"
        except ProjectError:
            continue  # without it, this is not a conversation
    if turns[-1].get("tool_calls") and read_back(record, template) != expected_text(record):
        return "are answered by a tool call that, once rendered by the chat template, cannot be parsed back"
    return None


def read_back(record: Record, template: ChatTemplate) -> str:
    """The expected answer if the model writes it as its template does: as tokens, decoded as answers are."""
    tokenizer: Any = template.tokenizer
    turns = record["messages"]
    ids = tokenizer(template.answer(turns[:-1], turns[-1], record.get("tools")), add_special_tokens=False)["input_ids"]
    kept = ids[: ids.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in ids else ids
    return answer_text(tokenizer.decode(kept, skip_special_tokens=True).strip(), record)


def _pieces(turns: Sequence[Message]) -> Iterator[Piece]:
    """Each thing that a template may leave out; an earlier turn's thinking is tried as if that turn were the answer."""
    whole = list(turns)
    for place, turn in enumerate(turns):
        before, after = whole[:place], whole[place + 1 :]
        calls = turn.get("tool_calls") or []
        silent = {key: value for key, value in turn.items() if key != "tool_calls"}
        for number in range(len(calls)):
            left = calls[:number] + calls[number + 1 :]
            yield "call tools", whole, [*before, silent | ({"tool_calls": left} if left else {}), *after]
        if calls and turn["content"]:
            yield "contain text next to a tool call", whole, [*before, turn | {"content": ""}, *after]
        if turn["role"] == "tool" and turn["content"]:
            yield "contain a tool's result", whole, [*before, turn | {"content": ""}, *after]
        if turn.get("thinking"):
            without = {key: value for key, value in turn.items() if key != "thinking"}
            yield "contain thinking next to an answer", [*before, turn], [*before, without]
