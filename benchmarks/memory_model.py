"""How far the planner's memory estimates are from published peaks: ``python benchmarks/memory_model.py ROWS.csv``.

ROWS.csv has the columns of benchmarks/data/measured_memory.csv (a column ``config`` may name a config.json; peak_gb may
be missing or empty). Written beside it: ROWS.estimates.csv, the same rows with ``estimate``, ``p10`` and ``p90`` in the
row's unit and a ``note`` of what was assumed, or the ``reason`` why there is none. No row is judged by constants that
saw its model: for a model of the yardstick they are fitted again without it.
"""

import argparse
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, reduce
from pathlib import Path
from statistics import median

from anchor_rows import GIB, Anchor, anchor, assumed, devices_of, mixture, setup, states_checkpointing, unit_bytes
from fit_memory import Sample, anchors, fit_all, leave_one_out, with_bands
from judged_rows import Judged, Table, judge_file, stated, with_figure
from memory_peers import INSTALLABLE, peers

from tunesmith.planner.memory import MemoryEstimate, estimate
from tunesmith.planner.training_setup import Profile, Setup, profiles

GUESSED = 1.15  # widens the band where the shape is guessed from the number of parameters
GUESSED_MIXTURE = 1.5  # and where it is a mixture of experts besides, whose activations are not those of a dense model
NEEDED = ("model", "method", "micro_batch", "seq_len", "framework")


def judge(row: Mapping[str, str]) -> Judged:
    """Estimate one row; the figures are in the row's unit.

    Raises:
        NoEstimate, ImpossibleSetup: it cannot be estimated.
    """
    found = anchor(dict(row))
    planned = setup(found)
    tuned = _profiles_without(found.model)[found.framework]
    return _in_unit(row, found, _estimated(found, planned, tuned), planned)


def _estimated(found: Anchor, planned: Setup, tuned: Profile) -> MemoryEstimate:
    """The estimate; its band covers both where the row does not say whether activations are recomputed."""
    result = estimate(found.shape, planned, tuned)
    if states_checkpointing(found.row) is not None or planned.method == "prefix":
        return result
    other = estimate(found.shape, replace(planned, checkpointing=not planned.checkpointing), tuned)
    return replace(result, low=min(result.low, other.low), high=max(result.high, other.high))


def _in_unit(row: Mapping[str, str], found: Anchor, result: MemoryEstimate, planned: Setup) -> Judged:
    scale = GIB / unit_bytes(dict(row))
    if row.get("per_gpu", "yes").startswith("no"):
        scale *= planned.devices  # the published figure is the sum over devices
    widen = 1.0 if found.known else GUESSED_MIXTURE if mixture(row["model"]) else GUESSED
    values = (result.typical * scale, result.low * scale / widen, result.high * scale * widen)
    return Judged(row, *values, note="; ".join(assumed(found, planned)), measured=stated(row, "peak_gb", 1e6))


def gated(item: Judged) -> bool:
    """Whether the row counts: its setting is fully known, on one device."""
    return (item.row.get("quality") or "A") == "A" and devices_of(dict(item.row)) == 1


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


TABLE = Table("above P90", lambda item: item.measured > item.p90)


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
                measured = item.measured * unit_bytes(dict(item.row)) / GIB
                theirs.append(100 * (value / measured - 1))
                ours.append(abs(item.error))
        if theirs:
            under = sum(error < -10 for error in theirs) / len(theirs)
            print(f"{name:28} {len(theirs):4} {median(map(abs, theirs)):14.1f} % {median(ours):8.1f} % {under:12.0%}")
    if missing := [name for name in INSTALLABLE if name not in peers()]:
        print(f"not installed here: {', '.join(missing)} (hf-vram-calc needs torch; llm-analysis its own environment)")


def report(judged: Sequence[Judged]) -> None:
    """The tables, gated rows last."""
    usable = with_figure(judged)
    counted = [item for item in usable if gated(item)]
    if kept_aside := [item for item in usable if not gated(item)]:
        TABLE.show("kept aside, by framework", kept_aside, "framework")
    if counted:
        TABLE.show("by method", counted, "method")
        TABLE.show("by framework", counted, "framework")
        compare_peers(counted)
    compare_frameworks()
    print()
    if not usable:
        print("overall median error: n/a % (no row that could be estimated states a peak)")
        return
    if not counted:
        print("no row of quality A on one device; the figure is over the rows kept aside")
    TABLE.overall("all (quality A, one device)" if counted else "all", counted or usable)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, metavar="ROWS.csv")
    return judge_file(parser.parse_args().rows, NEEDED, judge, report)


if __name__ == "__main__":
    sys.exit(main())
