"""Canonical records in the words of each format; what a format cannot say is an error and never lost."""

import json
from collections.abc import Callable
from typing import Any

from msgspec import to_builtins

from engine.chat.tool_calls import with_call_ids
from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.messages import Message
from engine.data.normalise.records import Record

_SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}
Writer = Callable[[Record], dict[str, Any]]


def written(record: Record, wanted: str) -> dict[str, Any]:
    """A record in another format. Raises `BadRecordError` if that has no place for something the record says."""
    said = {
        name
        for name in ("name", "thinking", "tool_calls", "tool_call_id", "weight")
        if any(getattr(turn, name) is not None for turn in [*record.messages, *(record.rejected or [])])
    }
    said |= {name for name in ("tools", "rejected", "desirable") if getattr(record, name) is not None}
    lost = sorted(said - _HOLDS[wanted])
    if lost:
        raise BadRecordError("schema", f"{wanted} has no place for `{'`, `'.join(lost)}`")
    return WRITERS[wanted](record)


def _to_messages(record: Record) -> dict[str, Any]:
    """OpenAI's form, with reasoning in a field of its own."""
    return {"messages": [to_builtins(turn) for turn in record.messages]} | _tools(record)


def _to_hosted(record: Record) -> dict[str, Any]:
    """The rows of hosted fine-tuning services, which want every call and every result to have the call's id."""
    fields = _to_messages(record)
    try:
        return fields | {"messages": with_call_ids(fields["messages"])}
    except ProjectError as error:
        raise BadRecordError("roles", error.what) from None


def _tools(record: Record) -> dict[str, Any]:
    return {"tools": json.loads(record.tools)} if record.tools else {}


def _to_jsonl(record: Record) -> dict[str, Any]:
    system, turns = _parts(record.messages)
    if len(turns) != 2:
        raise BadRecordError("roles", f"{len(turns)} turns: prompt and completion hold two")
    return system | _tools(record) | {"prompt": turns[0].content, "completion": turns[1].content}


def _to_alpaca(record: Record) -> dict[str, Any]:
    system, turns = _parts(record.messages)
    if len(turns) % 2 or any(turn.role == "tool" or turn.tool_calls for turn in turns):
        raise BadRecordError("roles", "alpaca holds pairs of request and answer")
    pairs = [[turns[at].content, turns[at + 1].content] for at in range(0, len(turns) - 2, 2)]
    history = {"history": pairs} if pairs else {}
    last = {"instruction": turns[-2].content, "input": "", "output": turns[-1].content}
    return system | _tools(record) | history | last


def _to_sharegpt(record: Record) -> dict[str, Any]:
    system, turns = _parts(record.messages)
    tools = {"tools": record.tools} if record.tools else {}
    return system | tools | {"conversations": [_spoken(turn) for turn in turns]}


def _spoken(turn: Message) -> dict[str, Any]:
    """A turn in ShareGPT's words: one that only calls is a `function_call` with the calls as JSON."""
    fields: dict[str, Any] = to_builtins(turn)
    if turn.tool_calls and turn == Message("assistant", "", tool_calls=turn.tool_calls):
        calls = [_bare(call) for call in turn.tool_calls]
        return {"from": "function_call", "value": json.dumps(calls if calls[1:] else calls[0], ensure_ascii=False)}
    return {"from": _SPEAKERS[fields.pop("role")], "value": fields.pop("content")} | fields


def _bare(call: dict[str, Any]) -> dict[str, Any]:
    """A call as name and arguments, these as an object if that says them to the letter."""
    name, said = call["function"]["name"], call["function"]["arguments"]
    value = json.loads(said)
    own = {"id": call["id"]} if "id" in call else {}
    return own | {"name": name, "arguments": value if json.dumps(value, ensure_ascii=False) == said else said}


def _to_preference(record: Record) -> dict[str, Any]:
    """The form of hosted services and of TRL's explicit prompts."""
    if record.rejected is None:
        raise BadRecordError("preference", "the record has no rejected answer")
    place = len(record.messages) - record.answer_turns
    prompt, chosen = record.messages[:place], record.messages[place:]
    parts = {"prompt": prompt, "chosen": chosen, "rejected": record.rejected}
    return {name: [to_builtins(turn) for turn in turns] for name, turns in parts.items()} | _tools(record)


def _to_hosted_preference(record: Record) -> dict[str, Any]:
    fields = _to_preference(record)
    request = {"messages": fields["prompt"], "tools": fields.get("tools", []), "parallel_tool_calls": True}
    return {"input": request, "preferred_output": fields["chosen"], "non_preferred_output": fields["rejected"]}


def _to_kto(record: Record) -> dict[str, Any]:
    if record.desirable is None:
        raise BadRecordError("schema", "the record does not say whether its answer is a good one")
    turns = [to_builtins(turn) for turn in record.messages]
    return {"prompt": turns[:-1], "completion": turns[-1:], "label": record.desirable} | _tools(record)


def _parts(messages: list[Message]) -> tuple[dict[str, str], list[Message]]:
    if messages[0].role == "system":
        return {"system": messages[0].content}, messages[1:]
    return {}, messages


WRITERS: dict[str, Writer] = {
    "alpaca": _to_alpaca,
    "hosted": _to_hosted,
    "hosted_preference": _to_hosted_preference,
    "jsonl": _to_jsonl,
    "kto": _to_kto,
    "messages": _to_messages,
    "preference": _to_preference,
    "sharegpt": _to_sharegpt,
}
_TURN = {"name", "thinking", "tool_calls", "tool_call_id", "weight"}
_HOLDS: dict[str, set[str]] = {
    "alpaca": {"tools"},
    "hosted": (_TURN - {"thinking"}) | {"tools"},
    "hosted_preference": _TURN | {"tools", "rejected"},
    "jsonl": {"tools"},
    "kto": _TURN | {"tools", "desirable"},
    "messages": _TURN | {"tools"},
    "preference": _TURN | {"tools", "rejected"},
    "sharegpt": _TURN | {"tools"},
}
