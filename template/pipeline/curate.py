"""Stage `curate`: raw data in; clean train records, a frozen benchmark and a reason for every line left out."""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline import settings as project_settings
from pipeline.benchmark import Frozen, read_frozen, write_benchmark
from pipeline.deduplicate import Deduplicated, deduplicate
from pipeline.files import ProjectError, run_stage, write_json, write_jsonl
from pipeline.records import Record, Rejected, Source, read_source
from pipeline.settings import CurateSettings
from pipeline.split import Split, draw, keep_frozen, leaks

TRAIN = Path("data/curated/train.jsonl")
REJECTED = Path("data/curated/rejected.jsonl")
REPORT = Path("reports/data.json")

SMOKE_TRAIN_ROWS = 64
SMOKE_BENCHMARK_ROWS = 8
QUIET_SECONDS = 2  # after that, say what is going on
EXAMPLES_SHOWN = 5


def main() -> None:
    everything = project_settings.load()
    curate(everything.curate, smoke=everything.smoke)


def curate(settings: CurateSettings, *, smoke: bool) -> dict[str, Any]:
    """Run the stage in the current folder. Returns the report, which is also written.

    Raises:
        ProjectError: the data cannot be read, too much of it is bad, too little is left, or the frozen benchmark is
            not the one that was drawn.
    """
    began = time.monotonic()
    frozen = read_frozen(settings.benchmark_version)
    source = read_source(Path(settings.path), settings)
    _progress(began, f"{source.read} lines read, looking for duplicates")
    unique = deduplicate(source, settings.near_duplicate_threshold, settings.test_items, frozen.items if frozen else [])
    _refuse_bad_data(source, unique, settings)
    _progress(began, f"{len(unique.records)} distinct records, splitting")
    split = _split(unique, settings, frozen)
    rejected = sorted(source.rejected + unique.rejected + _purged(source, unique, split), key=lambda row: row.line)
    report = _report(source, unique, split, rejected, frozen)
    _write(settings, unique.records, split, frozen, rejected, report, smoke=smoke)
    _print(report, frozen, settings)
    return report


def _progress(began: float, what: str) -> None:
    if time.monotonic() - began > QUIET_SECONDS:
        print(f"curate: {what}", file=sys.stderr, flush=True)


def _split(unique: Deduplicated, settings: CurateSettings, frozen: Frozen | None) -> Split:
    """The split, checked: no test or dev item has a near duplicate in train."""
    threshold = settings.near_duplicate_threshold
    if frozen:
        ids = [{record.id for record in part} for part in (frozen.test, frozen.dev)]
        split = keep_frozen(unique.records, unique.shingles, ids[0], ids[1], threshold)
    else:
        sizes = settings.test_items, settings.dev_items
        split = draw(unique.records, unique.shingles, unique.clusters, *sizes, threshold)
    leaked = leaks(unique.shingles, split.test + split.dev, split.train, threshold)
    assert leaked == 0, f"{leaked} benchmark items have a near duplicate in train"
    if not split.train:
        raise ProjectError("no record is left to train on", settings.path, "provide more records")
    return split


def _refuse_bad_data(source: Source, unique: Deduplicated, settings: CurateSettings) -> None:
    """Stop if more lines are faulty than the owner allows. Duplicates are superfluous, not faulty."""
    faulty = source.rejected + [row for row in unique.rejected if row.reason == "conflicting_label"]
    share = len(faulty) / source.read
    if share <= settings.max_reject_fraction and source.records:
        return
    write_jsonl(REJECTED, faulty)
    examples = "\n".join(f"  line {bad.line}: {bad.reason}: {bad.detail}" for bad in faulty[:EXAMPLES_SHOWN])
    raise ProjectError(
        f"{len(faulty)} of {source.read} lines are unusable, {share:.1%} of them; "
        f"curate.max_reject_fraction allows {settings.max_reject_fraction:.1%}. The first ones:\n{examples}",
        f"{settings.path}; every one is listed in {REJECTED}",
        f"mend these lines; or set curate.format, if the data are not in the `{settings.format}` format",
    )


def _purged(source: Source, unique: Deduplicated, split: Split) -> list[Rejected]:
    rows = []
    for index, item in sorted(split.purged.items()):
        record, held = unique.records[index], unique.records[item]
        near = record.group is None or record.group != held.group
        detail = "near a benchmark item" if near else "in the group of a benchmark item"
        rows.append(source.reject(record, "benchmark_leak", detail, held.id))
    return rows


def _report(
    source: Source, unique: Deduplicated, split: Split, rejected: list[Rejected], frozen: Frozen | None
) -> dict[str, Any]:
    """What became of every line, and nothing that differs between two equal runs."""
    records, reasons = unique.records, Counter(row.reason for row in rejected)
    present = {record.id for record in source.records}
    absent = sum(record.id not in present for record in frozen.items) if frozen else 0
    kept = len(split.train) + len(split.dev) + len(split.test) - absent
    assert kept + len(rejected) == source.read, f"{kept} kept + {len(rejected)} rejected of {source.read} lines"
    test = [records[index] for index in split.test]
    return {
        "read": source.read,
        "kept": kept,
        "blank_lines": source.blank_lines,
        "rejected": dict(sorted(reasons.items())),
        "train": len(split.train),
        "dev": len(split.dev),
        "test": len(split.test),
        "benchmark_items_absent_from_data": absent,
        "groups": _groups(records),
        "test_groups": _groups(test),
        "labels": _labels(records),
        "test_labels": _labels(test),
        "duplicates": {"exact": reasons["exact_duplicate"], "near": reasons["near_duplicate"]},
        "near_duplicate_clusters": {
            "count": len(set(unique.clusters)),
            "largest": max(Counter(unique.clusters).values()),
        },
        "shingles": unique.shingles.unit,
        "leakage": {"test_near_train": 0, "random_split_would_leak": round(unique.random_leak, 4)},
        "raw_sha256": source.sha256,
    }


def _groups(records: list[Record]) -> int:
    return len({record.group for record in records} - {None})


def _labels(records: list[Record]) -> dict[str, int]:
    return dict(sorted(Counter(record.label for record in records if record.label is not None).items()))


def _write(
    settings: CurateSettings,
    records: list[Record],
    split: Split,
    frozen: Frozen | None,
    rejected: list[Rejected],
    report: dict[str, Any],
    *,
    smoke: bool,
) -> None:
    # Ids are hashes, so in their order the first rows of a part are a fair sample of it.
    train, dev, test = (
        sorted((records[index] for index in part), key=lambda record: record.id)
        for part in (split.train, split.dev, split.test)
    )
    wanted = _sizes(settings)
    if frozen:  # with the line, label and group that they were drawn with
        dev, test, wanted = frozen.dev, frozen.test, frozen.wanted
    write_benchmark(test, dev, wanted, settings.benchmark_version, SMOKE_BENCHMARK_ROWS if smoke else None)
    write_jsonl(TRAIN, train[:SMOKE_TRAIN_ROWS] if smoke else train)
    write_jsonl(REJECTED, rejected)
    write_json(REPORT, report)


def _sizes(settings: CurateSettings) -> dict[str, int]:
    return {"test": settings.test_items, "dev": settings.dev_items}


def _print(report: dict[str, Any], frozen: Frozen | None, settings: CurateSettings) -> None:
    print(f"read {report['read']}   train {report['train']}   dev {report['dev']}   test {report['test']}")
    for reason, count in report["rejected"].items():
        print(f"  left out {count:>7}  {reason}")
    leak = report["leakage"]["random_split_would_leak"]
    print(f"test items with a near duplicate in train: 0 (drawn at random from the same lines: {leak:.1%})")
    if frozen and frozen.wanted != _sizes(settings):
        print("the benchmark is frozen as it was drawn; new sizes apply when curate.benchmark_version is raised")


if __name__ == "__main__":
    sys.exit(run_stage(main))
