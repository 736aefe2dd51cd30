"""The shapes in which people keep training examples, each turned into a list of messages.

Only the spellings that are in real use are understood; anything else is a `BadRecordError` that says what was expected.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

PROMPT_KEYS = ("prompt", "input", "question", "query", "instruction")
COMPLETION_KEYS = ("completion", "output", "answer", "response")
CONVERSATION_KEYS = ("conversations", "conversation", "items", "dialog")
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "bard": "assistant",
}


class Message(Struct, frozen=True):
    """One turn. ``role`` is system, user or assistant."""

    role: str
    content: str


class BadRecordError(Exception):
    """A record that cannot be used. ``reason`` is a code, ``detail`` says what and where."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    names = {bool: "a truth value", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names[type(value)]


def _text(fields: dict[str, Any], key: str) -> str:
    """The text in ``key``; null and absent are nothing, anything else is an error."""
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRecordError("schema", f"field `{key}` is {kind(value)}, not text")
    return value


def _one_key(fields: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The one of ``keys`` that the record has."""
    present = [key for key in keys if key in fields]
    if len(present) > 1:
        raise BadRecordError("schema", f"fields `{present[0]}` and `{present[1]}` mean the same: keep one")
    if not present:
        raise BadRecordError("schema", f"no field `{keys[0]}` (or {', '.join(keys[1:])})")
    return present[0]


def _from_jsonl(fields: dict[str, Any]) -> list[Message]:
    """``prompt`` and ``completion``, or their synonyms; ``system`` if there is one."""
    if "instruction" in fields and "input" in fields:
        raise BadRecordError(
            "schema", "fields `instruction` and `input` together are the alpaca format (curate.format)"
        )
    asked = _text(fields, _one_key(fields, PROMPT_KEYS))
    answer = _text(fields, _one_key(fields, COMPLETION_KEYS))
    return [Message("system", _text(fields, "system")), Message("user", asked), Message("assistant", answer)]


def _from_alpaca(fields: dict[str, Any]) -> list[Message]:
    """``instruction``, ``input`` (may be absent), ``output`` or ``response``; earlier turns in ``history``."""
    if "instruction" not in fields:
        raise BadRecordError("schema", "no field `instruction`")
    answer = _text(fields, _one_key(fields, ("output", "response")))
    asked = "\n".join(part for part in (_text(fields, "instruction"), _text(fields, "input")) if part)
    messages = [Message("system", _text(fields, "system"))]
    for turn in fields.get("history") or []:
        if not (isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)):
            raise BadRecordError("schema", "`history` is not a list of pairs of texts")
        messages += [Message("user", turn[0]), Message("assistant", turn[1])]
    return [*messages, Message("user", asked), Message("assistant", answer)]


def _from_sharegpt(fields: dict[str, Any]) -> list[Message]:
    """``conversations`` of ``from`` and ``value``, in the spellings that are in use."""
    turns = _turns(fields, _one_key(fields, CONVERSATION_KEYS))
    system = [Message("system", _text(fields, "system"))] if fields.get("system") else []
    return system + [_message(turn, ("from", "role"), ("value", "content", "text")) for turn in turns]


def _from_messages(fields: dict[str, Any]) -> list[Message]:
    """``messages`` of ``role`` and ``content``, as the OpenAI API has them."""
    if "messages" not in fields:
        raise BadRecordError("schema", "no field `messages`")
    return [_message(turn, ("role",), ("content",)) for turn in _turns(fields, "messages")]


def _turns(fields: dict[str, Any], key: str) -> list[dict[str, Any]]:
    turns = fields[key]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise BadRecordError("schema", f"field `{key}` is not a list of turns")
    return turns


def _message(turn: dict[str, Any], role_keys: tuple[str, ...], content_keys: tuple[str, ...]) -> Message:
    role = _text(turn, _one_key(turn, role_keys)).strip().lower()
    if role not in ROLES or turn.get("tool_calls") or turn.get("function_call"):
        what = "a tool call" if role in ROLES else f"role `{role}`"
        raise BadRecordError("roles", f"{what} is not supported: only system, user and assistant text")
    return Message(ROLES[role], _content(turn, _one_key(turn, content_keys)))


def _content(turn: dict[str, Any], key: str) -> str:
    """A turn's text, also when it is given as a list of text parts."""
    parts = turn[key]
    if not isinstance(parts, list):
        return _text(turn, key)
    if any(not isinstance(part, dict) or not isinstance(part.get("text"), str) for part in parts):
        raise BadRecordError("schema", f"field `{key}` has a part that is not text")
    return "".join(part["text"] for part in parts)


FORMATS: dict[str, Callable[[dict[str, Any]], list[Message]]] = {
    "jsonl": _from_jsonl,
    "alpaca": _from_alpaca,
    "sharegpt": _from_sharegpt,
    "messages": _from_messages,
}
