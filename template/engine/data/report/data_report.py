"""`reports/data.json`: what became of every record, and nothing that differs between two equal runs."""

from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from engine.core.io import sha256_json
from engine.data.contamination import Contamination
from engine.data.dedup.deduplicate import CODES, KEPT, Boilerplate, Deduplicated, Fates
from engine.data.downsample import sampled, spread
from engine.data.read.folders import raw_files
from engine.data.record_store import Store
from engine.data.split import Split
from engine.settings.curate import CurateSettings


class Curated(Struct):
    """Everything that was decided about the records of a `Store`."""

    fates: Fates
    unique: Deduplicated
    split: Split
    contamination: Contamination
    boilerplate: Boilerplate
    unit: str  # of the shingles


def data_report(store: Store, curated: Curated, settings: CurateSettings, sha256: dict[str, str]) -> dict[str, Any]:
    """The counts of a run; they are also DVC metrics."""
    split, fates = curated.split, curated.fates
    reasons = store.counts("reasons")
    codes, counts = np.unique(fates.reason, return_counts=True)
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        if code != KEPT:
            reasons[CODES[code]] = reasons.get(CODES[code], 0) + count
    absent = int((store.source == len(store.sources) - 1).sum()) if store.sources[-1] == "data/eval" else 0
    kept = len(split.train) + len(split.dev) + len(split.test) - absent
    read = store.total("read")
    assert kept + sum(reasons.values()) == read, f"{kept} kept + {sum(reasons.values())} rejected of {read} lines"
    everything = np.union1d(split.train, np.array(split.test + split.dev, np.int64))
    _, sizes = np.unique(curated.unique.clusters[fates.kept()], return_counts=True)
    sample = sampled(store, split.train)
    raw = {str(path): sha256[str(path)] for path in raw_files(Path(settings.path))}
    stock = {"boilerplate": int((curated.boilerplate.place >= 0).sum())} if curated.boilerplate.sentences else {}
    return {
        "read": read,
        "kept": kept,
        "rejected": dict(sorted(reasons.items())),
        "repaired": store.counts("repairs"),
        "train": len(split.train),
        "dev": len(split.dev),
        "test": len(split.test),
        "benchmark_items_absent_from_data": absent,
        "groups": _groups(store, everything),
        "test_groups": _groups(store, np.array(split.test, np.int64)),
        "labels": label_counts(store, everything),
        "test_labels": label_counts(store, np.array(split.test, np.int64)),
        "label_balance": _balance(store, everything),
        "duplicates": {name: reasons.get(f"{name}_duplicate", 0) for name in ("exact", "near", "semantic")},
        "near_duplicate_clusters": {"count": len(sizes), "largest": int(sizes.max(initial=0))},
        "shingles": curated.unit,
        "prompt_words": spread(store.words[split.train]),
        "answer_words": sample["answer_words"],
        "leakage": {
            "test_near_train": 0,
            "reworded": len(split.reworded),
            "random_split_would_leak": round(curated.unique.random_leak, 4),
        },
        "contamination": {
            "policy": settings.contamination,
            "records": len(curated.contamination.records),
            "benchmarks": curated.contamination.benchmarks,
        },
        "private_data": store.counts("private"),
        "findings": store.counts("findings") | stock,
        "boilerplate": dict(curated.boilerplate.sentences),
        "languages": store.counts("languages") or sample["languages"],
        "diversity": sample["diversity"],
        "preference": _length_bias(store.counts("pairs")),
        "desirable": _desirable(store.counts("pairs")),
        "raw_sha256": next(iter(raw.values())) if len(raw) == 1 else sha256_json(raw),
        "feedback": {name: digest for name, digest in sorted(sha256.items()) if name not in raw},
    }


def _length_bias(counts: dict[str, int]) -> dict[str, float] | None:
    """How far the chosen answers are the longer ones; a model that is tuned on such pairs learns to be long."""
    if not (pairs := counts.get("pairs", 0)):
        return None
    return {
        "pairs": pairs,
        "chosen_longer": round(counts.get("chosen_longer", 0) / pairs, 4),
        "rejected_longer": round(counts.get("rejected_longer", 0) / pairs, 4),
        "chosen_mean_characters": round(counts.get("chosen_characters", 0) / pairs, 1),
        "rejected_mean_characters": round(counts.get("rejected_characters", 0) / pairs, 1),
    }


def _desirable(counts: dict[str, int]) -> dict[str, float] | None:
    """How many answers of KTO data are good. If one kind is rare, the trainer must weight it."""
    good, bad = counts.get("desirable", 0), counts.get("undesirable", 0)
    return {"good": good, "bad": bad, "share": round(good / (good + bad), 4)} if good + bad else None


def _groups(store: Store, indices: Any) -> int:
    groups = np.unique(store.group[indices])
    return int((groups != 0).sum())


def label_counts(store: Store, indices: Any) -> dict[str, int]:
    """How many of some records have each label."""
    codes, counts = np.unique(store.label[indices], return_counts=True)
    return {store.labels[code]: count for code, count in zip(codes.tolist(), counts.tolist(), strict=True) if code >= 0}


def _balance(store: Store, indices: Any) -> dict[str, float] | None:
    """How even the labels are: the number of equally frequent ones that would be as diverse, and the largest share.

    The effective number is the exponential of Shannon's entropy (Hill number of order 1).
    """
    counts = np.array(list(label_counts(store, indices).values()), float)
    if not len(counts):
        return None
    shares = counts / counts.sum()
    effective = float(np.exp(-(shares * np.log(shares)).sum()))
    return {
        "labels": len(counts),
        "effective_labels": round(effective, 2),
        "largest_share": round(float(shares.max()), 4),
    }
