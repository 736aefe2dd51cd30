"""Split records into train, dev and test so that no test item has a near duplicate, or a group, in common with train.

A unit is what must not be torn apart: a group if the data names one (a sentence template, a document, a customer),
otherwise a cluster of near duplicates.  Test, then dev, take whole units, label by label, in the order of the hash of
each unit's name, so that adding rows does not reshuffle the rest.  Groups that share near duplicates are not merged,
since that can chain most of the data into one unit.  Instead the records outside that are near a benchmark item are
purged, so both promises hold exactly.

Once drawn, the benchmark is frozen: later rows can only join train, or be purged.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.core.errors import ProjectError
from engine.data.dedup.near_duplicates import neighbours
from engine.data.dedup.semantic_dedup import Meanings
from engine.data.dedup.shingles import Shingles
from engine.data.record_store import Row, Store

MAX_BENCHMARK_SHARE = 0.3  # of all records: more would leave too little to train on
MIN_BENCHMARK_SHARE = 0.5  # of what was asked for: less is not the benchmark that was asked for
MIN_UNITS_OF_A_LABEL = 3  # one each for train and test, and one to spare; rarer labels are drawn together
MOST_DRAWN_FROM = 200_000  # records; above this, the units whose hashes come first represent all
Indices = NDArray[np.int64]


class Split(Struct):
    """Indices of records. ``purged`` maps each left-out record to the benchmark item that it would leak."""

    train: Indices
    dev: list[int]
    test: list[int]
    purged: dict[int, int]
    reworded: set[int]  # those of them that ask in other words what the item asks


def draw(
    store: Store,
    shingles: Shingles,
    kept: NDArray[np.bool_],
    near: Indices,
    test_items: int,
    dev_items: int,
    threshold: float,
    meanings: Meanings | None = None,
) -> Split:
    """Draw a new benchmark from the ``kept`` records.

    Args:
        near: for each record the smallest index in its near-duplicate cluster.
        meanings: if given, what asks the same as a benchmark item in other words is purged too.

    Raises:
        ProjectError: the groups are too large for the sizes asked for.
    """
    names_of = _sampled(store, kept, near)
    records = store.rows(names_of)
    units = unit_names(records, names_of)
    pool = set(records)
    test, purged = _take(records, units, pool, test_items, every_label=True)
    if len(test) < MIN_BENCHMARK_SHARE * test_items:
        largest = Counter(units.values()).most_common(1)[0][1]
        raise ProjectError(
            f"whole groups give only {len(test)} of {test_items} test items (the largest has {largest})",
            "curate.group_key",
            "use a finer group, or none",
        )
    outside = kept.copy()
    outside[[*test, *purged]] = False
    purged |= near_benchmark(shingles, test, outside, threshold)
    outside[list(purged)] = False
    reworded = _reworded(meanings, test, outside)
    pool -= set(test) | purged.keys() | reworded.keys()
    dev, _ = _take(records, units, pool, dev_items, every_label=False)
    outside[[*reworded, *dev]] = False
    purged |= near_benchmark(shingles, dev, outside, threshold)
    purged |= _torn(store, outside, test + dev)
    outside[list(purged)] = False
    reworded |= _reworded(meanings, dev, outside)
    outside[list(reworded)] = False
    return Split(np.flatnonzero(outside), dev, test, purged | reworded, set(reworded))


def keep_frozen(
    store: Store,
    shingles: Shingles,
    kept: NDArray[np.bool_],
    test: list[int],
    dev: list[int],
    threshold: float,
    meanings: Meanings | None = None,
) -> Split:
    """The split when the benchmark is already drawn: what is a frozen item, in its group, or near it, is purged."""
    outside = kept.copy()
    outside[test + dev] = False
    purged = _torn(store, outside, test + dev) | _cleaned_otherwise(store, outside, test + dev)
    outside[list(purged)] = False
    purged |= near_benchmark(shingles, test + dev, outside, threshold)
    outside[list(purged)] = False
    reworded = _reworded(meanings, test + dev, outside)
    outside[list(reworded)] = False
    return Split(np.flatnonzero(outside), dev, test, purged | reworded, set(reworded))


def _reworded(meanings: Meanings | None, held: list[int], outside: NDArray[np.bool_]) -> dict[int, int]:
    """Records outside that ask in other words what a held item asks, each with the first such item."""
    pairs = meanings.near(held).tolist() if meanings else []
    return {record: item for item, record in reversed(pairs) if outside[record]}


def _cleaned_otherwise(store: Store, outside: NDArray[np.bool_], held: list[int]) -> dict[int, int]:
    """Records outside that were a held item before repair and redaction, whose settings have changed since."""
    items = {int(store.raw[index]): index for index in reversed(held)}
    found = np.flatnonzero(outside & np.isin(store.raw, np.array(list(items), np.uint64)))
    return {index: items[int(store.raw[index])] for index in found.tolist()}


def _torn(store: Store, outside: NDArray[np.bool_], held: list[int]) -> dict[int, int]:
    """Records outside that are in the group of a held item, each with the first such item."""
    groups = {int(store.group[index]): index for index in reversed(held) if store.group[index]}
    found = np.flatnonzero(outside & np.isin(store.group, np.array(list(groups), np.uint64)))
    return {index: groups[int(store.group[index])] for index in found.tolist()}


def _sampled(store: Store, kept: NDArray[np.bool_], near: Indices) -> dict[int, str]:
    """The records to draw from, with the smallest id in each one's cluster: all of them, or whole units of many."""
    smallest = np.full(len(store), np.iinfo(np.uint64).max, np.uint64)
    indices = np.flatnonzero(kept)
    np.minimum.at(smallest, near[indices], store.id[indices])
    cluster = smallest[near[indices]]
    if len(indices) > MOST_DRAWN_FROM:
        unit = np.where(store.group[indices] == 0, cluster, store.group[indices])  # both are hashes
        chosen = unit <= np.uint64((MOST_DRAWN_FROM / len(indices)) * float(2**64))
        indices, cluster = indices[chosen], cluster[chosen]
    return {index: f"{name:016x}" for index, name in zip(indices.tolist(), cluster.tolist(), strict=True)}


def unit_names(records: Mapping[int, Row], clusters: Mapping[int, str]) -> dict[int, str]:
    """The name of each record's unit: its group, or the smallest record id in its near-duplicate cluster."""
    return {
        index: f"cluster {clusters[index]}" if record.group is None else f"group {record.group}"
        for index, record in records.items()
    }


def near_benchmark(
    shingles: Shingles, benchmark: Sequence[int], outside: NDArray[np.bool_], threshold: float
) -> dict[int, int]:
    """Records ``outside`` that are near a benchmark item, each with the first such item. None is missed."""
    pairs = neighbours(shingles, [shingles.of(item) for item in benchmark], threshold)
    found: dict[int, int] = {}
    for query, other in pairs[outside[pairs[:, 1]]].tolist():
        found.setdefault(other, benchmark[query])
    return found


def leaks(shingles: Shingles, benchmark: Sequence[int], train: Iterable[int], threshold: float) -> int:
    """How many ``benchmark`` items have a near duplicate in ``train``: every pair is compared, none is missed."""
    pairs = neighbours(shingles, [shingles.of(item) for item in benchmark], threshold)
    inside = np.zeros(len(shingles), bool)
    inside[np.fromiter(train, np.int64)] = True
    return len(np.unique(pairs[inside[pairs[:, 1]], 0]))


def _take(
    records: Mapping[int, Row], units: Mapping[int, str], pool: set[int], wanted: int, *, every_label: bool
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


def _sample(records: Mapping[int, Row], indices: list[int], limit: int) -> list[int]:
    """The ``limit`` records with the smallest ids, which are hashes."""
    return sorted(indices, key=lambda index: records[index].id)[:limit]


def _strata(
    records: Mapping[int, Row], members: dict[str, list[int]], names_in_order: list[str]
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
