"""Tool calls and thinking as text: what of an answer is compared, whatever marks a chat template has for them.

A call answer has one text: compact JSON, a list of ``{"arguments": {...}, "name": ...}`` in the order of the calls,
keys sorted. What an answer says beside its calls, and what it thinks before, is not compared.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from pipeline.files import ProjectError

Call: TypeAlias = dict[str, Any]  # name, and arguments as an object

_OPENED = "<think>"
_THOUGHT = "</think>"
_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)  # Hermes, Qwen
_FENCE = re.compile(r"\A```[a-zA-Z]*\s*\n(.*?)\n?```\Z", re.DOTALL)
# What may stand before a call's JSON: Mistral's and Llama's marks (special tokens, which decoding drops), a name.
_LEAD = re.compile(r"[\s;,]*(?:\[TOOL_CALLS\]|<\|python_tag\|>)?\s*([\w.-]*)(?:\[ARGS\])?\s*")
_KEYS = {"name", "arguments", "parameters", "id", "type", "function"}


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
        ValueError: there are more results than calls.
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
                raise ValueError(f"turn {place + 1} is a result more than there are calls")
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
        raise ProjectError(f"the arguments of a tool call are not JSON: {error}", "tool_calls", "mend them") from None


def may_call(record: Mapping[str, Any]) -> bool:
    """Whether an answer to the record may be a call: tools are listed, or the expected answer is one."""
    return bool(record.get("tools") or record["messages"][-1].get("tool_calls"))


def expected_text(record: Mapping[str, Any]) -> str:
    """The expected answer as it is compared."""
    last = record["messages"][-1]
    calls = calls_of(last)
    return call_text(calls) if calls else answer_text(last["content"], may_call(record))


def answer_text(text: str, calls: bool) -> str:
    """An answer as it is compared: without its thinking, and if it may have ``calls`` and has some, these alone."""
    said = without_thinking(text)
    found = read_calls(said)[1] if calls else []
    return call_text(found) if found else said


def whole_answer(prompt: str, text: str) -> str:
    """An answer with the beginning of its thinking, which some chat templates write for the model."""
    return _OPENED + text if prompt.rstrip().endswith(_OPENED) else text


def without_thinking(text: str) -> str:
    """What follows ``<think>...</think>``; nothing if the thinking did not end."""
    thought, ended, rest = text.partition(_THOUGHT)
    if ended and (_OPENED not in thought or thought.lstrip().startswith(_OPENED)):
        return rest.strip()
    return "" if thought.lstrip().startswith(_OPENED) else text


def read_calls(text: str) -> tuple[str, list[Call]]:
    """What an answer says before its calls, and the calls; the whole text and none if there are none.

    Between ``<tool_call>`` and its end, or the whole text is calls: JSON objects, one after the other or in a list, in
    a fence, with the function's name before the arguments, or behind a mark.
    """
    tagged = _TAGGED.findall(text)
    fenced = _FENCE.match(text.strip())
    bodies = tagged or [fenced.group(1) if fenced else text]
    try:
        found = [call for body in bodies for call in _calls(body.strip())]
    except (ValueError, RecursionError):
        return text, []
    return (text.partition("<tool_call>")[0].strip() if tagged else "", found) if found else (text, [])


def _calls(text: str) -> Iterator[Call]:
    decoder, place = json.JSONDecoder(parse_constant=_refuse), 0
    while place < len(text):
        lead = _LEAD.match(text, place)
        assert lead is not None  # it matches nothing, too
        value, place = decoder.raw_decode(text, lead.end())
        for one in value if isinstance(value, list) and not lead.group(1) else [value]:
            yield _call({"name": lead.group(1), "arguments": one} if lead.group(1) else one)


def _call(value: Any) -> Call:
    """A call in any of its spellings. Raises ValueError if it is none."""
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict) or not {*value, *function} <= _KEYS:
        raise ValueError("not a call")
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    if not isinstance(function.get("name"), str) or not isinstance(arguments, dict):
        raise ValueError("not a call")
    return {"name": function["name"], "arguments": arguments}


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
