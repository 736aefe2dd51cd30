"""The one module that prints. Results go to stdout, progress and faults to stderr; ``--json`` prints one JSON value."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tunesmith.errors import TunesmithError


def line(text: str = "") -> None:
    """A line of the result."""
    print(text, flush=True)


def note(text: str) -> None:
    """A line of progress or advice, kept apart from the result."""
    print(text, file=sys.stderr, flush=True)


def as_json(value: Any) -> None:
    """The result as one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str), flush=True)


def fault(error: TunesmithError, *, json_wanted: bool) -> None:
    """An expected failure: a message for people, or its facts as JSON."""
    if json_wanted:
        as_json(error.details())
    else:
        print(f"tunesmith: {error}", file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with columns as wide as their widest cell."""
    cells = [list(map(str, header)), *(list(map(str, row)) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def interactive() -> bool:
    """Whether somebody sits at a terminal to answer questions."""
    return sys.stdin.isatty() and sys.stdout.isatty()
