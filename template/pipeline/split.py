"""Split records into train, dev and test so that no test item has a near duplicate, or a group, in common with train.

A unit is what must not be torn apart: a group if the data names one (a sentence template, a document, a customer),
otherwise a cluster of near duplicates.  Test, then dev, take whole units, label by label, in the order of the hash of
each unit's name, so that adding rows does not reshuffle the rest.  Groups that share near duplicates are not merged,
since that can chain most of the data into one unit.  Instead the records outside that are near a benchmark item are
purged, so both promises hold exactly.

Once drawn, the benchmark is frozen: later rows can only join train, or be purged.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

from pipeline.files import ProjectError
from pipeline.near_duplicates import Shingles, neighbours
from pipeline.records import Record

MAX_BENCHMARK_SHARE = 0.3  # of all records: more would leave too little to train on
MIN_BENCHMARK_SHARE = 0.5  # of what was asked for: less is not the benchmark that was asked for
MIN_UNITS_OF_A_LABEL = 3  # one each for train and test, and one to spare; rarer labels are drawn together


class Split(Struct):
    """Indices of records. ``purged`` maps each left-out record to the benchmark item that it would leak."""

    train: list[int]
    dev: list[int]
    test: list[int]
    purged: dict[int, int]


def draw(
    records: Sequence[Record],
    shingles: Shingles,
    near: Sequence[int],
    test_items: int,
    dev_items: int,
    threshold: float,
) -> Split:
    """Draw a new benchmark.

    Args:
        near: for each record the smallest index in its near-duplicate cluster.

    Raises:
        ProjectError: there are too few records, or too large groups, for the sizes asked for.
    """
    needed = math.ceil((test_items + dev_items) / MAX_BENCHMARK_SHARE)
    if len(records) < needed:
        raise ProjectError(
            f"{len(records)} usable records are too few for a test set of {test_items} and a dev set of {dev_items}",
            "curate.test_items, curate.dev_items",
            f"provide at least {needed} records, or ask for fewer test and dev items",
        )
    units = unit_names(records, near)
    pool = set(range(len(records)))
    test, purged = _take(records, units, pool, test_items, every_label=True)
    if len(test) < MIN_BENCHMARK_SHARE * test_items:
        largest = Counter(units).most_common(1)[0][1]
        raise ProjectError(
            f"only {len(test)} of {test_items} test items can be held out in whole groups (the largest has {largest})",
            "curate.group_key",
            "use a finer group, or none",
        )
    purged |= _purge(shingles, test, pool - set(test) - purged.keys(), threshold)
    pool -= set(test) | purged.keys()
    dev, _ = _take(records, units, pool, dev_items, every_label=False)
    pool -= set(dev)
    purged |= _purge(shingles, dev, pool, threshold)
    return Split(train=sorted(pool - purged.keys()), dev=dev, test=test, purged=purged)


def keep_frozen(
    records: Sequence[Record], shingles: Shingles, test_ids: set[str], dev_ids: set[str], threshold: float
) -> Split:
    """The split when the benchmark is already drawn.

    ``records`` has every frozen item. A new record in a frozen item's group, or near a frozen item, is purged.
    """
    test = [index for index, record in enumerate(records) if record.id in test_ids]
    dev = [index for index, record in enumerate(records) if record.id in dev_ids]
    frozen = test + dev
    pool = set(range(len(records))) - set(frozen)
    held_groups = {records[index].group: index for index in reversed(frozen) if records[index].group is not None}
    purged = {index: held_groups[records[index].group] for index in pool if records[index].group in held_groups}
    purged |= _purge(shingles, frozen, pool - purged.keys(), threshold)
    return Split(train=sorted(pool - purged.keys()), dev=dev, test=test, purged=purged)


def unit_names(records: Sequence[Record], near: Sequence[int]) -> list[str]:
    """The name of each record's unit: its group, or the smallest record id in its near-duplicate cluster."""
    smallest: dict[int, str] = {}
    for record, cluster in zip(records, near, strict=True):
        smallest[cluster] = min(record.id, smallest.get(cluster, record.id))
    return [
        f"cluster {smallest[cluster]}" if record.group is None else f"group {record.group}"
        for record, cluster in zip(records, near, strict=True)
    ]


def leaks(shingles: Shingles, benchmark: Sequence[int], train: Iterable[int], threshold: float) -> int:
    """How many ``benchmark`` items have a near duplicate in ``train``: every pair is compared, none is missed."""
    pairs = neighbours(shingles, benchmark, threshold)
    return len(np.unique(pairs[np.isin(pairs[:, 1], list(train)), 0]))


def _purge(shingles: Shingles, benchmark: Sequence[int], pool: Iterable[int], threshold: float) -> dict[int, int]:
    """Records of ``pool`` that are near a benchmark item, each with the first such item."""
    outside = set(pool)
    found: dict[int, int] = {}
    for item, other in neighbours(shingles, benchmark, threshold).tolist():
        if other in outside:
            found.setdefault(other, item)
    return found


def _take(
    records: Sequence[Record], units: Sequence[str], pool: set[int], wanted: int, *, every_label: bool
) -> tuple[list[int], dict[int, int]]:
    """At most ``wanted`` records of ``pool`` in whole units, each label in its share of the pool.

    Labels are served from the rarest on, each from what is left, so the rounding of one is made up by the next.
    With ``every_label`` a label whose share rounds to nothing still gets one unit.  If there are more labels than whole
    units have room for, each unit gives a few records only; its others are returned too, each with one that was taken.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index in sorted(pool):
        members[units[index]].append(index)
    whole, names_in_order = members, sorted(members, key=_order)
    strata = _strata(records, members, names_in_order)
    if every_label and (limit := _limit(members, strata, wanted)) is not None:
        every_label = limit > 0
        members = {name: _sample(records, indices, max(1, limit)) for name, indices in whole.items()}
    sizes = {label: sum(len(members[name]) for name in names) for label, names in strata.items()}
    taken: set[str] = set()
    budget, left = wanted, sum(sizes.values())
    for size, names in [(sizes[label], strata[label]) for label in sorted(strata, key=lambda x: (sizes[x], x))]:
        quota, got = budget * size / left, 0
        for name in names:
            count = len(members[name])
            due = quota - got >= count / 2 or (every_label and not got and len(names) >= MIN_UNITS_OF_A_LABEL)
            if due and got + count <= budget:
                taken.add(name)
                got += count
        budget, left = budget - got, left - size
    for name in names_in_order if budget else []:  # rounding left a little room
        if name not in taken and len(members[name]) <= budget:
            taken.add(name)
            budget -= len(members[name])
    unused = {index: members[name][0] for name in taken for index in whole[name] if index not in members[name]}
    return sorted(index for name in taken for index in members[name]), unused


def _limit(members: dict[str, list[int]], strata: dict[str, list[str]], wanted: int) -> int | None:
    """How many records a unit may give, so that one unit a label fills at most half of the benchmark.

    None if whole units are small enough; 0 if even one record for each label is too much.
    """
    firsts = [names[0] for names in strata.values() if len(names) >= MIN_UNITS_OF_A_LABEL]
    if sum(len(members[name]) for name in firsts) <= wanted:
        return None
    return wanted // (2 * len(firsts))


def _sample(records: Sequence[Record], indices: list[int], limit: int) -> list[int]:
    """The ``limit`` records with the smallest ids, which are hashes."""
    return sorted(indices, key=lambda index: records[index].id)[:limit]


def _strata(
    records: Sequence[Record], members: dict[str, list[int]], names_in_order: list[str]
) -> dict[str, list[str]]:
    """The units of each label (a unit's most frequent one); labels with few units share the stratum ``""``."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for name in names_in_order:
        labels = [records[index].label or "" for index in members[name]]
        by_label[_most_frequent(labels) if len(labels) > 1 else labels[0]].append(name)
    strata: dict[str, list[str]] = defaultdict(list)
    for label, names in by_label.items():
        strata[label if len(names) >= MIN_UNITS_OF_A_LABEL else ""] += names
    return strata


def _most_frequent(labels: list[str]) -> str:
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


def _order(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
