"""What a data file is, judged by its bytes and not by its name, and the records in it one by one.

JSON lines, a JSON array, an object that wraps one, CSV, TSV, Parquet or Arrow; the text ones also compressed with gzip
or Zstandard.  A file is read as a stream: memory holds one record, however large the file is.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

import zstandard

from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.dataset_formats import CONVERSATION_KEYS, PROMPT_KEYS
from engine.data.read.json_array_stream import WRAPPERS, array_elements
from engine.data.read.tables import arrow_rows, delimited_rows, parquet_rows

# Line (or row) from 1, byte offset of the record (None if a format has none), and the record: JSON bytes, the
# decoded fields, or what is wrong with it.
Item: TypeAlias = tuple[int, int | None, bytes | dict[str, Any] | BadRecordError]
MAX_LINE_BYTES = 16 << 20  # a longer record is left out without being held in memory
BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_SPEAKS = re.compile(rb'"(?:role|from|speaker|sender)"')
_WRAPPED = re.compile(rb'"(%s)"\s*:\s*\[\s*[{\[]' % b"|".join(WRAPPERS))
_ASKS = re.compile(b'"(?:messages|chosen|text|%s)"\\s*:' % "|".join(PROMPT_KEYS).encode())
_COLUMNS = {"messages", "text", "chosen", *PROMPT_KEYS, *CONVERSATION_KEYS}
_PEEK = 1 << 16
BUFFER = 1 << 16  # bytes read at once
_GZIP, _ZSTD, _PARQUET, _ARROW = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"ARROW1"
_FOREIGN = {
    b"PK\x03\x04": ("a zip archive (or a spreadsheet)", "unpack it, or save it as CSV"),
    b"BZh": ("compressed with bzip2", "decompress it, or use gzip or zstd"),
    b"\xfd7zXZ": ("compressed with xz", "decompress it, or use gzip or zstd"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8"),
    b"SQLite format 3": ("an SQLite database", "export the table as CSV or JSON lines"),
}
# A decompression bomb: gzip reaches 1,030 to 1. Real text reaches 5 to 20, text that repeats itself perhaps 100.
_MAX_EXPANSION = 250
_ALWAYS_ALLOWED = 64 << 20  # bytes
_ZSTD_STEP = 1 << 10  # bytes decompressed at once: at 30,000 to 1, the most that zstd reaches, 30 MiB


def checked_path(path: Path, root: Path) -> Path:
    """``path``, if it is a file inside ``root`` once every link is followed.

    Raises:
        ProjectError: it is missing, no plain file, or a link that leads out of the project.
    """
    if not path.exists():
        raise ProjectError("the data file is missing", str(path), "put it there, or set curate.path")
    if path.is_dir():
        raise ProjectError("the data file is a folder", str(path), "name a file")
    if not path.is_file():
        raise ProjectError("the data file is not a regular file", str(path), "copy the data into a file")
    if not path.resolve().is_relative_to(root.resolve()) and not _in_cache(path, root):
        raise ProjectError("the data file is outside the project", str(path), "copy it into data/raw")
    return path


def _in_cache(path: Path, root: Path) -> bool:
    """Whether a link leads into DVC's cache, as with `cache.type` symlink and a `cache.dir` outside the project."""
    from dvc.config import Config, ConfigError

    try:
        directory = Config(str(root / ".dvc"))["cache"].get("dir")
    except ConfigError:
        return False
    return bool(directory) and path.resolve().is_relative_to((root / ".dvc" / str(directory)).resolve())


def container(path: Path) -> str:
    """``jsonl``, ``json``, ``csv``, ``tsv``, ``parquet`` or ``arrow``.

    Raises:
        ProjectError: the file is empty, or of a kind that is not read here.
    """
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(_PARQUET):
        return "parquet"
    if start.startswith(_ARROW) or start.startswith(b"\xff\xff\xff\xff"):  # IPC file, IPC stream
        return "arrow"
    with opened(path) as stream:
        text = stream.read(_PEEK)
    for magic, (what, fix) in _FOREIGN.items():
        if text.startswith(magic):
            raise ProjectError(f"the data file is {what}", str(path), fix)
    return _text_container(text.removeprefix(BOM).lstrip(_BLANK), path)


def _text_container(text: bytes, path: Path) -> str:
    first, _, rest = text.partition(b"\n")
    first = first.rstrip(_BLANK)
    if text.startswith(b"["):
        inner = text[1:].lstrip(_BLANK)
        # Lines of lists are JSON lines, each perhaps a conversation; an array of records spans them, or is alone.
        lines = first.endswith(b"]") and rest.strip(_BLANK)
        return "jsonl" if lines or inner[:1] not in (b"{", b"[", b"]", b"") else "json"
    if text.startswith(b"{"):
        alone = not (first.endswith(b"}") and rest.strip(_BLANK))
        if alone and _wraps(text):
            return "json"
        if rest.strip(_BLANK) and first.rstrip(_BLANK)[-1:] in (b"{", b"[", b","):
            fix = f"write each object on its own line: jq -c . {path.name}"
            raise ProjectError("the data file has objects over several lines", str(path), fix)
        return "jsonl"
    suffixes = {suffix.lower() for suffix in path.suffixes}
    if suffixes & {".jsonl", ".json", ".ndjson"}:
        records = rest.lstrip(_BLANK)[:1] in (b"{", b"[")  # below a broken first line
        if records or not _names_columns(first):
            return "jsonl"
    if ".tsv" in suffixes or (".csv" not in suffixes and b"\t" in first):
        return "tsv"
    return "csv" if ".csv" in suffixes or b"," in first or b";" in first else "jsonl"


def _names_columns(line: bytes) -> bool:
    """Whether a line is a table's header, and no broken object: one of its cells is the name of a known field."""
    cells = [cell.strip(b' \r"').decode(errors="replace").lower() for cell in re.split(rb"[,;\t|]", line)]
    return len(cells) > 1 and not _COLUMNS.isdisjoint(cells)


def _wraps(text: bytes) -> bool:
    """Whether an object's beginning is that of a wrapper: one of `WRAPPERS` names an array of objects or lists.

    What asks something before that is a record, and the array a part of it. `items` also names a conversation's turns.
    """
    found = _WRAPPED.search(text)
    if found is None or _ASKS.search(text, 0, found.start()):
        return False
    return found[1] != b"items" or not _SPEAKS.search(text[found.end() :][:200])


def read_items(path: Path, form: str) -> Iterator[Item]:
    """Every record of a file of the given `container`, in order; blank lines are not records.

    Raises:
        ProjectError: the file is damaged as a whole, expands beyond all measure, or has no header.
    """
    if form == "parquet":
        yield from parquet_rows(path, MAX_LINE_BYTES)
    elif form == "arrow":
        yield from arrow_rows(path, MAX_LINE_BYTES)
    else:
        with opened(path) as stream:
            if form in ("csv", "tsv"):
                yield from delimited_rows(stream, path, "\t" if form == "tsv" else None, MAX_LINE_BYTES)
            elif form == "json":
                yield from array_elements(stream, path, MAX_LINE_BYTES)
            else:
                yield from json_lines(stream)


def json_lines(stream: IO[bytes], line: int = 1, offset: int = 0, end: int | None = None) -> Iterator[Item]:
    """The lines that are not blank, up to byte ``end``. Only a line feed ends a line: U+2028 is legal in a string."""
    readline = stream.readline
    while (end is None or offset < end) and (data := readline(MAX_LINE_BYTES)):
        size = len(data)
        if size == MAX_LINE_BYTES and not data.endswith(b"\n"):
            while rest := readline(MAX_LINE_BYTES):
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
            limit = f"the line has {size} bytes of at most {MAX_LINE_BYTES}"
            yield line, offset, BadRecordError("too_long", limit)
        else:
            text = data.strip(_BLANK)
            if line == 1:
                text = text.removeprefix(BOM).strip(_BLANK)
            if text:
                yield line, offset, text
        line += 1
        offset += size


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed if its first bytes say so."""
    file = io.BufferedReader(io.FileIO(path), BUFFER)
    magic = file.peek(4)[:4]
    if magic.startswith(_GZIP):
        return io.BufferedReader(_Expanded(gzip.GzipFile(fileobj=file), file, path), 1 << 20)
    if magic.startswith(_ZSTD):
        return io.BufferedReader(_Expanded(_ZstdFrames(file), file, path), 1 << 20)
    return file


class _ZstdFrames:
    """Zstandard frames laid end to end as one stream. A cut file is an error; the library's own reader just ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.ready = file, b""
        self.frame = zstandard.ZstdDecompressor().decompressobj()  # a window beyond 128 MiB is refused
        self.inside = False

    def read(self, size: int) -> bytes:
        while not self.ready and (data := self.file.read(_ZSTD_STEP)):
            while data:
                self.inside = True
                self.ready += self.frame.decompress(data)
                data = b""
                if self.frame.eof:
                    data, self.inside = self.frame.unused_data, False
                    self.frame = zstandard.ZstdDecompressor().decompressobj()
        if not self.ready and self.inside:
            raise EOFError("the file ends inside a frame")
        part, self.ready = self.ready[:size], self.ready[size:]
        return part


class _Expanded(io.RawIOBase):
    """A decompressed stream that stops when it expands beyond all measure."""

    def __init__(self, stream: Any, file: IO[bytes], path: Path) -> None:
        self.stream, self.file, self.path, self.done = stream, file, path, 0
        self.allowed = max(_ALWAYS_ALLOWED, _MAX_EXPANSION * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.stream.read(len(buffer))
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            fix = "compress the data again, or copy the file again"
            raise ProjectError(f"the compressed data are damaged: {error}", str(self.path), fix) from None
        self.done += len(data)
        if self.done > self.allowed:
            raise ProjectError(
                f"the compressed file expands to more than {_MAX_EXPANSION} times its size",
                str(self.path),
                "decompress it yourself if you trust it",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()
