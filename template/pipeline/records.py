"""Read the user's data: strict JSON lines in four formats, every record in one canonical form or rejected with a reason.

A line that is not exactly one JSON object is never repaired or guessed at: NaN, duplicate keys, lone surrogates and
bytes that are not UTF-8 pass silently through most readers and come back as wrong answers after training.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from pipeline.files import ProjectError
from pipeline.settings import CurateSettings

BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")

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


class Record(Struct, frozen=True):
    """One example in canonical form; the last message is the answer."""

    id: str  # 16 hex digits of the SHA-256 of the messages
    messages: list[Message]
    group: str | None
    label: str | None
    line: int  # of the source file, from 1

    @property
    def answer(self) -> str:
        """The text that the model has to learn to write."""
        return self.messages[-1].content

    @property
    def system(self) -> str:
        """The record's own system prompt, or nothing."""
        return self.messages[0].content if self.messages[0].role == "system" else ""

    @property
    def prompt(self) -> str:
        """What is asked: every turn between the system prompt and the answer."""
        return "\n".join(turn.content for turn in self.messages[:-1] if turn.role != "system")


class Rejected(Struct, frozen=True, omit_defaults=True):
    """One line that is not used, and why."""

    source: str
    line: int  # from 1
    byte_offset: int  # of the line's first byte in the file
    reason: str
    detail: str
    kept_id: str | None = None  # of the record that makes this one superfluous


class BadRecord(Exception):
    """A record that cannot be used. ``reason`` is a code, ``detail`` says what and where."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Source(Struct):
    """What a file held. ``offsets`` maps a line to its first byte; blank lines are counted and nothing else."""

    records: list[Record]
    rejected: list[Rejected]
    offsets: dict[int, int]
    blank_lines: int
    sha256: str

    @property
    def read(self) -> int:
        """Lines that are not blank: each one ends up kept or rejected."""
        return len(self.offsets)


def read_source(path: Path, settings: CurateSettings) -> Source:
    """Read ``path``, a file of JSON lines.

    Raises:
        ProjectError: the file is missing, empty, or UTF-16; a bad line is no error, it is rejected.
    """
    source = Source(records=[], rejected=[], offsets={}, blank_lines=0, sha256="")
    digest = hashlib.sha256()
    for number, offset, line in _lines(path):
        digest.update(line)
        text = line.removeprefix(BOM).strip(b" \t\r\n") if number == 1 else line.strip(b" \t\r\n")
        if not text:
            source.blank_lines += 1
            continue
        source.offsets[number] = offset
        try:
            source.records.append(canonical(parse_line(text), settings, number))
        except BadRecord as bad:
            source.rejected.append(Rejected(str(path), number, offset, bad.reason, bad.detail))
    if not source.offsets:
        raise ProjectError("the data file is empty", str(path), "put one JSON object on each line")
    source.sha256 = digest.hexdigest()
    return source


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number, byte offset and bytes of each line. Only a line feed ends a line: U+2028 is legal inside a string."""
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        raise ProjectError("the data file is missing", str(path), "put it there, or set curate.path") from None
    except IsADirectoryError:
        raise ProjectError("the data file is a folder", str(path), "set curate.path to a file") from None
    with file:
        offset = 0
        for number, line in enumerate(file, 1):
            if number == 1 and line.startswith(UTF16_BOMS):
                raise ProjectError("the data file is UTF-16", str(path), "save it as UTF-8")
            yield number, offset, line
            offset += len(line)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadRecord("json", f"key `{twice}` occurs twice")
    return found


def _not_a_number(text: str) -> None:
    raise BadRecord("json", f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_not_a_number)


def parse_line(line: bytes) -> dict[str, Any]:
    """The one JSON object in ``line``. Raises `BadRecord` with the column (from 1) of the fault."""
    try:
        value = _DECODER.decode(line.decode("utf-8"))
        if b"\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()  # \ud800 alone parses, and no tokenizer can encode it
    except UnicodeDecodeError as error:
        byte = line[error.start]
        hint = "convert the file: iconv -f latin1 -t utf-8"
        raise BadRecord("encoding", f"column {error.start + 1}: byte 0x{byte:02x} is not UTF-8; {hint}") from None
    except UnicodeEncodeError:
        raise BadRecord("encoding", "a lone surrogate (half of an escaped emoji) is not a character") from None
    except json.JSONDecodeError as error:
        raise BadRecord("json", f"column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise BadRecord("json", "nested too deeply") from None
    if not isinstance(value, dict):
        raise BadRecord("schema", f"the line is {_kind(value)}, not an object")
    return value


def canonical(fields: dict[str, Any], settings: CurateSettings, line: int) -> Record:
    """The record in canonical form. Raises `BadRecord` if it cannot be trained on."""
    messages = _checked(_FORMATS[settings.format](fields))
    length = sum(len(turn.content) for turn in messages)
    answer = messages[-1].content.strip()
    if len(answer) < settings.min_answer_chars:
        raise BadRecord("too_short", f"the answer has {len(answer)} characters of {settings.min_answer_chars}")
    if length > settings.max_chars:
        raise BadRecord("too_long", f"{length} characters of at most {settings.max_chars}")
    digest = hashlib.sha256()
    for turn in messages:
        digest.update(f"{turn.role}\0{turn.content}\0".encode())
    return Record(
        id=digest.hexdigest()[:16],
        messages=messages,
        group=_tag(fields, settings.group_key, "group_key"),
        label=_tag(fields, settings.label_key, "label_key"),
        line=line,
    )


def _checked(messages: list[Message]) -> list[Message]:
    """Messages that every chat template can render: an optional system turn, then user and assistant in turns."""
    messages = [turn for turn in messages if turn.role != "system" or turn.content.strip()]
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    if not any(turn.role == "assistant" for turn in turns):
        raise BadRecord("roles", "no assistant turn: there is nothing to learn")
    for place, turn in enumerate(turns, 1):
        if turn.role == "system":
            raise BadRecord("roles", f"turn {place}: a system turn that is not the first one")
        expected = "user" if place % 2 else "assistant"
        if turn.role != expected:
            raise BadRecord("roles", f"turn {place}: {turn.role} where {expected} is due")
        if not turn.content.strip():
            raise BadRecord("empty", f"turn {place}: the {turn.role} says nothing")
    if turns[-1].role != "assistant":
        raise BadRecord("roles", "the last turn is the user's: there is no answer")
    return messages


def _tag(fields: dict[str, Any], key: str | None, setting: str) -> str | None:
    """A label or group as text. A number or a truth value is written as JSON writes it."""
    if key is None:
        return None
    if key not in fields:
        raise BadRecord("schema", f"field `{key}` (curate.{setting}) is missing")
    value = fields[key]
    if isinstance(value, dict | list):
        raise BadRecord("schema", f"field `{key}` (curate.{setting}) is {_kind(value)}, not text")
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _kind(value: Any) -> str:
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
        raise BadRecord("schema", f"field `{key}` is {_kind(value)}, not text")
    return value


def _one_key(fields: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The one of ``keys`` that the record has."""
    present = [key for key in keys if key in fields]
    if len(present) > 1:
        raise BadRecord("schema", f"fields `{present[0]}` and `{present[1]}` mean the same: keep one")
    if not present:
        raise BadRecord("schema", f"no field `{keys[0]}` (or {', '.join(keys[1:])})")
    return present[0]


def _from_jsonl(fields: dict[str, Any]) -> list[Message]:
    """``prompt`` and ``completion``, or their synonyms; ``system`` if there is one."""
    if "instruction" in fields and "input" in fields:
        raise BadRecord("schema", "fields `instruction` and `input` together are the alpaca format (curate.format)")
    asked = _text(fields, _one_key(fields, PROMPT_KEYS))
    answer = _text(fields, _one_key(fields, COMPLETION_KEYS))
    return [Message("system", _text(fields, "system")), Message("user", asked), Message("assistant", answer)]


def _from_alpaca(fields: dict[str, Any]) -> list[Message]:
    """``instruction``, ``input`` (may be absent), ``output`` or ``response``; earlier turns in ``history``."""
    if "instruction" not in fields:
        raise BadRecord("schema", "no field `instruction`")
    answer = _text(fields, _one_key(fields, ("output", "response")))
    asked = "\n".join(part for part in (_text(fields, "instruction"), _text(fields, "input")) if part)
    messages = [Message("system", _text(fields, "system"))]
    for turn in fields.get("history") or []:
        if not (isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)):
            raise BadRecord("schema", "`history` is not a list of pairs of texts")
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
        raise BadRecord("schema", "no field `messages`")
    return [_message(turn, ("role",), ("content",)) for turn in _turns(fields, "messages")]


def _turns(fields: dict[str, Any], key: str) -> list[dict[str, Any]]:
    turns = fields[key]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise BadRecord("schema", f"field `{key}` is not a list of turns")
    return turns


def _message(turn: dict[str, Any], role_keys: tuple[str, ...], content_keys: tuple[str, ...]) -> Message:
    role = _text(turn, _one_key(turn, role_keys)).strip().lower()
    if role not in ROLES or turn.get("tool_calls") or turn.get("function_call"):
        what = "a tool call" if role in ROLES else f"role `{role}`"
        raise BadRecord("roles", f"{what} is not supported: only system, user and assistant text")
    return Message(ROLES[role], _content(turn, _one_key(turn, content_keys)))


def _content(turn: dict[str, Any], key: str) -> str:
    """A turn's text, also when it is given as a list of text parts."""
    parts = turn[key]
    if not isinstance(parts, list):
        return _text(turn, key)
    if any(not isinstance(part, dict) or not isinstance(part.get("text"), str) for part in parts):
        raise BadRecord("schema", f"field `{key}` has a part that is not text")
    return "".join(part["text"] for part in parts)


_FORMATS: dict[str, Callable[[dict[str, Any]], list[Message]]] = {
    "jsonl": _from_jsonl,
    "alpaca": _from_alpaca,
    "sharegpt": _from_sharegpt,
    "messages": _from_messages,
}
