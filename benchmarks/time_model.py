"""How far the planner's training speeds are from published ones: ``python benchmarks/time_model.py ROWS.csv``.

ROWS.csv has the columns of benchmarks/data/measured_throughput.csv; tokens_per_s may be missing or empty. It
writes ROWS.estimates.csv: the same rows with ``estimate``, ``p10`` and ``p90`` in tokens per second over all devices,
and a ``note`` of what was assumed, or the ``reason`` why there is none. No row is judged by constants that saw its
model. ``--write`` renews schemas/catalog/throughput.yaml instead of judging.
"""

import argparse
import math
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
from judged_rows import Judged, Table, judge_file, stated, with_figure

from tunesmith import catalog, package_data
from tunesmith.planner.architecture import Architecture
from tunesmith.planner.throughput import Throughput, constants, tokens_per_second
from tunesmith.planner.training_setup import Setup

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
    """A usable row; ``speed`` in tokens per second over all devices, measured; 0 where the row states none."""

    row: Mapping[str, str]
    model: str
    shape: Architecture
    setup: Setup
    machine: catalog.Hardware
    framework: str
    speed: float
    assumed: str = ""


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
    speed = stated(row, "tokens_per_s", 1e12)
    if row.get("tokens_per_s_scope") == "per_gpu":
        speed *= planned.devices
    said = "; ".join(note for note in assumed(found, planned) if "framework" not in note)
    return Run(row, found.model, found.shape, planned, machine, framework, speed, said)


def _machine(name: str) -> catalog.Hardware:
    plain = re.sub(r"[^a-z0-9]", "", name.lower()).replace("sxm4", "").replace("nvidia", "").replace("a800", "a100")
    known = {re.sub(r"[^a-z0-9]", "", key): row for key, row in catalog.load().hardware.items()}
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
        return constants()
    kept = [run for run in anchors() if run.model != model]
    return banded(fit(kept), [pair for pair in left_out() if pair[0].model != model])


def judge(row: Mapping[str, str]) -> Judged:
    """Estimate one row, in tokens per second.

    Raises:
        NoEstimate, ImpossibleSetup: it cannot be estimated.
    """
    found = run_of(row)
    found.setup.checked()
    constants = constants_without(found.model)
    values = [predicted(found, constants)] * 2
    if states_checkpointing(dict(row)) is None and found.setup.method != "prefix":  # the band covers both
        other = replace(found, setup=replace(found.setup, checkpointing=not found.setup.checkpointing))
        values.append(predicted(other, constants))
    if row.get("tokens_per_s_scope") == "per_gpu":
        values = [value / found.setup.devices for value in values]
    low, high = min(values) * constants.low, max(values) * constants.high
    measured = stated(row, "tokens_per_s", 1e12)
    return Judged(row, values[0], low, high, note=found.assumed, measured=measured)


TABLE = Table("outside P10-P90", lambda item: not item.p10 <= item.measured <= item.p90)


def report(judged: Sequence[Judged]) -> None:
    """Errors by method and framework."""
    usable = with_figure(judged)
    if not usable:
        print("overall median error: n/a % (no row that could be estimated states a speed)")
        return
    for column in ("method", "framework"):
        TABLE.show(f"by {column}", usable, column)
    print(f"\npeer, the rule 6N at 40 % of the peak, on the yardstick: {median(_naive_errors()):.1f} %\n")
    TABLE.overall("all", usable)


def _naive_errors() -> list[float]:
    return [
        abs(
            100
            * (0.4 * run.machine.tflops * 1e12 * run.setup.devices / (6 * run.shape.active_parameters) / run.speed - 1)
        )
        for run in anchors()
    ]


def write_constants() -> None:
    """Renew schemas/catalog/throughput.yaml; its head is kept."""
    path = package_data.schema_file("catalog", "throughput.yaml")
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
    return judge_file(options.rows, NEEDED, judge, report)


if __name__ == "__main__":
    sys.exit(main())
