"""How far the planner's memory estimates are from published peaks: ``python benchmarks/memory_model.py ROWS.csv``.

ROWS.csv has the columns of benchmarks/data/measured_memory.csv (a column ``config`` may name a config.json; peak_gb may
be missing or empty). Written beside it: ROWS.estimates.csv, the same rows with ``estimate``, ``p10`` and ``p90`` in the
row's unit and a ``note`` of what was assumed, or the ``reason`` why there is none. No row is judged by constants that
saw its model: for a model of the yardstick they are fitted again without it.
"""

import argparse
import csv
import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from pathlib import Path
from statistics import median

from anchor_rows import (
    GIB,
    Anchor,
    NoEstimate,
    anchor,
    assumed,
    devices_of,
    mixture,
    read,
    setup,
    states_checkpointing,
    unit_bytes,
)
from fit_memory import Sample, anchors, fit_all, leave_one_out, with_bands
from memory_peers import peers

from tunesmith.planner.memory import MemoryEstimate, estimate
from tunesmith.planner.setup import ImpossibleSetup, Profile, Setup, profiles

GUESSED = 1.15  # widens the band where the shape is guessed from the number of parameters
GUESSED_MIXTURE = 1.5  # and where it is a mixture of experts besides, whose activations are not those of a dense model
NEEDED = ("model", "method", "micro_batch", "seq_len", "framework")


@dataclass(frozen=True)
class Judged:
    """One row with its estimate in the row's unit; ``reason`` says why there is none."""

    row: Mapping[str, str]
    family: str = ""
    estimate: float = 0.0
    p10: float = 0.0
    p90: float = 0.0
    reason: str = ""
    note: str = ""

    @property
    def peak(self) -> float:
        """The published figure in the row's unit; 0 where there is none."""
        try:
            value = float(self.row.get("peak_gb", "").replace(",", ""))
        except ValueError:
            return 0.0
        return value if 0 < value < 1e6 else 0.0

    @property
    def error(self) -> float:
        """Percent, signed: above zero is too much."""
        return 100 * (self.estimate / self.peak - 1)

    @property
    def gated(self) -> bool:
        """Whether the row counts: its setting is fully known, on one device."""
        return (self.row.get("quality") or "A") == "A" and devices_of(dict(self.row)) == 1


def judge(row: Mapping[str, str]) -> Judged:
    """Estimate one row."""
    try:
        found = anchor(dict(row))
        planned = setup(found)
        tuned = _profiles_without(found.model)[found.framework]
        result = _estimated(found, planned, tuned)
        return _in_unit(row, found, result, tuned, planned)
    except (NoEstimate, ImpossibleSetup) as error:
        return Judged(row, reason=str(error).splitlines()[0])
    except Exception as error:  # a stranger's row must not end the run
        return Judged(row, reason=f"cannot be read: {type(error).__name__}: {error}".splitlines()[0])


def _estimated(found: Anchor, planned: Setup, tuned: Profile) -> MemoryEstimate:
    """The estimate; its band covers both where the row does not say whether activations are recomputed."""
    result = estimate(found.shape, planned, tuned)
    if states_checkpointing(found.row) is not None or planned.method == "prefix":
        return result
    other = estimate(found.shape, replace(planned, checkpointing=not planned.checkpointing), tuned)
    return replace(result, low=min(result.low, other.low), high=max(result.high, other.high))


def _in_unit(row: Mapping[str, str], found: Anchor, result: MemoryEstimate, tuned: Profile, planned: Setup) -> Judged:
    scale = GIB / unit_bytes(dict(row))
    if row.get("per_gpu", "yes").startswith("no"):
        scale *= planned.devices  # the published figure is the sum over devices
    widen = 1.0 if found.known else GUESSED_MIXTURE if mixture(row["model"]) else GUESSED
    values = (result.typical * scale, result.low * scale / widen, result.high * scale * widen)
    return Judged(row, tuned.family, *values, note="; ".join(assumed(found, planned)))


@cache
def _profiles_without(model: str) -> Mapping[str, Profile]:
    """Constants and band that saw no row of this model."""
    if all(sample.anchor.model != model for sample in anchors()):
        return profiles()
    data = [sample for sample in anchors() if sample.anchor.model != model]
    return with_bands(fit_all(data), [pair for pair in _left_out() if pair[0].anchor.model != model])


@cache
def _left_out() -> list[tuple[Sample, float]]:
    return leave_one_out(anchors())


def write_estimates(path: Path, judged: Sequence[Judged]) -> Path:
    """The rows with their estimates, beside the file that was judged."""
    target = path.with_suffix(".estimates.csv")
    columns = [*judged[0].row, "estimate", "p10", "p90", "reason", "note"]
    scratch = target.with_suffix(".partial")
    with scratch.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, extrasaction="ignore")
        writer.writeheader()
        for item in judged:
            numbers = {} if item.reason else {k: f"{getattr(item, k):.3f}" for k in ("estimate", "p10", "p90")}
            writer.writerow({**item.row, **numbers, "reason": item.reason, "note": item.note})
    os.replace(scratch, target)
    return target


def table(title: str, judged: Iterable[Judged], key: Callable[[Judged], str]) -> None:
    """Median absolute error and share above the P90, by group."""
    groups: dict[str, list[Judged]] = {}
    for item in judged:
        groups.setdefault(key(item), []).append(item)
    print(f"\n{title:28} rows  median error   p90 error   bias   above P90")
    for name, rows in sorted(groups.items()):
        _line(name, rows)


def _line(name: str, rows: Sequence[Judged]) -> None:
    errors = sorted(abs(item.error) for item in rows)
    above = sum(item.peak > item.p90 for item in rows)
    high = errors[min(len(errors) - 1, round(0.9 * (len(errors) - 1)))]
    print(
        f"{name:28} {len(rows):4} {median(errors):10.1f} % {high:10.1f} % "
        f"{median(item.error for item in rows):+6.1f} % {100 * above / len(rows):8.0f} %"
    )


def compare_frameworks() -> None:
    """Frameworks left out whole: what a framework that nobody measured can expect."""
    errors: dict[str, list[float]] = {}
    for sample, value in leave_one_out(anchors(), by="framework"):
        errors.setdefault(sample.anchor.framework, []).append(abs(100 / value - 100))
    print("\nframework left out whole     rows  median error (reported, not gated)")
    for name, values in sorted(errors.items()):
        print(f"{name:28} {len(values):4} {median(values):10.1f} %")
    print(f"{'all':28} {sum(map(len, errors.values())):4} {median(reduce(operator.iadd, errors.values(), [])):10.1f} %")


def compare_peers(judged: Sequence[Judged]) -> None:
    """Other estimators on the rows that they cover, with ours on those same rows."""
    print("\npeer on the same rows         rows   its median error   ours   it is under by >10 %")
    for name, peer in peers().items():
        theirs, ours = [], []
        for item in judged:
            found = anchor(dict(item.row))
            value = peer(found.shape, setup(found))
            if value is not None:
                measured = item.peak * unit_bytes(dict(item.row)) / GIB
                theirs.append(100 * (value / measured - 1))
                ours.append(abs(item.error))
        if theirs:
            under = sum(error < -10 for error in theirs) / len(theirs)
            print(f"{name:28} {len(theirs):4} {median(map(abs, theirs)):14.1f} % {median(ours):8.1f} % {under:12.0%}")
    if "hf-vram-calc" not in peers():
        print("hf-vram-calc is not installed here (it needs torch)")


def report(judged: Sequence[Judged]) -> None:
    """The tables, gated rows last."""
    for reason in sorted({item.reason for item in judged if item.reason}):
        print(f"  {sum(item.reason == reason for item in judged)} x {reason}")
    estimated = [item for item in judged if not item.reason]
    for note in sorted({note for item in estimated for note in item.note.split("; ") if note}):
        print(f"  {sum(note in item.note for item in estimated)} x {note}")
    usable = [item for item in estimated if item.peak]
    if len(usable) < len(estimated):
        print(f"  {len(estimated) - len(usable)} rows estimated that state no peak")
    gated = [item for item in usable if item.gated]
    kept_aside = [item for item in usable if not item.gated]
    if kept_aside:
        table("kept aside, by framework", kept_aside, lambda item: item.row["framework"][:28])
    if gated:
        table("by method", gated, lambda item: item.row["method"][:28])
        table("by framework", gated, lambda item: item.row["framework"][:28])
        compare_peers(gated)
    compare_frameworks()
    print()
    if not usable:
        print("overall median error: n/a % (no row that could be estimated states a peak)")
        return
    if not gated:
        print("no row of quality A on one device; the figure is over the rows kept aside")
    shown = gated or usable
    _line("all (quality A, one device)" if gated else "all", shown)
    print(f"overall median error: {median(abs(item.error) for item in shown):.1f} %")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, metavar="ROWS.csv")
    options = parser.parse_args()
    try:
        rows = read(options.rows)
    except (OSError, UnicodeDecodeError) as error:
        print(f"{options.rows}: {error}\nname a CSV file that can be read", file=sys.stderr)
        return 2
    missing = [name for name in NEEDED if not rows or name not in rows[0]]
    if missing:
        print(f"{options.rows}: no rows, or no column {', '.join(missing)}; see --help", file=sys.stderr)
        return 2
    judged = [judge(row) for row in rows]
    usable = sum(not item.reason for item in judged)
    print(f"{write_estimates(options.rows, judged)}: {usable} of {len(rows)} rows estimated")
    report(judged)
    if not usable:
        print("no row could be estimated; the column `reason` says why", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
