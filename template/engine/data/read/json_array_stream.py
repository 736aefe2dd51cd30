"""The elements of a JSON array, cut out of a stream by their brackets: a file of any size, one element in memory."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError

# A key of an object that holds nothing but the file's records.
WRAPPERS = (b"data", b"examples", b"rows", b"records", b"train", b"items", b"dataset")
_OTHER_PARTS = (b"validation", b"valid", b"val", b"test", b"dev", b"eval")
_Element: TypeAlias = tuple[int, int, Any]  # line, byte offset, and the bytes or what is wrong with them
_CHUNK = 1 << 20
_BLANK = b" \t\r\n"
# A whole string, the beginning of one that the chunk cuts, a bracket, a comma or a line feed.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|"|[\[\]{},\n]', re.DOTALL)
_PASSED = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+(?=[\[\]{}])', re.DOTALL)  # all before a bracket


def array_elements(stream: IO[bytes], path: Path, limit: int) -> Iterator[_Element]:
    """Line, byte offset and bytes of each element of the file's array, or of the one that objects wrap.

    An element that is broken inside is its own business. One of more than ``limit`` bytes is skipped without being
    held and yielded as a `BadRecordError`.

    Raises:
        ProjectError: a quotation mark or a bracket is never closed, so that no later record can be told from text; or
            there is no array, or more than one.
    """
    cutter = _Cutter(path, limit)
    while chunk := stream.read(_CHUNK):
        yield from cutter.feed(chunk)
    yield from cutter.end()


class _Cutter:
    """Tracks the depth of brackets. An element is the text between two separators at the depth of the array."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit
        self.held, self.base, self.at = b"", 0, 0  # what is not yet cut, its byte offset, how far it is read
        self.line, self.depth = 1, 0
        self.records_depth = 0  # of the array of records; 0 before it begins, -1 after its end
        self.wrapper = 1  # the depth of the object that holds it
        self.other = 0  # the depth of an array before it that holds no records; 0 outside one
        self.key = b""  # the last string seen in the wrapping object, or in those around it
        self.start = 0  # of the current element, in `held`: right after the separator
        self.start_line = 1
        self.offset = 0  # of the current element in the file, if its beginning is no longer held
        self.skipping = self.cut = False
        self.count = 0

    def feed(self, chunk: bytes) -> Iterator[_Element]:
        self.held += chunk
        self.cut = False
        while match := self._next():
            token = match.group()
            if token == b'"':  # the chunk cuts a string: go on from here with the next chunk
                self.at = match.start()
                break
            self.at = match.end()
            if element := self._token(token, match.start(), match.end()):
                yield element
        else:
            self.at = len(self.held)
        if len(self.held) - self.at > self.limit:
            what = f"a quotation mark in line {self.line} is not closed within {self.limit} bytes"
            raise ProjectError(
                what, f"{self.path}, byte {self.base + self.at}", "fix the file, or save it as JSON lines"
            )
        self._forget()

    def _next(self) -> re.Match[bytes] | None:
        """The next token; within a record the next bracket at once, for nothing else matters there but line feeds."""
        if self.depth > self.records_depth > 0 and not self.cut:
            passed = _PASSED.match(self.held, self.at)
            self.cut = passed is None  # no bracket until the chunk's end, which is looked for but once
            if passed:
                self.line += passed.group().count(b"\n")
                self.at = passed.end()
        return _TOKEN.search(self.held, self.at)

    def _token(self, token: bytes, begin: int, end: int) -> _Element | None:
        """The element that ends with this token, if one does."""
        first = token[:1]
        here = self.depth == self.records_depth > 0
        if first == b"\n":
            self.line += 1
        elif first == b'"':
            self.line += token.count(b"\n")
            if self.depth == self.wrapper or (self.records_depth == 0 and not self.other):
                self.key = token[1:-1]
        elif first in b"[{":
            self.depth += 1
            if first == b"[":
                self._array(end)
        elif first == b"," and here:
            return self._cut(begin, end, last=False)
        elif first in b"]}":
            element = self._cut(begin, end, last=True) if here else None
            if here:
                self.records_depth = -1
            self.other = 0 if self.depth == self.other else self.other
            self.depth -= 1
            return element
        return None

    def _array(self, end: int) -> None:
        """An array begins: that of the records, one within another record, or a further one."""
        if self.records_depth == 0 and not self.other:
            if self.depth == 1 or self.key in WRAPPERS:
                self.records_depth, self.wrapper = self.depth, max(1, self.depth - 1)
                self.start, self.start_line = end, self.line
            else:
                self.other = self.depth
        elif self.records_depth < 0 and (
            self.depth == 1 or (self.depth == self.wrapper + 1 and self.key in WRAPPERS + _OTHER_PARTS)
        ):
            where = f"{self.path}, line {self.line}"
            raise ProjectError("the file has several arrays of records", where, "put each array into its own file")

    def _cut(self, begin: int, end: int, *, last: bool) -> _Element | None:
        """The element that ends before ``begin``, if there is one; the next one starts at ``end``."""
        raw = self.held[self.start : begin]
        data = raw.lstrip(_BLANK)
        lead = len(raw) - len(data)
        line = self.start_line + raw[:lead].count(b"\n")
        offset = self.base + self.start + lead
        element: Any = data.rstrip(_BLANK)
        if self.skipping:
            line, offset = self.start_line, self.offset
        if self.skipping or len(element) > self.limit:
            size = self.base + begin - offset
            element = BadRecordError("too_long", f"the record has {size} bytes of at most {self.limit}")
        found: _Element | None = None
        if element or not last:
            found = line, offset, element or BadRecordError("json", "there is nothing between two commas")
        elif self.count:
            found = line, offset, BadRecordError("json", "a comma before the end of the array")
        self.count += 1
        self.start, self.start_line, self.skipping = end, self.line, False
        return found

    def _forget(self) -> None:
        """Drop the bytes that are behind: everything up to the current element, or that too if it is over the limit."""
        keep = self.start if self.records_depth > 0 and not self.skipping else self.at
        if self.at - keep > self.limit:
            self.skipping, self.offset, keep = True, self.base + keep, self.at
        self.held, self.base, self.at = self.held[keep:], self.base + keep, self.at - keep
        self.start = 0

    def end(self) -> Iterator[_Element]:
        """What the file's end leaves open."""
        rest = self.held[self.start :].strip(_BLANK)
        if self.depth:
            raise ProjectError(
                f"the file ends inside a record that begins in line {self.start_line}",
                str(self.path),
                "fix the file: it is truncated, or an earlier quotation mark or bracket is not closed",
            )
        if self.records_depth == 0:
            what, fix = "the file has no array of records", 'write them as JSON lines, or as {"data": [...]}'
            raise ProjectError(what, str(self.path), fix)
        if rest and self.depth == 0 and rest.strip(b"]}" + _BLANK):
            yield self.line, self.base + self.start, BadRecordError("json", "text after the end of the array")
