"""Drop what says the same thing twice: equal records, contradictions, and near duplicates with the same answer."""

from typing import TypeAlias

import numpy as np
from msgspec import Struct

from pipeline.near_duplicates import Pairs, Shingles, clusters, near_pairs, normalise
from pipeline.records import Record, Rejected, Source

Asked: TypeAlias = tuple[str, str]  # the system prompt and the prompt, normalised


class Deduplicated(Struct):
    """What is left, and which of it is near which.

    Attributes:
        clusters: for each record the smallest index in its cluster of near duplicates.
        random_leak: share of test items with a near duplicate in train, had single lines been drawn at random.
    """

    records: list[Record]
    shingles: Shingles
    clusters: list[int]
    rejected: list[Rejected]
    random_leak: float


def deduplicate(source: Source, threshold: float, test_items: int, frozen: list[Record]) -> Deduplicated:
    """The distinct records of ``source``: the first of its kind stays, a ``frozen`` benchmark item before all.

    A near duplicate is dropped only if its answer is the same: "turn on the light" and "turn off the light" are near.
    Frozen items whose line is gone from the data are part of the result.
    """
    distinct, rejected = _distinct_prompts(source, frozen)
    unique = list(distinct.values())
    shingles = Shingles.of_texts([prompt for _, prompt in distinct])
    pairs = near_pairs(shingles, threshold)
    fixed = {record.id for record in frozen}
    dropped: set[int] = set()
    for left, right in pairs.tolist():
        a, b = unique[left], unique[right]
        same = a.system == b.system and normalise(a.answer) == normalise(b.answer)
        if same and b.id not in fixed and not dropped & {left, right}:
            dropped.add(right)
            rejected.append(source.reject(b, "near_duplicate", f"near line {a.line}, same answer", a.id))
    kept = [index for index in range(len(unique)) if index not in dropped]
    return Deduplicated(
        records=[unique[index] for index in kept],
        shingles=shingles.select(kept),
        clusters=clusters(len(kept), _renumbered(pairs, kept, len(unique))).tolist(),
        rejected=rejected,
        random_leak=_random_split_leak(unique, pairs, test_items),
    )


def _distinct_prompts(source: Source, frozen: list[Record]) -> tuple[dict[Asked, Record], list[Rejected]]:
    """One record for each system prompt and prompt, by both of them as `normalise` gives them.

    The same prompt again is a duplicate or, with another answer, a contradiction.
    """
    fixed, present = {record.id for record in frozen}, {record.id for record in source.records}
    ordered = [record for record in frozen if record.id not in present]
    ordered += sorted(source.records, key=lambda record: record.id not in fixed)
    first: dict[Asked, Record] = {}
    rejected = []
    for record in ordered:
        kept = first.setdefault((normalise(record.system), normalise(record.prompt)), record)
        if kept is record:
            continue
        if normalise(kept.answer) == normalise(record.answer):
            rejected.append(source.reject(record, "exact_duplicate", f"same as line {kept.line}", kept.id))
        else:
            detail = f"line {kept.line} answers the same prompt differently"
            rejected.append(source.reject(record, "conflicting_label", detail, kept.id))
    return first, rejected


def _renumbered(pairs: Pairs, kept: list[int], size: int) -> Pairs:
    """The pairs among ``kept``, numbered by their place in it."""
    place = np.full(size, -1)
    place[kept] = np.arange(len(kept))
    links = place[pairs]
    return links[(links >= 0).all(axis=1)]


def _random_split_leak(records: list[Record], pairs: Pairs, test_items: int) -> float:
    order = sorted(range(len(records)), key=lambda index: records[index].id)  # ids are hashes: a fair, fixed shuffle
    test = order[:test_items]
    is_test = np.zeros(len(records), bool)
    is_test[test] = True
    crossing = pairs[is_test[pairs[:, 0]] != is_test[pairs[:, 1]]]
    leaking = np.unique(crossing[is_test[crossing]])
    return len(leaking) / max(1, len(test))
