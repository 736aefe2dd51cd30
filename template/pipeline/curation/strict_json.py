"""One JSON object from bytes, strictly: what most readers pass silently is an error here, with its line and column.

NaN, duplicate keys, lone surrogates and bytes that are not UTF-8 come back as wrong answers after training.  msgspec
decodes the common case at a few hundred megabytes a second but keeps the last of two equal keys; so the keys that it
returned are counted against the colons in the bytes, and whatever does not add up is read again, slowly and strictly.
"""

import json
import math
from typing import Any

import msgspec

from pipeline.curation.reasons import BadRecordError, kind

_FAST = msgspec.json.Decoder()


def parse_object(data: bytes) -> dict[str, Any]:
    """The one JSON object in ``data``. Raises `BadRecordError` with line and column (from 1) of the fault."""
    try:
        value = _FAST.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _slow(data)
    if type(value) is not dict:
        raise BadRecordError("schema", f"the line is {kind(value)}, not an object")
    # Each key has its colon. If there are as many colons as keys, none was lost; else some may stand inside texts.
    keys, colons = _keys(value), data.count(b":")
    if keys == colons or (b"\\u003" not in data and keys + _text_colons(value) == colons):
        return value
    return _slow(data)


def _keys(value: Any) -> int:
    """How many keys all objects in ``value`` have."""
    count, waiting = 0, [value]
    while waiting:
        inner = waiting.pop()
        if type(inner) is dict:
            count += len(inner)
            inner = inner.values()
        for item in inner:
            if type(item) is dict or type(item) is list:
                waiting.append(item)
    return count


def _text_colons(value: Any) -> int:
    """How many colons all texts in ``value`` have, keys included."""
    count, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if type(item) is str:
            count += item.count(":")
        elif type(item) is list:
            waiting += item
        elif type(item) is dict:
            waiting += item
            waiting += item.values()
    return count


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadRecordError("json", f"key `{twice}` occurs twice")
    return found


def _not_a_number(text: str) -> None:
    raise BadRecordError("json", f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadRecordError("json", f"{text} is larger than any number")
    return number


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
        raise BadRecordError("encoding", "a lone surrogate (half of an escaped emoji) is not a character") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} of the record, column {error.colno}" if error.lineno > 1 else ""
        raise BadRecordError("json", f"{place or f'column {error.colno}'}: {error.msg}") from None
    except RecursionError:
        raise BadRecordError("json", "nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise BadRecordError("json", str(error)) from None
    if not isinstance(value, dict):
        raise BadRecordError("schema", f"the line is {kind(value)}, not an object")
    return value
