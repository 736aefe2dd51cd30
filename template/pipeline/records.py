"""Read the user's data: strict JSON lines, each one a record in canonical form or rejected with a reason.

A line that is not exactly one JSON object is never repaired or guessed at: NaN, duplicate keys, lone surrogates and
bytes that are not UTF-8 pass silently through most readers and come back as wrong answers after training.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from pipeline.dataset_formats import FORMATS, BadRecordError, Message, kind
from pipeline.files import ProjectError
from pipeline.settings import CurateSettings

BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
PROGRESS_LINES = 100_000


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


class Source(Struct):
    """What a file held. ``offsets`` maps a line to its first byte; blank lines are counted and nothing else."""

    path: str
    records: list[Record]
    rejected: list[Rejected]
    offsets: dict[int, int]
    blank_lines: int
    sha256: str

    @property
    def read(self) -> int:
        """Lines that are not blank: each one ends up kept or rejected."""
        return len(self.offsets)

    def reject(self, record: Record, reason: str, detail: str, kept_id: str) -> Rejected:
        """The note about a record that the kept one makes superfluous."""
        return Rejected(self.path, record.line, self.offsets[record.line], reason, detail, kept_id)


def read_source(path: Path, settings: CurateSettings) -> Source:
    """Read ``path``, a file of JSON lines.

    Raises:
        ProjectError: the file is missing, empty, or UTF-16; a bad line is no error, it is rejected.
    """
    source = Source(path=str(path), records=[], rejected=[], offsets={}, blank_lines=0, sha256="")
    digest = hashlib.sha256()
    for number, offset, line in _lines(path):
        digest.update(line)
        text = line.removeprefix(BOM).strip(b" \t\r\n") if number == 1 else line.strip(b" \t\r\n")
        if number % PROGRESS_LINES == 0:
            print(f"curate: {number} lines read", file=sys.stderr, flush=True)
        if not text:
            source.blank_lines += 1
            continue
        source.offsets[number] = offset
        try:
            source.records.append(canonical(parse_line(text), settings, number))
        except BadRecordError as bad:
            source.rejected.append(Rejected(source.path, number, offset, bad.reason, bad.detail))
    if not source.offsets:
        raise ProjectError("the data file is empty", str(path), "put one JSON object on each line")
    source.sha256 = digest.hexdigest()
    return source


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number, byte offset and bytes of each line. Only a line feed ends a line: U+2028 is legal inside a string."""
    if path.is_dir():
        raise ProjectError("the data file is a folder", str(path), "set curate.path to a file")
    if not path.exists():
        raise ProjectError("the data file is missing", str(path), "put it there, or set curate.path")
    offset = 0
    with path.open("rb") as file:
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
        raise BadRecordError("json", f"key `{twice}` occurs twice")
    return found


def _not_a_number(text: str) -> None:
    raise BadRecordError("json", f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_not_a_number)


def parse_line(line: bytes) -> dict[str, Any]:
    """The one JSON object in ``line``. Raises `BadRecordError` with the column (from 1) of the fault."""
    try:
        value = _DECODER.decode(line.decode("utf-8"))
        if b"\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()  # \ud800 alone parses, and no tokenizer can encode it
    except UnicodeDecodeError as error:
        byte = line[error.start]
        hint = "convert the file: iconv -f latin1 -t utf-8"
        raise BadRecordError("encoding", f"column {error.start + 1}: byte 0x{byte:02x} is not UTF-8; {hint}") from None
    except UnicodeEncodeError:
        raise BadRecordError("encoding", "a lone surrogate (half of an escaped emoji) is not a character") from None
    except json.JSONDecodeError as error:
        raise BadRecordError("json", f"column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise BadRecordError("json", "nested too deeply") from None
    if not isinstance(value, dict):
        raise BadRecordError("schema", f"the line is {kind(value)}, not an object")
    return value


def canonical(fields: dict[str, Any], settings: CurateSettings, line: int) -> Record:
    """The record in canonical form. Raises `BadRecordError` if it cannot be trained on."""
    messages = _checked(FORMATS[settings.format](fields))
    length = sum(len(turn.content) for turn in messages)
    answer = messages[-1].content.strip()
    if len(answer) < settings.min_answer_chars:
        raise BadRecordError("too_short", f"the answer has {len(answer)} characters of {settings.min_answer_chars}")
    if length > settings.max_chars:
        raise BadRecordError("too_long", f"{length} characters of at most {settings.max_chars}")
    identity = "".join([f"{turn.role}\0{turn.content}\0" for turn in messages])
    return Record(
        id=hashlib.sha256(identity.encode()).hexdigest()[:16],
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
        raise BadRecordError("roles", "no assistant turn: there is nothing to learn")
    for place, turn in enumerate(turns, 1):
        if turn.role == "system":
            raise BadRecordError("roles", f"turn {place}: a system turn that is not the first one")
        expected = "user" if place % 2 else "assistant"
        if turn.role != expected:
            raise BadRecordError("roles", f"turn {place}: {turn.role} where {expected} is due")
        if not turn.content.strip():
            raise BadRecordError("empty", f"turn {place}: the {turn.role} says nothing")
    if turns[-1].role != "assistant":
        raise BadRecordError("roles", "the last turn is the user's: there is no answer")
    return messages


def _tag(fields: dict[str, Any], key: str | None, setting: str) -> str | None:
    """A label or group as text. A number or a truth value is written as JSON writes it."""
    if key is None:
        return None
    if key not in fields:
        raise BadRecordError("schema", f"field `{key}` (curate.{setting}) is missing")
    value = fields[key]
    if isinstance(value, dict | list):
        raise BadRecordError("schema", f"field `{key}` (curate.{setting}) is {kind(value)}, not text")
    return value if value is None or isinstance(value, str) else json.dumps(value)
