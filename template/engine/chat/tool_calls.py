"""Tool calls and thinking as text: the part of an answer that is compared, in one form for all chat templates.

A call answer has one text: compact JSON, a list of ``{"arguments": {...}, "name": ...}`` in the order of the calls,
keys sorted. What an answer says beside its calls, and what it thinks before, is not compared.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.chat.tool_call_parsers import Call, read_calls
from engine.core.errors import ProjectError

_OPENED = "<think>"
_THOUGHT = "</think>"


def tool_list(tools: str | None) -> list[dict[str, Any]] | None:
    """A record's tools as the protocol and the chat templates want them: each a ``function``; None for none."""
    listed = json.loads(tools) if tools else []
    return [_wrapped(tool) for tool in listed] or None


def _wrapped(tool: dict[str, Any]) -> dict[str, Any]:
    if "function" in tool or tool.get("type", "function") != "function":  # as it should be, or a service's own tool
        return tool
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def with_call_ids(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns, every call and every result with the id of the call; those that have none get one by their place.

    Raises:
        ProjectError: there are more results than calls.
    """
    named: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for place, turn in enumerate(turns):
        if turn.get("tool_calls"):
            calls = [{"id": f"call_{place}_{number}"} | call for number, call in enumerate(turn["tool_calls"])]
            open_calls += [call["id"] for call in calls]
            turn = turn | {"tool_calls": calls}
        if turn["role"] == "tool":
            if not open_calls:
                raise ProjectError(f"turn {place + 1} is a result without a call", "tool_calls", "fix the conversation")
            turn = {"tool_call_id": open_calls[0]} | turn
            open_calls = [name for name in open_calls if name != turn["tool_call_id"]]
        named.append(turn)
    return named


def call_text(calls: Sequence[Call]) -> str:
    """The one text of these calls."""
    return json.dumps(calls, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def calls_of(turn: Mapping[str, Any]) -> list[Call]:
    """The calls of a canonical turn.

    Raises:
        ProjectError: the arguments of one are not JSON.
    """
    functions = [call["function"] for call in turn.get("tool_calls") or ()]
    try:
        return [{"name": one["name"], "arguments": json.loads(one["arguments"])} for one in functions]
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"the arguments of a tool call are not JSON: {error}", "tool_calls", "fix them") from None


def may_call(record: Mapping[str, Any]) -> bool:
    """Whether an answer to the record may be a call: tools are listed, or the expected answer is one."""
    return bool(record.get("tools") or record["messages"][-1].get("tool_calls"))


def expected_text(record: Mapping[str, Any]) -> str:
    """The expected answer as it is compared."""
    last = record["messages"][-1]
    calls = calls_of(last)
    return call_text(calls) if calls else answer_text(last["content"], record)


def answer_text(text: str, record: Mapping[str, Any]) -> str:
    """An answer in the form that is compared: without thinking, and only its calls if the record allows calls."""
    spoken = without_thinking(text)
    found = read_calls(spoken, tool_list(record.get("tools")) or ())[1] if may_call(record) else []
    return call_text(found) if found else spoken


def whole_answer(prompt: str, text: str) -> str:
    """An answer with the beginning of its thinking, which some chat templates write for the model."""
    return _OPENED + text if prompt.rstrip().endswith(_OPENED) else text


def without_thinking(text: str) -> str:
    """What follows ``<think>...</think>``; nothing if the thinking did not end."""
    thought, ended, rest = text.partition(_THOUGHT)
    if ended and (_OPENED not in thought or thought.lstrip().startswith(_OPENED)):
        return rest.strip()
    return "" if thought.lstrip().startswith(_OPENED) else text
