"""One conversation, with any known names of keys and roles, as a list of canonical messages."""

import json
import math
from contextlib import suppress
from functools import lru_cache
from typing import Any

from msgspec import Struct, structs

from engine.data.check.reject_reasons import BadRecordError, kind
from engine.data.normalise.repair_policy import Anomalies

_SYNONYMS = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "chatgpt", "model", "bot", "bing", "bard"),
    "tool": ("tool", "function", "observation", "function_response", "tool_response"),
    "call": ("function_call", "tool_call"),
}
ROLES = {name: role for role, names in _SYNONYMS.items() for name in names}
ROLE_KEYS = ("role", "from", "speaker", "sender")
CONTENT_KEYS = ("content", "value", "text", "message")
THINKING_KEYS = ("thinking", "reasoning_content", "reasoning")


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn. ``role`` is system, user, assistant or tool; the arguments of a tool call are a JSON string."""

    role: str
    content: str
    name: str | None = None
    thinking: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    weight: int | None = None  # 0: this assistant turn is context and not trained on


_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


def text_of(value: Any, key: str, anomalies: Anomalies) -> str:
    """Text as it is; null is nothing; a list of text parts is joined; anything else is an anomaly or an error."""
    if type(value) is str:
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):  # how pandas writes a missing text
        return ""
    if isinstance(value, list):
        return "".join(_part(part, key) for part in value)
    if isinstance(value, int | float | dict) and anomalies.repair(
        "not_text", f"field `{key}` is {kind(value)}, not text"
    ):
        return json.dumps(value, ensure_ascii=False)
    raise BadRecordError("schema", f"field `{key}` is {kind(value)}, not text")


def _part(part: Any, key: str) -> str:
    form = part.get("type", "text") if isinstance(part, dict) else None
    text = part.get("refusal" if form == "refusal" else "text") if form in _TEXT_PARTS else None
    if not isinstance(text, str):
        raise BadRecordError("schema", f"field `{key}` has a part that is not text")
    return text


def json_value(text: str, fault: str) -> Any:
    """The value of a text that is JSON. Raises `BadRecordError` with the ``fault`` if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadRecordError("schema", fault) from None


def one_key(fields: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The one of ``keys`` that the record has; a table gives every record every column, so null counts as absent."""
    present = [key for key in keys if key in fields]
    if len(present) > 1:
        present = [key for key in present if fields[key] is not None] or present[:1]
    if len(present) > 1:
        raise BadRecordError("schema", f"fields `{present[0]}` and `{present[1]}` mean the same: keep one")
    if not present:
        other = f" (or {', '.join(keys[1:])})" if len(keys) > 1 else ""
        raise BadRecordError("schema", f"no field `{keys[0]}`{other}")
    return present[0]


def turns(value: Any, key: str, anomalies: Anomalies) -> list[Message]:
    """A list of turns as messages, as a list or as JSON in a text. Other text is an error."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, list):
        raise BadRecordError("schema", f"field `{key}` is {kind(value)}, not a list of turns")
    if any(type(turn) is dict and turn.get("channel") for turn in value):
        value = _without_channels(value)
    return [turn_message(turn, key, anomalies) for turn in value]


def _without_channels(turns: list[Any]) -> list[Any]:
    """Harmony's turns in the shape that every API reads: an analysis is the thinking of the answer or call after it."""
    found, thought = list[Any](), ""
    for turn in turns:
        fields = dict(turn) if isinstance(turn, dict) else {}
        channel, recipient = fields.pop("channel", None), fields.pop("recipient", None)
        if fields.get("role") != "assistant":
            found.append(fields or turn)
            continue
        called = isinstance(recipient, str) and recipient != "all"
        if channel == "analysis" and not called:
            thought += fields["content"] if isinstance(fields.get("content"), str) else ""
            continue
        if called:
            call = {"name": recipient.removeprefix("functions."), "arguments": fields.get("content")}
            fields = {"role": "assistant", "tool_calls": [call]}
        found.append(fields | ({"thinking": thought} if thought else {}))
        thought = ""
    if thought:
        raise BadRecordError("roles", "an analysis without an answer or a call after it")
    return found


def turn_message(turn: Any, key: str, anomalies: Anomalies) -> Message:
    """One turn of any spelling as a message. Raises `BadRecordError`."""
    if type(turn) is not dict:
        raise BadRecordError("schema", f"field `{key}` is not a list of turns: one is {kind(turn)}")
    if len(turn) == 2:  # the two common spellings, by themselves
        role, content = turn.get("role"), turn.get("content")
        if content is None:
            role, content = turn.get("from"), turn.get("value")
        if type(content) is str and type(role) is str and "</think>" not in content:
            known = ROLES.get(role)
            if known is not None and known != "call":
                return Message(known, content)
    return _message(turn, anomalies)


def _message(turn: dict[str, Any], anomalies: Anomalies) -> Message:
    turn = lower_keys(turn)
    spoken = turn[one_key(turn, ROLE_KEYS)]
    role = ROLES.get(spoken.strip().lower()) if isinstance(spoken, str) else None
    if role is None:
        raise BadRecordError("roles", f"role `{spoken}` is not known")
    calls = _tool_calls(turn)
    present = [key for key in CONTENT_KEYS if key in turn]
    if not present and calls is None:
        raise BadRecordError("schema", f"a turn has no field `{CONTENT_KEYS[0]}` (or {', '.join(CONTENT_KEYS[1:])})")
    key = one_key(turn, CONTENT_KEYS) if present else ""
    content = text_of(turn[key], key, anomalies) if present else ""
    refusal = turn.get("refusal")
    if role == "assistant" and not content and isinstance(refusal, str):
        content = refusal
    if role == "call":
        role, calls, content = "assistant", _calls_from_text(content), ""
    thinking, content = _thinking(turn, content) if role == "assistant" else (None, content)
    if calls is not None and role != "assistant":
        raise BadRecordError("roles", f"a tool call in a turn of the {role}")
    return Message(
        role,
        content,
        name=_optional(turn, "name"),
        thinking=thinking,
        tool_calls=calls,
        tool_call_id=_optional(turn, "tool_call_id"),
        weight=_weight(turn, role),
    )


def lower_keys(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with their names in lower case, unless two names would become one."""
    if _are_lower(tuple(fields)):
        return fields
    lower = {key.strip().lower(): value for key, value in fields.items()}
    return lower if len(lower) == len(fields) else fields


@lru_cache(maxsize=256)  # the records of a file have few sets of names
def _are_lower(names: tuple[str, ...]) -> bool:
    return "".join(names).islower()


def _optional(turn: dict[str, Any], key: str) -> str | None:
    value = turn.get(key)
    return value if isinstance(value, str) and value else None


def _thinking(turn: dict[str, Any], content: str) -> tuple[str | None, str]:
    """The reasoning and the rest: from a field of its own, or from `<think>` at the answer's beginning."""
    for key in THINKING_KEYS:
        if isinstance(turn.get(key), str) and turn[key]:
            return turn[key], content
    start, found, answer = content.partition("</think>")
    if found and start.lstrip().startswith("<think>"):
        return start.lstrip().removeprefix("<think>").strip(), answer.lstrip()
    return None, content


def _weight(turn: dict[str, Any], role: str) -> int | None:
    """0 or 1, as the OpenAI API has it, or a truth value under the names that other trainers use."""
    for key in ("weight", "train", "training"):
        value = turn.get(key)
        if value is None:
            continue
        if value not in (0, 1) or role != "assistant":
            raise BadRecordError("schema", f"`{key}` must be 0 or 1, and only assistant turns may have it")
        return int(value)
    return None


def _tool_calls(turn: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The calls with their arguments as JSON strings, in the one shape that every API reads."""
    calls = turn.get("tool_calls")
    if turn.get("function_call"):  # the older spelling of one call
        calls = [{"function": turn["function_call"]}]
    if not calls:
        return None
    if not isinstance(calls, list):
        raise BadRecordError("schema", f"`tool_calls` is {kind(calls)}, not a list")
    return [_tool_call(call) for call in calls]


def _tool_call(call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRecordError("schema", "a tool call has no function with a name")
    arguments = function.get("arguments", function.get("parameters"))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments if arguments is not None else {}, ensure_ascii=False)
    else:
        json_value(arguments, f"the arguments of `{function['name']}` are not JSON")
    canonical: dict[str, Any] = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    if isinstance(call.get("id"), str):
        canonical = {"id": call["id"], **canonical}
    return canonical


def _calls_from_text(text: str) -> list[dict[str, Any]]:
    """ShareGPT's `function_call` turn: its text is one call as JSON, or a list of them."""
    value = json_value(text, "the text of a function_call turn is not JSON")
    return [_tool_call(call) for call in (value if isinstance(value, list) else [value])]


def in_order(messages: list[Message], anomalies: Anomalies) -> list[Message]:
    """Turns as every chat template renders them: a system turn perhaps, then user and assistant alternating.

    A tool's turns stand between two of the assistant. Raises `BadRecordError`, or fixes, as the policies say.
    """
    system = [turn for turn in messages if turn.role == "system" and turn.content.strip()]
    turns = [turn for turn in messages if turn.role != "system"]
    if system:
        first = messages[0] is system[0]
        if len(system) > 1:  # the system's and the developer's
            first = all(turn.role == "system" for turn in messages[: len(system)])
        if not first:
            place = next((place for place, turn in enumerate(messages, 1) if turn.role == "system" and place > 1), 1)
            if not anomalies.repair("system_not_first", f"turn {place}: a system turn that is not the first one"):
                return messages
        system = [structs.replace(system[0], content="\n\n".join(turn.content for turn in system))]
    if not any(turn.role == "assistant" for turn in turns):
        raise BadRecordError("roles", "no assistant turn: there is nothing to learn")
    if turns[0].role == "assistant" and anomalies.repair(
        "leading_assistant", "turn 1: assistant, but user is expected"
    ):
        while turns and turns[0].role != "user":
            turns = turns[1:]
    _refuse_strange_results(turns)
    turns = _alternating(turns, anomalies)
    last = turns[-1].role if turns else ""
    if last in ("user", "tool") and anomalies.repair("trailing_user", f"the last turn is the {last}'s: no answer"):
        while turns and turns[-1].role != "assistant":
            turns = turns[:-1]
    if not turns:
        raise BadRecordError("roles", "no assistant turn: there is nothing to learn")
    return system + turns


def _refuse_strange_results(turns: list[Message]) -> None:
    """A tool's turn that names a call answers one that was made."""
    made = {call["id"] for turn in turns for call in turn.tool_calls or [] if "id" in call}
    for place, turn in enumerate(turns, 1):
        if made and turn.tool_call_id and turn.tool_call_id not in made:
            raise BadRecordError("roles", f"turn {place} answers the call `{turn.tool_call_id}`, which does not exist")


_NEXT = {"user": ("assistant",), "assistant": ("user", "tool"), "tool": ("assistant", "tool")}


def _alternating(turns: list[Message], anomalies: Anomalies) -> list[Message]:
    kept: list[Message] = []
    for place, turn in enumerate(turns, 1):
        if turn.role != "tool" and not turn.content.strip() and not turn.tool_calls:
            raise BadRecordError("empty", f"turn {place}: the {turn.role} turn is empty")
        due = _NEXT[kept[-1].role] if kept else ("user",)
        if turn.role in due and (turn.role != "tool" or kept[-1].role == "tool" or kept[-1].tool_calls):
            kept.append(turn)
        elif kept and turn.role == kept[-1].role and not (turn.tool_calls or kept[-1].tool_calls):
            if anomalies.repair("same_role", f"turn {place}: {turn.role}, but {due[0]} is expected"):
                kept[-1] = structs.replace(kept[-1], content=f"{kept[-1].content}\n\n{turn.content}")
            else:
                kept.append(turn)
        elif not kept and turn.role == "assistant" and anomalies.policies["leading_assistant"] == "keep":
            kept.append(turn)
        else:
            raise BadRecordError("roles", f"turn {place}: {turn.role}, but {due[0]} is expected")
    return kept
