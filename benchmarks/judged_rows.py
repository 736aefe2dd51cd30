"""What memory_model.py and time_model.py do alike: read rows, write their estimates beside them, print the errors."""

import csv
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from anchor_rows import NoEstimate, read
from fit_memory import quantile

from tunesmith.planner.training_setup import ImpossibleSetup

NUMBERS = ("estimate", "p10", "p90")


@dataclass(frozen=True)
class Judged:
    """One row with its estimate in the row's unit, or the ``reason`` why there is none; ``measured`` 0: unstated."""

    row: Mapping[str, str]
    estimate: float = 0.0
    p10: float = 0.0
    p90: float = 0.0
    reason: str = ""
    note: str = ""
    measured: float = 0.0

    @property
    def error(self) -> float:
        """Percent, signed: above zero is too much."""
        return 100 * (self.estimate / self.measured - 1)


def stated(row: Mapping[str, str], column: str, limit: float) -> float:
    """The published figure; 0 where there is none that can be."""
    try:
        value = float(row.get(column, "").replace(",", ""))
    except ValueError:
        return 0.0
    return value if 0 < value < limit else 0.0


def judged(row: Mapping[str, str], judge: Callable[[Mapping[str, str]], Judged]) -> Judged:
    """What ``judge`` says, or why it could not: a stranger's row must not end the run."""
    try:
        return judge(row)
    except (NoEstimate, ImpossibleSetup) as error:
        return Judged(row, reason=str(error).splitlines()[0])
    except Exception as error:
        return Judged(row, reason=f"cannot be read: {type(error).__name__}: {error}".splitlines()[0])


def judge_file(
    path: Path,
    needed: Sequence[str],
    judge: Callable[[Mapping[str, str]], Judged],
    report: Callable[[Sequence[Judged]], None],
) -> int:
    """Judge a file and report; 2 where it cannot be read, or none of its rows can be estimated."""
    try:
        rows = read(path)
    except (OSError, UnicodeDecodeError) as error:
        print(f"{path}: {error}\nname a CSV file that can be read", file=sys.stderr)
        return 2
    missing = [name for name in needed if not rows or name not in rows[0]]
    if missing:
        print(f"{path}: no rows, or no column {', '.join(missing)}; see --help", file=sys.stderr)
        return 2
    found = [judged(row, judge) for row in rows]
    usable = sum(not item.reason for item in found)
    print(f"{write_estimates(path, found)}: {usable} of {len(rows)} rows estimated")
    report(found)
    if not usable:
        print("no row could be estimated; the column `reason` says why", file=sys.stderr)
        return 2
    return 0


def write_estimates(path: Path, found: Sequence[Judged]) -> Path:
    """The rows with their estimates, beside the file that was judged."""
    target = path.with_suffix(".estimates.csv")
    scratch = target.with_suffix(".partial")
    with scratch.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, [*found[0].row, *NUMBERS, "reason", "note"], extrasaction="ignore")
        writer.writeheader()
        for item in found:
            numbers = {} if item.reason else {name: f"{getattr(item, name):.3f}" for name in NUMBERS}
            writer.writerow({**item.row, **numbers, "reason": item.reason, "note": item.note})
    os.replace(scratch, target)
    return target


def with_figure(found: Sequence[Judged]) -> list[Judged]:
    """The rows that have both an estimate and a measured figure; what was left out or assumed is printed."""
    for reason in sorted({item.reason for item in found if item.reason}):
        print(f"  {sum(item.reason == reason for item in found)} x {reason}")
    estimated = [item for item in found if not item.reason]
    for note in sorted({note for item in estimated for note in item.note.split("; ") if note}):
        print(f"  {sum(note in item.note for item in estimated)} x {note}")
    usable = [item for item in estimated if item.measured]
    if len(usable) < len(estimated):
        print(f"  {len(estimated) - len(usable)} rows estimated that state no figure")
    return usable


@dataclass(frozen=True)
class Table:
    """Errors by group; ``miss``: what counts as outside the band, under the heading ``missed``."""

    missed: str
    miss: Callable[[Judged], bool]

    def show(self, title: str, found: Iterable[Judged], column: str) -> None:
        """A line for each value of a column."""
        groups: dict[str, list[Judged]] = {}
        for item in found:
            groups.setdefault(item.row[column][:28], []).append(item)
        print(f"\n{title:28} rows  median error   p90 error   bias   {self.missed}")
        for name, rows in sorted(groups.items()):
            self.line(name, rows)

    def line(self, name: str, rows: Sequence[Judged]) -> None:
        """Median and P90 of the absolute error, the bias, and the share outside."""
        errors = sorted(abs(item.error) for item in rows)
        missed = sum(map(self.miss, rows)) / len(rows)
        print(
            f"{name:28} {len(rows):4} {median(errors):10.1f} % {quantile(errors, 0.9):10.1f} % "
            f"{median(item.error for item in rows):+6.1f} % {100 * missed:{len(self.missed) - 1}.0f} %"
        )

    def overall(self, name: str, rows: Sequence[Judged]) -> None:
        """The last two lines."""
        self.line(name, rows)
        print(f"overall median error: {median(abs(item.error) for item in rows):.1f} %")
