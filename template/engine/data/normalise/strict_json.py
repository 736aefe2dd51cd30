"""One JSON object from bytes, strictly: what most readers pass silently is an error here, with its line and column.

NaN, duplicate keys, lone surrogates and bytes that are not UTF-8 come back as wrong answers after training.  msgspec
decodes the common case at a few hundred megabytes a second but keeps the last of two equal keys. A lost key has lost
its colon too, so the colons of what was decoded are counted against those of the bytes. If they differ, the bytes are
read again, slowly and strictly.
"""

import json
import math
import re
import sys
from typing import Any

import msgspec

from engine.data.check.reject_reasons import BadRecordError, kind

_decode, _encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
_TEXT = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_LONE = r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\."  # two halves, one half, any other escape


def parse_object(data: bytes) -> dict[str, Any]:
    """The one JSON object in ``data``. Raises `BadRecordError` with line and column (from 1) of the fault."""
    try:
        value = _decode(data)
        if type(value) is not dict:
            raise BadRecordError("schema", f"the line is {kind(value)}, not an object")
        colons = data.count(b":")
        # The outermost keys have all colons of most records; `\u003a` in a text is a colon that the bytes do not have.
        if len(value) == colons or (b"\\u003" not in data and _encode(value).count(b":") == colons):
            return value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        pass  # the slow reader tells why, or reads it: an integer of many digits cannot be encoded again
    return _slow(data)


class _FaultError(Exception):
    """Text that is not strict JSON. The group of ``found`` matches it."""

    def __init__(self, what: str, found: str) -> None:
        super().__init__(what)
        self.what, self.found = what, found


class _TwiceError(Exception):
    """An object has a key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def _not_a_number(text: str) -> None:
    raise _FaultError(f"{text} is not JSON", _outside(re.escape(text)))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _FaultError(f"{text} is larger than any number", _outside(re.escape(text)))
    return number


def _outside(pattern: str) -> str:
    """The pattern as a group, and texts as no group."""
    return f"{_TEXT}|({pattern})"


def _place(text: str, at: int) -> str:
    """A character's place in words."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"line {line} of the record, column {column}" if line > 1 else f"column {column}"


def _first(text: str, pattern: str) -> str:
    """The place of the first match of the pattern's group."""
    return next((_place(text, found.start(1)) for found in re.finditer(pattern, text) if found[1]), "somewhere")


def _first_again(text: str) -> tuple[str, str]:
    """The first duplicate key of an object, and its place."""
    objects: list[set[str]] = []
    for found in re.finditer(_TEXT + r"(\s*:)?|[{}]", text):
        mark = found.group()
        if mark == "{":
            objects.append(set())
        elif mark == "}":
            objects.pop()
        elif found[1]:
            key = json.loads(mark.rstrip(": \t\r\n"))
            if key in objects[-1]:
                return key, _place(text, found.start())
            objects[-1].add(key)
    raise AssertionError("the parser found a key twice")


HALF = "a lone surrogate (half of an escaped emoji) is not valid text"
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_not_a_number, parse_float=_finite)


def _slow(data: bytes) -> dict[str, Any]:
    try:
        value = _STRICT.decode(data.decode("utf-8"))
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # \ud800 alone parses, and no tokenizer can encode it
    except UnicodeDecodeError as error:
        hint = "convert the file: iconv -f latin1 -t utf-8"
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise BadRecordError(
            "encoding", f"column {column}: byte 0x{data[error.start]:02x} is not UTF-8; {hint}"
        ) from None
    except UnicodeEncodeError:
        raise BadRecordError("encoding", f"{_first(data.decode(), _LONE)}: {HALF}") from None
    except _TwiceError:
        key, place = _first_again(data.decode())
        raise BadRecordError("json", f"{place}: key `{key}` occurs twice") from None
    except _FaultError as fault:
        raise BadRecordError("json", f"{_first(data.decode(), fault.found)}: {fault.what}") from None
    except json.JSONDecodeError as error:
        raise BadRecordError("json", f"{_place(error.doc, error.pos)}: {error.msg}") from None
    except RecursionError:
        raise BadRecordError("json", "nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        digits = r"\d{" + str(sys.get_int_max_str_digits() + 1) + ",}"
        raise BadRecordError("json", f"{_first(data.decode(), _outside(digits))}: {error}") from None
    if not isinstance(value, dict):
        raise BadRecordError("schema", f"the line is {kind(value)}, not an object")
    return value
