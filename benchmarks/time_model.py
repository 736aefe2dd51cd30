"""How far the planner's training speeds are from published ones: ``python benchmarks/time_model.py ROWS.csv``.

ROWS.csv has the columns of benchmarks/data/measured_throughput.csv; tokens_per_s may be missing or empty. Written
beside it: ROWS.estimates.csv, the same rows with ``estimate``, ``p10`` and ``p90`` in tokens a second over all devices
and a ``note`` of what was assumed, or the ``reason`` why there is none. No row is judged by constants that saw its
model. ``--write`` renews schemas/catalog/throughput.yaml instead of judging.
"""

import argparse
import csv
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median

import yaml
from anchor_rows import DATA, NoEstimate, anchor, assumed, mixture, read, setup, states_checkpointing
from fit_memory import quantile

from tunesmith import catalog, resources
from tunesmith.planner.architecture import Architecture
from tunesmith.planner.setup import ImpossibleSetup, Setup
from tunesmith.planner.time import Throughput, throughput, tokens_per_second

# Constant: (start, lowest, highest, width of the prior).
COMMON = {
    "utilisation": (0.75, 0.3, 1.0, 0.15),
    "traffic": (1.0, 0.0, 5.0, 0.7),
    "weights": (1.0, 0.0, 10.0, 1.0),
    "quantised": (3.0, 0.0, 20.0, 3.0),
    "sharded": (3.0, 0.0, 20.0, 3.0),
}
FACTOR_WIDTH = 0.25
NEEDED = ("model", "method", "gpu", "num_gpus", "seq_len", "micro_batch", "framework")


@dataclass(frozen=True)
class Run:
    """A usable row; ``speed`` in tokens a second over all devices, measured; 0 where the row states none."""

    row: Mapping[str, str]
    model: str
    shape: Architecture
    setup: Setup
    machine: catalog.Hardware
    framework: str
    speed: float
    assumed: str = ""


@dataclass(frozen=True)
class Judged:
    """A row with its estimate in tokens a second, or the reason why there is none."""

    row: Mapping[str, str]
    estimate: float = 0.0
    p10: float = 0.0
    p90: float = 0.0
    reason: str = ""
    note: str = ""

    @property
    def speed(self) -> float:
        """The published figure; 0 where there is none."""
        return _speed(self.row)

    @property
    def error(self) -> float:
        """Percent, signed: above zero is too fast."""
        return 100 * (self.estimate / self.speed - 1)


def _speed(row: Mapping[str, str]) -> float:
    try:
        value = float(row.get("tokens_per_s", "").replace(",", ""))
    except ValueError:
        return 0.0
    return value if 0 < value < 1e12 else 0.0


def run_of(row: Mapping[str, str]) -> Run:
    """The row, read.

    Raises:
        NoEstimate: a figure is missing or fails arithmetic.
    """
    if row.get("sanity"):
        raise NoEstimate(f"fails arithmetic: {row['sanity'][:60]}")
    found = anchor({**row, "precision": row.get("precision", "")})
    if not found.known and mixture(row["model"]):
        raise NoEstimate("a mixture of experts by its name, whose active parameters are not known; add a column config")
    planned = setup(found)
    notes = row.get("notes", "")
    if mean := re.search(r"mean ~(\d+)", notes):  # the stated length is only an upper bound
        planned = replace(planned, length=int(mean[1]))
    if "SHARD" in notes:
        planned = replace(planned, sharding="fsdp")
    machine = _machine(row["gpu"])
    framework = re.sub(r"[^a-z]", "", row["framework"].lower())
    speed = _speed(row)
    if row.get("tokens_per_s_scope") == "per_gpu":
        speed *= planned.devices
    said = "; ".join(note for note in assumed(found, planned) if "framework" not in note)
    return Run(row, found.model, found.shape, planned, machine, framework, speed, said)


def _machine(name: str) -> catalog.Hardware:
    plain = re.sub(r"[^a-z0-9]", "", name.lower()).replace("sxm4", "").replace("nvidia", "").replace("a800", "a100")
    known = {re.sub(r"[^a-z0-9]", "", key): row for key, row in catalog.hardware().items()}
    for word, key in (("h10080gbsxm", "h100sxm"), ("h10080gb", "h100sxm"), ("h100", "h100sxm"), ("h200", "h200sxm")):
        if plain == word:
            plain = key
    found = known.get(plain) or next((row for key, row in known.items() if plain and key.startswith(plain)), None)
    if found is None:
        raise NoEstimate(f"the device {name!r} is not in the catalogue")
    return found


@cache
def anchors() -> tuple[Run, ...]:
    """The usable rows of the project's own yardstick."""
    found = []
    for row in read(DATA / "measured_throughput.csv"):
        try:
            found.append(run_of(row))
        except NoEstimate:
            continue
    return tuple(run for run in found if run.speed)


def predicted(run: Run, constants: Throughput) -> float:
    """Tokens a second over all devices."""
    return tokens_per_second(run.shape, run.setup, run.machine, constants, run.framework)


def fit(runs: Sequence[Run]) -> Throughput:
    """Coordinate descent on the absolute logarithm of estimate / measured; factors are drawn towards 1."""
    values = {name: start for name, (start, *_) in COMMON.items()}
    values |= {f"frameworks.{name}": 1.0 for name in sorted({run.framework for run in runs})}
    limits = {name: COMMON.get(name, (1.0, 0.3, 1.7, FACTOR_WIDTH)) for name in values}
    best = _loss(runs, values, limits)
    for step in (0.5, 0.25, 0.12, 0.06):
        improved = True
        while improved:
            improved = False
            for name, (_, low, high, width) in limits.items():
                for sign in (1, -1):
                    tried = {**values, name: round(min(max(values[name] + sign * step * width, low), high), 4)}
                    loss = _loss(runs, tried, limits)
                    if loss < best - 1e-9:
                        best, values, improved = loss, tried, True
    return _constants(values)


def _constants(values: Mapping[str, float]) -> Throughput:
    common = {name: values[name] for name in COMMON}
    frameworks = {name.partition(".")[2]: value for name, value in values.items() if "." in name}
    return Throughput(**common, low=1.0, high=1.0, frameworks=frameworks)


def _loss(
    runs: Sequence[Run], values: Mapping[str, float], limits: Mapping[str, tuple[float, float, float, float]]
) -> float:
    constants = _constants(values)
    error = sum(abs(math.log(predicted(run, constants) / run.speed)) for run in runs)
    drawn = sum(((values[name] - start) / width) ** 2 for name, (start, _, _, width) in limits.items())
    return error + 0.1 * drawn


@cache
def left_out() -> list[tuple[Run, float]]:
    """measured / estimated of each row, by constants that saw no row of its model."""
    judged = []
    for model in dict.fromkeys(run.model for run in anchors()):
        constants = fit([run for run in anchors() if run.model != model])
        judged += [(run, run.speed / predicted(run, constants)) for run in anchors() if run.model == model]
    return judged


def banded(constants: Throughput, pairs: Sequence[tuple[Run, float]]) -> Throughput:
    """The constants with the P10 and P90 of models left out."""
    values = [value for _, value in pairs]
    return replace(constants, low=round(quantile(values, 0.1), 3), high=round(quantile(values, 0.9), 3))


@cache
def constants_without(model: str) -> Throughput:
    """Constants that saw no row of this model."""
    if all(run.model != model for run in anchors()):
        return throughput()
    kept = [run for run in anchors() if run.model != model]
    return banded(fit(kept), [pair for pair in left_out() if pair[0].model != model])


def judge(row: Mapping[str, str]) -> Judged:
    """Estimate one row."""
    try:
        run = run_of(row)
        run.setup.checked()
        constants = constants_without(run.model)
        values = [predicted(run, constants)] * 2
        if states_checkpointing(dict(row)) is None and run.setup.method != "prefix":  # the band covers both
            other = replace(run, setup=replace(run.setup, checkpointing=not run.setup.checkpointing))
            values.append(predicted(other, constants))
    except (NoEstimate, ImpossibleSetup) as error:
        return Judged(row, reason=str(error).splitlines()[0])
    except Exception as error:  # a stranger's row must not end the run
        return Judged(row, reason=f"cannot be read: {type(error).__name__}: {error}".splitlines()[0])
    if row.get("tokens_per_s_scope") == "per_gpu":
        values = [value / run.setup.devices for value in values]
    low, high = min(values) * constants.low, max(values) * constants.high
    return Judged(row, values[0], low, high, note=run.assumed)


def write_estimates(path: Path, judged: Sequence[Judged]) -> Path:
    """The rows with their estimates, beside the file that was judged."""
    target = path.with_suffix(".estimates.csv")
    scratch = target.with_suffix(".partial")
    with scratch.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, [*judged[0].row, "estimate", "p10", "p90", "reason", "note"])
        writer.writeheader()
        for item in judged:
            numbers = {} if item.reason else {k: f"{getattr(item, k):.1f}" for k in ("estimate", "p10", "p90")}
            writer.writerow({**item.row, **numbers, "reason": item.reason, "note": item.note})
    os.replace(scratch, target)
    return target


def report(judged: Sequence[Judged]) -> None:
    """Errors by method and framework."""
    for reason in sorted({item.reason for item in judged if item.reason}):
        print(f"  {sum(item.reason == reason for item in judged)} x {reason}")
    estimated = [item for item in judged if not item.reason]
    for note in sorted({note for item in estimated for note in item.note.split("; ") if note}):
        print(f"  {sum(note in item.note for item in estimated)} x {note}")
    usable = [item for item in estimated if item.speed]
    if not usable:
        print("overall median error: n/a % (no row that could be estimated states a speed)")
        return
    for column in ("method", "framework"):
        print(f"\n{'by ' + column:22} rows  median error   p90 error   bias   outside P10-P90")
        for name in sorted({item.row[column] for item in usable}):
            _line(name, [item for item in usable if item.row[column] == name])
    print()
    _line("all", usable)
    naive = _naive_errors()
    print(f"peer, the rule 6N at 40 % of the peak, on the yardstick: {median(naive):.1f} %")
    print(f"overall median error: {median(abs(item.error) for item in usable):.1f} %")


def _naive_errors() -> list[float]:
    return [
        abs(
            100
            * (0.4 * run.machine.tflops * 1e12 * run.setup.devices / (6 * run.shape.active_parameters) / run.speed - 1)
        )
        for run in anchors()
    ]


def _line(name: str, rows: Sequence[Judged]) -> None:
    errors = sorted(abs(item.error) for item in rows)
    outside = sum(not item.p10 <= item.speed <= item.p90 for item in rows)
    print(
        f"{name[:22]:22} {len(rows):4} {median(errors):10.1f} % {quantile(errors, 0.9):10.1f} % "
        f"{median(item.error for item in rows):+6.1f} % {100 * outside / len(rows):10.0f} %"
    )


def write_constants() -> None:
    """Renew schemas/catalog/throughput.yaml; its head is kept."""
    path = resources.schema_file("catalog", "throughput.yaml")
    head = path.read_text(encoding="utf-8").split("utilisation:")[0]
    constants = banded(fit(anchors()), left_out())
    path.write_text(head + yaml.safe_dump(vars(constants), sort_keys=False, default_flow_style=None), encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, metavar="ROWS.csv", nargs="?", default=DATA / "measured_throughput.csv")
    parser.add_argument("--write", action="store_true", help="renew schemas/catalog/throughput.yaml")
    options = parser.parse_args()
    if options.write:
        write_constants()
        return 0
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
