"""Stage `curate`: raw data in; clean train records, a frozen benchmark and a reason for every record left out."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.artifacts import CURATION_WORK, DATA_REPORT
from engine.core.errors import ProjectError
from engine.core.io import write_json
from engine.core.params import EMBEDDER
from engine.data.benchmark import Frozen, read_frozen, write_benchmark
from engine.data.contamination import contaminated
from engine.data.dedup.comparison import Compared, Similarity, compare_part
from engine.data.dedup.deduplicate import (
    CONFLICT,
    CONTAMINATED,
    FEEDBACK,
    FIXED,
    KEPT,
    LEAK,
    LIMIT,
    RAW,
    Deduplicated,
    Fates,
    boilerplate,
    deduplicate,
)
from engine.data.dedup.semantic_dedup import Meanings
from engine.data.dedup.shingles import unit_for
from engine.data.downsample import beyond_limit
from engine.data.executor import Parts, compare_parts, read_parts
from engine.data.normalise.dataset_formats import MANY_ANSWERS
from engine.data.read.detect_format import detect
from engine.data.record_store import Store
from engine.data.report.data_card import write_card
from engine.data.report.data_page import write_page
from engine.data.report.data_report import Curated, data_report
from engine.data.shards import frozen_part
from engine.data.split import Split, draw, keep_frozen, leaks
from engine.data.stop_conditions import refuse_bad_data, refuse_little_data
from engine.data.write_outputs import write_rejected, write_repaired, write_train
from engine.settings.curate import CurateSettings

SMOKE_TRAIN_ROWS = 64
SMOKE_BENCHMARK_ROWS = 8


def curate(settings: CurateSettings, *, smoke: bool, embedder: str = EMBEDDER) -> dict[str, Any]:
    """Run the stage in the current folder. Returns the report, which is also written.

    Raises:
        ProjectError: the data cannot be read, too much of it is bad, too little is left, the training data contain a
            benchmark, or the frozen benchmark is not the one that was drawn.
    """
    frozen = read_frozen(settings.benchmark_version)
    parts = read_parts(settings)
    print(detect(Path(settings.path), settings).sentence())
    with closing(_store(parts, frozen)) as store:
        refuse_bad_data(store, settings, 0)
        curated = _decide(store, parts, frozen, settings, embedder)
        report = data_report(store, curated, settings, parts.sha256)
        _write(store, curated, frozen, settings, report, smoke=smoke)
    shutil.rmtree(CURATION_WORK)
    _print(report, frozen, settings)
    return report


def _store(parts: Parts, frozen: Frozen | None) -> Store:
    """The records of all parts; benchmark items that the data no longer have make a part of their own."""
    store = Store(parts.folders, parts.sources)
    if frozen is None:
        return store
    present = set(store.id.tolist())
    absent = [item for item in frozen.items if int(item.id, 16) not in present]
    if not absent:
        return store
    store.close()
    folder = CURATION_WORK / "frozen"
    frozen_part(folder, absent)
    return Store([*parts.folders, folder], [*parts.sources, "data/eval"])


def _decide(store: Store, parts: Parts, frozen: Frozen | None, settings: CurateSettings, embedder: str) -> Curated:
    """Which records are distinct, which are the benchmark, and which may be trained on."""
    unit = unit_for(store.words)
    compare_parts(settings.engine, store.folders, compare_part, unit, settings.format in MANY_ANSWERS)
    compared = Compared(store, unit)
    threshold = settings.near_duplicate_threshold if unit == "char4" else settings.near_duplicate_threshold_long
    semantic = settings.semantic_threshold
    meanings = Meanings(store, embedder, semantic) if semantic is not None else None
    alike = Similarity(compared.shingles, threshold, meanings)
    fates = Fates(_priority(store, parts, frozen))
    stock = boilerplate(store, compared, settings)
    if settings.quality.boilerplate == "drop":
        stock.drop(fates)

    unique = deduplicate(store, compared, alike, fates, settings.test_items)
    _inherit(store, fates)
    refuse_bad_data(store, settings, int((fates.reason == CONFLICT).sum()))
    refuse_little_data(store, fates, settings, drawing=frozen is None)

    split = _split(store, alike, fates, unique, settings, frozen)
    _drop_leaks(store, split, fates)

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


def _inherit(store: Store, fates: Fates) -> None:
    """Give corrections the group and the label of what they correct."""
    for index in np.flatnonzero(fates.by >= 0).tolist():
        if fates.priority[fates.by[index]] == FEEDBACK:
            store.inherit(int(fates.by[index]), index)


def _drop_leaks(store: Store, split: Split, fates: Fates) -> None:
    for index, item in split.purged.items():
        detail = "near a benchmark item"
        if store.group[index] and store.group[index] == store.group[item]:
            detail = "in the group of a benchmark item"
        if index in split.reworded:
            detail = "paraphrases a benchmark item"
        fates.drop(index, LEAK, item, detail)


def _priority(store: Store, parts: Parts, frozen: Frozen | None) -> NDArray[np.uint8]:
    feedback = {piece.source for piece in parts.pieces if piece.feedback}
    of_source = np.array([FEEDBACK if name in feedback else RAW for name in store.sources], np.uint8)
    priority = of_source[store.source]
    if frozen:
        held = np.array([int(item.id, 16) for item in frozen.items], np.uint64)
        priority[np.isin(store.id, held)] = FIXED
    return priority


def _split(
    store: Store,
    alike: Similarity,
    fates: Fates,
    unique: Deduplicated,
    settings: CurateSettings,
    frozen: Frozen | None,
) -> Split:
    """The split, checked: no test or dev item has a near duplicate in train."""
    kept = fates.reason == KEPT
    if frozen:
        index_of = dict(zip(store.id[kept].tolist(), fates.kept().tolist(), strict=True))
        test, dev = ([index_of[int(item.id, 16)] for item in part] for part in (frozen.test, frozen.dev))
        split = keep_frozen(store, alike, kept, test, dev)
    else:
        split = draw(store, alike, kept, unique.clusters, settings.test_items, settings.dev_items)
    leaked = leaks(alike.shingles, split.test + split.dev, split.train, alike.threshold)
    assert leaked == 0, f"{leaked} benchmark items have a near duplicate in train"
    return split


def _write(
    store: Store,
    curated: Curated,
    frozen: Frozen | None,
    settings: CurateSettings,
    report: dict[str, Any],
    *,
    smoke: bool,
) -> None:
    if frozen:  # with the line, label and group that they were drawn with
        test, dev, sizes = frozen.test, frozen.dev, frozen.wanted
    else:
        held = [store.records(part) for part in (curated.split.test, curated.split.dev)]
        test, dev = (sorted(records, key=lambda record: record.id) for records in held)
        sizes = _sizes(settings)
    write_benchmark(test, dev, sizes, settings.benchmark_version, SMOKE_BENCHMARK_ROWS if smoke else None)
    write_train(store, curated.split.train, SMOKE_TRAIN_ROWS if smoke else None)
    rejected = write_rejected(store, curated.fates)
    assert report["kept"] + rejected == report["read"], "a record is neither kept nor rejected"
    write_repaired(store)
    write_json(DATA_REPORT, report)
    write_page(store, curated, settings, report)
    write_card(settings, report)


def _sizes(settings: CurateSettings) -> dict[str, int]:
    return {"test": settings.test_items, "dev": settings.dev_items}


def _print(report: dict[str, Any], frozen: Frozen | None, settings: CurateSettings) -> None:
    print(f"read {report['read']}   train {report['train']}   dev {report['dev']}   test {report['test']}")
    for reason, count in report["rejected"].items():
        print(f"  left out {count:>7}  {reason}")
    for anomaly, count in report["repaired"].items():
        print(f"  repaired {count:>7}  {anomaly}")
    leak = report["leakage"]["random_split_would_leak"]
    print(f"test items with a near duplicate in train: 0 (drawn at random from the same lines: {leak:.1%})")
    if report["contamination"]["records"]:
        print(f"KEPT although they contain an evaluation item: {report['contamination']['records']} training records")
    if frozen and frozen.wanted != _sizes(settings):
        print("the benchmark is frozen; new sizes apply if curate.benchmark_version is raised")
