"""Rows of Parquet and Arrow files, by the package pyarrow, and the beginning of a text that Zstandard packed.

Imported, or run by another Python that has the packages.

As a script it reads the arguments of `read` as JSON from standard input, and writes what that returns.
It imports nothing of Tunesmith, so that the environment of a generated project can run it.
"""

import base64
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

KINDS = {b"PAR1": "Parquet", b"ARRO": "Arrow", b"\xff\xff\xff\xff": "Arrow", b"\x28\xb5\x2f\xfd": "Zstandard"}
PACKAGES = {"Parquet": "pyarrow", "Arrow": "pyarrow", "Zstandard": "zstandard"}
PIECES = 50  # row groups, or batches, that are looked into: evenly spaced ones
BATCH = 64  # rows decoded at once
EVENLY, BEGINNING = ", evenly spaced", ", from its beginning"  # which rows of a large file were read
LOOKED_AT = 16  # times `size` of decoded rows that are looked at


class Piece(NamedTuple):
    """A row group or a batch: how many rows it has, and the rows by batches of at most `BATCH`."""

    rows: int
    batches: Iterable[Any]


def read(kind: str, path: str, columns: Sequence[str], rows: int, size: int) -> dict[str, Any]:
    """Of a table about so many ``rows``, and ``how`` they were chosen ("" where they are all); of a text the first
    ``size`` bytes as ``text``, and whether it is ``whole``; of a damaged file its ``fault``.

    A file of at most ``size`` bytes gives all its rows. Memory holds a batch of rows beside what is returned.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        return _text(path, size) if kind == "Zstandard" else _rows(kind, path, columns, rows, size)
    except (ValueError, OSError, EOFError) as error:
        return {"fault": str(error)}


def _text(path: str, size: int) -> dict[str, Any]:
    text = _unpacked(path, size + 1)
    return {"text": base64.b64encode(text[:size]).decode(), "whole": len(text) <= size}


def _rows(kind: str, path: str, columns: Sequence[str], rows: int, size: int) -> dict[str, Any]:
    import pyarrow
    import pyarrow.parquet

    if Path(path).stat().st_size <= size:
        rows = sys.maxsize
    looked_at = LOOKED_AT * size
    try:
        if kind == "Parquet":
            with pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20) as file:
                taken, how = _sampled(*_row_groups(file, columns), rows, looked_at)
        else:
            with pyarrow.OSFile(path) as source:
                taken, how = _arrow(source, columns, rows, looked_at)
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from None
    return {"rows": taken, "how": how}


def _row_groups(file: Any, columns: Sequence[str]) -> tuple[Iterator[Piece], int, int]:
    names = [name for name in file.schema_arrow.names if name in columns]
    places = _evenly(file.num_row_groups)
    pieces = (
        Piece(file.metadata.row_group(place).num_rows, file.iter_batches(BATCH, row_groups=[place], columns=names))
        for place in places
    )
    return pieces, len(places), file.num_row_groups


def _arrow(source: Any, columns: Sequence[str], rows: int, looked_at: int) -> tuple[list[Any], str]:
    import pyarrow

    try:
        file = pyarrow.ipc.open_file(source)
    except pyarrow.ArrowInvalid:
        source.seek(0)
        return _beginning(pyarrow.ipc.open_stream(source), columns, rows, looked_at)
    places = _evenly(file.num_record_batches)
    pieces = (_in_small(_chosen(file.get_batch(place), columns)) for place in places)
    return _sampled(pieces, len(places), file.num_record_batches, rows, looked_at)


def _beginning(stream: Iterable[Any], columns: Sequence[str], rows: int, looked_at: int) -> tuple[list[Any], str]:
    """A stream says of no batch where it lies, so it is read from its beginning."""
    taken: list[Any] = []
    for batch in stream:
        for part in _in_small(_chosen(batch, columns)).batches:
            taken += [_row(part, place) for place in range(part.num_rows)]
            looked_at -= part.nbytes
            if looked_at < 0 or len(taken) >= rows:
                return taken, BEGINNING
    return taken, ""


def _chosen(batch: Any, columns: Sequence[str]) -> Any:
    return batch.select([name for name in batch.schema.names if name in columns])


def _in_small(batch: Any) -> Piece:
    return Piece(batch.num_rows, (batch.slice(place, BATCH) for place in range(0, batch.num_rows, BATCH)))


def _evenly(count: int) -> list[int]:
    looked_into = min(count, PIECES)
    return [count * place // looked_into for place in range(looked_into)]


def _sampled(pieces: Iterable[Piece], chosen: int, of: int, rows: int, looked_at: int) -> tuple[list[Any], str]:
    """Rows spaced evenly within each piece, until its share of the bytes was decoded."""
    taken: list[Any] = []
    whole = chosen == of
    for piece in pieces:
        step = max(1, piece.rows * chosen // rows)
        left, place = looked_at // chosen, 0
        for batch in piece.batches:
            taken += [_row(batch, offset) for offset in range(-place % step, batch.num_rows, step)]
            place += batch.num_rows
            left -= batch.nbytes
            if left < 0:
                break
        whole = whole and step == 1 and place == piece.rows
    return taken, "" if whole else EVENLY


def _row(batch: Any, place: int) -> Any:
    try:
        return batch.slice(place, 1).to_pylist()[0]
    except ValueError:  # no UTF-8, or no date
        return {}


def _unpacked(path: str, size: int) -> bytes:
    """The first bytes of the text in the file."""
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        import zstandard as zstd
    fault = zstd.ZstdError
    try:
        with Path(path).open("rb") as packed, _stream(zstd, packed) as stream:
            parts, left = [], size
            while left and (part := stream.read(left)):
                parts.append(part)
                left -= len(part)
    except (fault, EOFError) as error:
        raise ValueError(str(error)) from None
    return b"".join(parts)


def _stream(zstd: Any, packed: Any) -> Any:
    if hasattr(zstd, "ZstdFile"):
        return zstd.ZstdFile(packed)
    return zstd.ZstdDecompressor().stream_reader(packed, read_across_frames=True)


if __name__ == "__main__":
    json.dump(read(**json.load(sys.stdin)), sys.stdout, default=str)
