"""Stage `curate`: raw data in; clean train records, a frozen benchmark and a reason for every record left out.

`decide` holds the steps in their order. A step drops records and says why; the report counts each one.
"""

import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.answers import without_extra
from engine.core.artifacts import CURATION_WORK, DATA_REPORT
from engine.core.errors import ProjectError, run_stage
from engine.core.io import write_json
from engine.core.params import EMBEDDER, load
from engine.data.benchmark import Frozen, read_frozen, write_benchmark
from engine.data.contamination import contaminated
from engine.data.dedup.comparison import Compared, Paraphrases, Similarity, compare_part
from engine.data.dedup.deduplicate import (
    CONFLICT,
    CONTAMINATED,
    FEEDBACK,
    KEPT,
    LEAK,
    LIMIT,
    Fates,
    boilerplate,
    deduplicate,
    priorities,
)
from engine.data.dedup.shingles import unit_for
from engine.data.downsample import beyond_limit
from engine.data.executor import Parts, compare_parts, read_parts
from engine.data.normalise.dataset_formats import MANY_ANSWERS
from engine.data.read.detect_format import detect
from engine.data.record_store import Store, open_store
from engine.data.report.data_card import write_card
from engine.data.report.data_page import write_page
from engine.data.report.data_report import Curated, data_report
from engine.data.split import Split, draw, keep_frozen, leaks
from engine.data.stop_conditions import refuse_bad_data, refuse_little_data
from engine.data.write_outputs import write_rejected, write_repaired, write_train
from engine.settings.curate import CurateParams, CurateSettings

SMOKE_TRAIN_ROWS = 64
SMOKE_BENCHMARK_ROWS = 8


def main() -> None:
    settings = load(CurateParams)
    curate(settings.curate, smoke=settings.smoke, embedder=settings.embedder)


def curate(settings: CurateSettings, *, smoke: bool, embedder: str = EMBEDDER) -> dict[str, Any]:
    """Run the stage in the current folder. Returns the report, which is also written.

    Raises:
        ProjectError: the data cannot be read, too much of it is bad, too little is left, the training data contain a
            benchmark, or the frozen benchmark is not the one that was drawn.
    """
    frozen = read_frozen(settings.benchmark_version)
    parts = read_parts(settings)
    print(detect(Path(settings.path), settings).sentence())
    with closing(open_store(parts.folders, parts.sources, frozen.items if frozen else [])) as store:
        refuse_bad_data(store, settings, 0)
        curated = decide(store, parts, frozen, settings, embedder)
        report = data_report(store, curated, settings, parts.sha256)
        write(store, curated, frozen, settings, report, smoke=smoke)
    shutil.rmtree(CURATION_WORK)
    tell(report, frozen, settings)
    return report


def decide(store: Store, parts: Parts, frozen: Frozen | None, settings: CurateSettings, embedder: str) -> Curated:
    """Which records are distinct, which are the benchmark, and which may be trained on."""
    unit = unit_for(store.words)
    compare_parts(settings.engine, store.folders, compare_part, unit, settings.format in MANY_ANSWERS)
    compared = Compared(store, unit)
    threshold = settings.near_duplicate_threshold if unit == "char4" else settings.near_duplicate_threshold_long
    alike = Similarity(compared.shingles, threshold, paraphrases(store, settings, embedder))
    fates = Fates(priorities(store, parts.feedback, frozen.items if frozen else []))
    stock = boilerplate(store, compared, settings)
    if settings.quality.boilerplate == "drop":
        stock.drop(fates)

    unique = deduplicate(store, compared, alike, fates, settings.test_items)
    inherit(store, fates)
    refuse_bad_data(store, settings, int((fates.reason == CONFLICT).sum()))
    refuse_little_data(store, fates, settings, drawing=frozen is None)

    kept = fates.reason == KEPT
    if frozen:
        split = keep_frozen(store, alike, kept, frozen)
    else:
        split = draw(store, alike, kept, unique.clusters, settings.test_items, settings.dev_items)
    leaked = leaks(alike.shingles, split.test + split.dev, split.train, threshold)
    assert leaked == 0, f"{leaked} benchmark items have a near duplicate in train"
    drop_leaks(store, split, fates)

    contamination = contaminated(store, alike, split.test + split.dev, split.train, settings)
    if settings.contamination == "drop":
        for index, detail in contamination.records.items():
            fates.drop(index, CONTAMINATED, detail=detail)
        split.train = split.train[fates.reason[split.train] == KEPT]

    for index, detail in beyond_limit(store, split.train, fates.priority, settings).items():
        fates.drop(index, LIMIT, detail=detail)
        contamination.records.pop(index, None)
    split.train = split.train[fates.reason[split.train] == KEPT]
    if not len(split.train):
        raise ProjectError("no record is left to train on", settings.path, "provide more records")
    return Curated(fates, unique, split, contamination, stock, unit)


def paraphrases(store: Store, settings: CurateSettings, embedder: str) -> Paraphrases | None:
    """What finds prompts that mean the same in other words, if the settings ask for it."""
    if settings.semantic_threshold is None:
        return None
    try:
        from engine.data.dedup.semantic_dedup import Meanings  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise without_extra("embeddings", "params.yaml: curate.semantic_threshold") from None
    found: Paraphrases = Meanings(store, embedder, settings.semantic_threshold)
    return found


def inherit(store: Store, fates: Fates) -> None:
    """Give corrections the group and the label of what they correct."""
    for index in np.flatnonzero(fates.by >= 0).tolist():
        if fates.priority[fates.by[index]] == FEEDBACK:
            store.inherit(int(fates.by[index]), index)


def drop_leaks(store: Store, split: Split, fates: Fates) -> None:
    """Leave out what would tell the model an item of the benchmark."""
    for index, item in split.purged.items():
        detail = "near a benchmark item"
        if store.group[index] and store.group[index] == store.group[item]:
            detail = "in the group of a benchmark item"
        if index in split.reworded:
            detail = "paraphrases a benchmark item"
        fates.drop(index, LEAK, item, detail)


def write(
    store: Store,
    curated: Curated,
    frozen: Frozen | None,
    settings: CurateSettings,
    report: dict[str, Any],
    *,
    smoke: bool,
) -> None:
    """Everything that the stage puts on disk. A frozen benchmark stays as it was drawn, with its lines and groups."""
    if frozen:
        test, dev, sizes = frozen.test, frozen.dev, frozen.wanted
    else:
        held = [store.records(part) for part in (curated.split.test, curated.split.dev)]
        test, dev = (sorted(records, key=lambda record: record.id) for records in held)
        sizes = {"test": settings.test_items, "dev": settings.dev_items}
    write_benchmark(test, dev, sizes, settings.benchmark_version, SMOKE_BENCHMARK_ROWS if smoke else None)
    write_train(store, curated.split.train, SMOKE_TRAIN_ROWS if smoke else None)
    rejected = write_rejected(store, curated.fates)
    assert report["kept"] + rejected == report["read"], "a record is neither kept nor rejected"
    write_repaired(store)
    write_json(DATA_REPORT, report)
    write_page(store, curated, settings, report)
    write_card(settings, report)


def tell(report: dict[str, Any], frozen: Frozen | None, settings: CurateSettings) -> None:
    """The report in a few lines."""
    print(f"read {report['read']}   train {report['train']}   dev {report['dev']}   test {report['test']}")
    for reason, count in report["rejected"].items():
        print(f"  left out {count:>7}  {reason}")
    for anomaly, count in report["repaired"].items():
        print(f"  repaired {count:>7}  {anomaly}")
    leak = report["leakage"]["random_split_would_leak"]
    print(f"test items with a near duplicate in train: 0 (drawn at random from the same lines: {leak:.1%})")
    if report["contamination"]["records"]:
        print(f"KEPT although they contain an evaluation item: {report['contamination']['records']} training records")
    if frozen and frozen.wanted != {"test": settings.test_items, "dev": settings.dev_items}:
        print("the benchmark is frozen; new sizes apply if curate.benchmark_version is raised")


if __name__ == "__main__":
    sys.exit(run_stage(main))
