"""Stage `curate`: raw data in, clean train records and a frozen benchmark out, with a reason for every line left out."""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from pipeline import settings as project_settings
from pipeline.files import ProjectError, read_json, run_stage, sha256_file, write_json, write_jsonl
from pipeline.near_duplicates import Shingles, clusters, near_pairs, normalise
from pipeline.records import Record, Rejected, Source, read_source
from pipeline.settings import CurateSettings
from pipeline.split import Split, draw, keep_frozen, leaks, random_split_leak

TRAIN = Path("data/curated/train.jsonl")
REJECTED = Path("data/curated/rejected.jsonl")
DEV = Path("data/eval/dev.jsonl")
TEST = Path("data/eval/test.jsonl")
BENCHMARK = Path("data/eval/benchmark.json")
REPORT = Path("reports/data.json")

SMOKE_ROWS = {"test": 8, "dev": 8, "train": 64}
NOT_FAULTS = {"exact_duplicate", "near_duplicate", "benchmark_leak"}  # superfluous lines, not broken ones
EXAMPLES_SHOWN = 5


class Frozen(Struct):
    """The benchmark that an earlier run drew."""

    test: list[Record]
    dev: list[Record]


class Deduplicated(Struct):
    """What is left after duplicates, with the near-duplicate structure of it."""

    records: list[Record]
    shingles: Shingles
    clusters: list[int]  # for each record the smallest index in its near-duplicate cluster
    rejected: list[Rejected]


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
    source = read_source(Path(settings.path), settings)
    _refuse_bad_data(source, settings)
    frozen = read_frozen(settings)
    absent = _absent(source, frozen)
    unique = deduplicate(source, settings, frozen, absent)
    if time.monotonic() - began > 2:
        print(f"curate: {source.read} lines read and compared", file=sys.stderr, flush=True)
    threshold = settings.near_duplicate_threshold
    if frozen:
        ids = [{record.id for record in part} for part in (frozen.test, frozen.dev)]
        split = keep_frozen(unique.records, unique.shingles, ids[0], ids[1], threshold)
    else:
        sizes = settings.test_items, settings.dev_items
        split = draw(unique.records, unique.shingles, unique.clusters, *sizes, threshold)
    leaked = leaks(unique.shingles, split.test + split.dev, split.train, threshold)
    assert leaked == 0, f"{leaked} benchmark items have a near duplicate in train"
    rejected = sorted(source.rejected + unique.rejected + _purged(split, unique, source, settings), key=_line)
    report = _report(source, unique, split, rejected, absent, settings)
    _write(settings, unique.records, split, rejected, report, smoke=smoke)
    _print(report)
    return report


def deduplicate(source: Source, settings: CurateSettings, frozen: Frozen | None, absent: set[str]) -> Deduplicated:
    """Drop exact and near duplicates and contradictions; the first one stays, a frozen benchmark item before all.

    A near duplicate is dropped only if its answer is the same: "turn on the light" and "turn off the light" are near.
    """
    fixed = frozen.test + frozen.dev if frozen else []
    fixed_ids = {record.id for record in fixed}
    ordered = [record for record in fixed if record.id in absent]
    ordered += sorted(source.records, key=lambda record: record.id not in fixed_ids)
    rejected: list[Rejected] = []

    def reject(record: Record, reason: str, detail: str, kept: Record) -> None:
        offset = source.offsets[record.line]
        rejected.append(Rejected(settings.path, record.line, offset, reason, detail, kept.id))

    first: dict[tuple[str, str], Record] = {}
    unique = []
    for record in ordered:
        asked = normalise(record.system), normalise(record.prompt)
        kept = first.setdefault(asked, record)
        if kept is record:
            unique.append(record)
        elif normalise(kept.answer) == normalise(record.answer):
            reject(record, "exact_duplicate", f"same as line {kept.line}", kept)
        else:
            reject(record, "conflicting_label", f"line {kept.line} answers the same prompt differently", kept)

    shingles = Shingles([record.prompt for record in unique])
    pairs = near_pairs(shingles, settings.near_duplicate_threshold)
    dropped: dict[int, int] = {}
    for left, right in pairs.tolist():
        a, b = unique[left], unique[right]
        same = a.system == b.system and normalise(a.answer) == normalise(b.answer)
        if same and left not in dropped and right not in dropped and b.id not in fixed_ids:
            dropped[right] = left
            reject(b, "near_duplicate", f"near line {a.line}, same answer", a)
    return _without(dropped, unique, pairs, rejected)


def _without(dropped: dict[int, int], unique: list[Record], pairs: Any, rejected: list[Rejected]) -> Deduplicated:
    kept = [index for index in range(len(unique)) if index not in dropped]
    place = np.full(len(unique), -1)
    place[kept] = np.arange(len(kept))
    links = place[pairs]
    links = links[(links >= 0).all(axis=1)]
    records = [unique[index] for index in kept]
    return Deduplicated(
        records=records,
        shingles=Shingles([record.prompt for record in records]),
        clusters=clusters(len(records), links).tolist(),
        rejected=rejected,
    )


def read_frozen(settings: CurateSettings) -> Frozen | None:
    """The benchmark of an earlier run with the same version, or none. Raises `ProjectError` if it was changed."""
    if not BENCHMARK.exists():
        return None
    drawn = read_json(BENCHMARK)
    if drawn["version"] != settings.benchmark_version or drawn["smoke"]:
        return None
    parts = []
    for path, key in ((TEST, "sha256"), (DEV, "dev_sha256")):
        if not path.exists():
            raise ProjectError("the frozen benchmark is missing", str(path), "run `dvc pull`, or `dvc checkout`")
        if sha256_file(path) != drawn[key]:
            mend = "restore it with `dvc checkout`; to draw a new benchmark raise curate.benchmark_version"
            raise ProjectError("the frozen benchmark was changed", str(path), mend)
        decoder = msgspec.json.Decoder(Record)
        parts.append([decoder.decode(line) for line in path.read_bytes().split(b"\n") if line])
    return Frozen(test=parts[0], dev=parts[1])


def _refuse_bad_data(source: Source, settings: CurateSettings) -> None:
    """Stop if more lines are broken than the owner allows, or none is usable."""
    share = len(source.rejected) / source.read
    if share <= settings.max_reject_fraction and source.records:
        return
    write_jsonl(REJECTED, source.rejected)
    examples = [f"line {bad.line}: {bad.reason}: {bad.detail}" for bad in source.rejected[:EXAMPLES_SHOWN]]
    raise ProjectError(
        f"{len(source.rejected)} of {source.read} lines are unusable ({share:.0%}; curate.max_reject_fraction allows "
        f"{settings.max_reject_fraction:.0%})\n  " + "\n  ".join(examples),
        f"{settings.path}; every bad line: {REJECTED}",
        f"mend the lines, or set curate.format if the data is not `{settings.format}`",
    )


def _absent(source: Source, frozen: Frozen | None) -> set[str]:
    """Ids of frozen items whose line is no longer in the data; they stay in the benchmark."""
    if not frozen:
        return set()
    return {record.id for record in frozen.test + frozen.dev} - {record.id for record in source.records}


def _purged(split: Split, unique: Deduplicated, source: Source, settings: CurateSettings) -> list[Rejected]:
    rows = []
    for index, item in sorted(split.purged.items()):
        record, held = unique.records[index], unique.records[item]
        detail = "in the group of a benchmark item" if record.group == held.group else "near a benchmark item"
        offset = source.offsets[record.line]
        rows.append(Rejected(settings.path, record.line, offset, "benchmark_leak", detail, held.id))
    return rows


def _line(row: Rejected) -> int:
    return row.line


def _report(
    source: Source,
    unique: Deduplicated,
    split: Split,
    rejected: list[Rejected],
    absent: set[str],
    settings: CurateSettings,
) -> dict[str, Any]:
    """What happened to every line, without anything that differs between two equal runs."""
    records, reasons = unique.records, Counter(row.reason for row in rejected)
    kept = len(split.train) + len(split.dev) + len(split.test) - len(absent)
    assert kept + len(rejected) == source.read, f"{kept} kept + {len(rejected)} rejected of {source.read} lines"
    random_leak = random_split_leak(records, unique.shingles, settings.test_items, settings.near_duplicate_threshold)
    cluster_sizes = Counter(unique.clusters)
    return {
        "read": source.read,
        "kept": kept,
        "blank_lines": source.blank_lines,
        "rejected": dict(sorted(reasons.items())),
        "train": len(split.train),
        "dev": len(split.dev),
        "test": len(split.test),
        "benchmark_items_absent_from_data": len(absent),
        "groups": len({record.group for record in records if record.group is not None}),
        "labels": dict(sorted(Counter(record.label for record in records if record.label is not None).items())),
        "test_labels": dict(sorted(Counter(records[i].label for i in split.test if records[i].label).items())),
        "test_groups": len({records[i].group for i in split.test if records[i].group is not None}),
        "duplicates": {"exact": reasons["exact_duplicate"], "near": reasons["near_duplicate"]},
        "near_duplicate_clusters": {"count": len(cluster_sizes), "largest": max(cluster_sizes.values())},
        "shingles": unique.shingles.unit,
        "leakage": {"test_near_train": 0, "random_split_would_leak": round(random_leak, 4)},
        "raw_sha256": source.sha256,
    }


def _write(
    settings: CurateSettings,
    records: list[Record],
    split: Split,
    rejected: list[Rejected],
    report: dict[str, Any],
    *,
    smoke: bool,
) -> None:
    parts = {name: [records[index] for index in getattr(split, name)] for name in ("train", "dev", "test")}
    for rows in parts.values():
        rows.sort(key=lambda record: record.id)  # ids are hashes: the first rows of a part are a fair sample of it
    if smoke:
        parts = {name: rows[: SMOKE_ROWS[name]] for name, rows in parts.items()}
    write_jsonl(TRAIN, parts["train"])
    write_jsonl(REJECTED, rejected)
    write_jsonl(DEV, parts["dev"])
    write_jsonl(TEST, parts["test"])
    write_json(REPORT, report)
    benchmark = {
        "version": settings.benchmark_version,
        "smoke": smoke,
        "items": len(parts["test"]),
        "sha256": sha256_file(TEST),
        "dev_items": len(parts["dev"]),
        "dev_sha256": sha256_file(DEV),
    }
    write_json(BENCHMARK, benchmark)


def _print(report: dict[str, Any]) -> None:
    print(f"read {report['read']}   train {report['train']}   dev {report['dev']}   test {report['test']}")
    for reason, count in report["rejected"].items():
        print(f"  left out {count:>6}  {reason}")
    leak = report["leakage"]["random_split_would_leak"]
    print(f"test items with a near duplicate in train: 0 (a random split: {leak:.1%})")


if __name__ == "__main__":
    sys.exit(run_stage(main))
