"""Tables as records: CSV and TSV line by line, Parquet and Arrow batch by batch."""

import ast
import csv
import json
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.dataset_formats import CONVERSATION_KEYS
from engine.data.normalise.messages import CONTENT_KEYS, ROLE_KEYS, ROLES

_DELIMITERS = ",;\t|"
_ROWS = 64  # of Parquet and Arrow in memory at a time: a dictionary makes a large value cheap to repeat
_MAX_ROW_GROUP = 4 << 30  # bytes that one Parquet row group says it expands to
_ROW_LINES = 10_000  # that a quoted cell may span
_LONGEST_LITERAL = 1 << 20  # characters of a cell that is read as a Python literal
_NUMPY_GAP = re.compile(r"\}\s*\n\s*\{")  # NumPy writes no commas, and pandas writes its arrays so
_LISTS = {"messages", "tools", "functions", "history", "completions", "responses", "ranks", "scores"}
_LISTS |= set(CONVERSATION_KEYS)  # columns of which no cell is text


def delimited_rows(
    stream: IO[bytes], path: Path, delimiter: str | None, limit: int
) -> Iterator[tuple[int, int, dict[str, Any] | BadRecordError]]:
    """Line, byte offset and fields of each row; a quoted cell may hold line feeds.

    A cell is text, whatever it begins with: nothing is evaluated. A list of turns, tools or answers (JSON, or the way
    pandas writes Python lists and arrays) is decoded.
    """
    former = csv.field_size_limit(limit)  # the interpreter's own, which others read tables with too
    try:
        yield from _delimited(stream, path, delimiter, limit)
    finally:
        csv.field_size_limit(former)


def _delimited(
    stream: IO[bytes], path: Path, delimiter: str | None, limit: int
) -> Iterator[tuple[int, int, dict[str, Any] | BadRecordError]]:
    lines = _Lines(stream, limit)
    header = lines.header()
    if header.startswith("sep=") and len(header) == len("sep=") + 1:  # how a file tells Excel its delimiter
        delimiter, header = header[-1], lines.header()
    if delimiter is None:
        delimiter = max(_DELIMITERS, key=header.count)
    try:
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    except csv.Error as error:
        fix = "name each column once, in the first line"
        raise ProjectError(f"the table's header cannot be read: {error}", f"{path}, line 1", fix) from None
    if any("\udc80" <= character <= "\udcff" for character in header):
        raise ProjectError("the table's header is not UTF-8", f"{path}, line 1", "iconv -f latin1 -t utf-8")
    if not any(names) or len(set(names)) != len(names):
        what = "the table has no header" if not any(names) else "two columns of the table have the same name"
        raise ProjectError(what, f"{path}, line 1", "name each column once, in the first line")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line, offset = lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            plain = lines.first().split(delimiter)
            if delimiter == "\t" and len(plain) == len(names):  # tab-separated files often have no quotation marks
                yield line, offset, _row(names, plain)
            else:
                yield line, offset, BadRecordError("schema", f"not a row of the table: {error}")
            lines.again()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if cells:
            yield line, offset, _row(names, cells)
        if len(cells) != len(names):
            lines.again()


class _Lines:
    """Decoded lines that know their number and place. A byte that is not UTF-8 is kept as a lone surrogate.

    The lines of the row at hand are held: of a row that is none, `again` gives all but the first line once more, so a
    quotation mark that is never closed costs its own line and not those behind it.
    """

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.limit = stream, limit
        self.number, self.offset = 0, 0
        self.held: list[tuple[bytes, int]] = []  # what is read of a line, and the bytes that it has
        self.waiting: deque[tuple[bytes, int]] = deque()

    def header(self) -> str:
        return next(self, "").removeprefix("\ufeff").rstrip("\r\n")

    def begin(self) -> tuple[int, int]:
        """Line and offset of the next row."""
        self.held.clear()
        return self.number + 1, self.offset

    def first(self) -> str:
        """The first line of the row; nothing of one that is too long."""
        data, size = self.held[0]
        return "" if size > len(data) else data.decode("utf-8", "surrogateescape").rstrip("\r\n")

    def again(self) -> None:
        """Give all lines of the row once more, but for its first."""
        for data, size in reversed(self.held[1:]):
            self.waiting.appendleft((data, size))
            self.offset -= size
            self.number -= 1
        self.held.clear()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self.held) == _ROW_LINES:
            raise csv.Error(f"a quotation mark is not closed within {_ROW_LINES} lines")
        data, size = self.waiting.popleft() if self.waiting else self._read()
        if not data:
            raise StopIteration
        self.held.append((data, size))
        self.number += 1
        self.offset += size
        if size > len(data):
            raise csv.Error(f"the line has {size} bytes of at most {self.limit}")
        return data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")

    def _read(self) -> tuple[bytes, int]:
        """A line and its size; of one that is too long, the beginning."""
        data = self.stream.readline(self.limit)
        size, part = len(data), data
        while len(part) == self.limit and not part.endswith(b"\n"):
            part = self.stream.readline(self.limit)
            size += len(part)
        return data, size


def _row(names: list[str], cells: list[str]) -> dict[str, Any] | BadRecordError:
    if len(cells) != len(names):
        return BadRecordError("schema", f"the row has {len(cells)} cells, the header {len(names)}")
    for name, cell in zip(names, cells, strict=True):
        if not cell.isascii() and any("\udc80" <= character <= "\udcff" for character in cell):
            return BadRecordError(
                "encoding", f"column `{name}` is not UTF-8; convert the file: iconv -f latin1 -t utf-8"
            )
        if "\x00" in cell:
            return BadRecordError("encoding", f"column `{name}` holds a zero byte")
    return {name: _cell(name, cell) for name, cell in zip(names, cells, strict=True)}


def _cell(name: str, cell: str) -> Any:
    """The turns, tools or answers that a cell lists, else its text, which may be JSON: many tasks have such answers."""
    if not cell.startswith(("[", "{")):
        return cell
    value = _decoded(cell)
    return value if name.lower() in _LISTS or _speaks(value) else cell


def _decoded(cell: str) -> Any:
    """The value of JSON or a Python literal in a cell, otherwise its text. No code is run."""
    with suppress(ValueError, RecursionError):
        return json.loads(cell)
    if len(cell) <= _LONGEST_LITERAL:
        for literal in (cell, _NUMPY_GAP.sub("}, {", cell)):
            with suppress(ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
                return ast.literal_eval(literal)
    return cell


def _speaks(value: Any) -> bool:
    """Whether a value is a turn, a list of turns, or a request that holds one."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) and _speaks(item) for item in value)
    if not isinstance(value, dict):
        return False
    says = any(key in value for key in (*CONTENT_KEYS, "tool_calls"))
    turn = says and any(str(value.get(key)).lower() in ROLES for key in ROLE_KEYS)
    return turn or (isinstance(value.get("messages"), list) and _speaks(value["messages"]))


def parquet_rows(path: Path, limit: int) -> Iterator[tuple[int, None, dict[str, Any] | BadRecordError]]:
    """Row number and fields of each row."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        groups = [file.metadata.row_group(index).total_byte_size for index in range(file.metadata.num_row_groups)]
        if max(groups, default=0) > _MAX_ROW_GROUP:
            what = f"a row group of the Parquet file expands to {max(groups)} bytes"
            raise ProjectError(what, str(path), "write the file again with smaller row groups")
        yield from _rows(file.iter_batches(_ROWS), limit)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"the Parquet file is damaged: {_first_line(error)}", str(path), "copy it again") from None


def arrow_rows(path: Path, limit: int) -> Iterator[tuple[int, None, dict[str, Any] | BadRecordError]]:
    """Row number and fields of each row of an Arrow IPC file or stream (as `datasets` keeps them)."""
    import pyarrow

    try:
        with pyarrow.OSFile(str(path)) as source:
            magic = source.read(6)
            source.seek(0)
            if magic == b"ARROW1":
                file = pyarrow.ipc.open_file(source)
                yield from _rows(map(_sound, map(file.get_batch, range(file.num_record_batches))), limit)
            else:
                yield from _rows(map(_sound, pyarrow.ipc.open_stream(source)), limit)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"the Arrow file is damaged: {_first_line(error)}", str(path), "copy it again") from None


def _sound(batch: Any) -> Any:
    """A batch whose offsets lead nowhere else: Arrow trusts the file, and would read past its memory."""
    import pyarrow

    texts = {pyarrow.string(): pyarrow.binary(), pyarrow.large_string(): pyarrow.large_binary()}
    for column in batch.columns:  # as bytes: a text that is not UTF-8 is the business of its row
        (column.view(texts[column.type]) if column.type in texts else column).validate(full=True)
    return batch


def _rows(batches: Iterator[Any], limit: int) -> Iterator[tuple[int, None, dict[str, Any] | BadRecordError]]:
    number = 0
    for batch in batches:
        for begin in range(0, len(batch), _ROWS):
            rows = batch.slice(begin, _ROWS)
            step = 1 if rows.nbytes > limit else _ROWS
            for place in range(0, len(rows), step):
                part = rows.slice(place, step)
                if step == 1 and part.nbytes > limit:
                    number += 1
                    yield number, None, BadRecordError("too_long", f"a row of {part.nbytes} bytes of at most {limit}")
                    continue
                for fields in _listed(part):
                    number += 1
                    yield number, None, fields


def _listed(rows: Any) -> list[dict[str, Any] | BadRecordError]:
    try:
        listed: list[dict[str, Any] | BadRecordError] = rows.to_pylist()
        return listed
    except UnicodeDecodeError as error:
        bad = BadRecordError("encoding", f"a text of the row is not UTF-8: {error.reason}")
    except (ValueError, OverflowError) as error:  # a date that no calendar has
        bad = BadRecordError("schema", str(error))
    if len(rows) == 1:
        return [bad]
    return [row for place in range(len(rows)) for row in _listed(rows.slice(place, 1))]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
