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
from statistics import multimode

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.core.errors import ProjectError
from engine.data.benchmark import Frozen
from engine.data.dedup.comparison import Similarity
from engine.data.dedup.near_duplicates import Pairs, neighbours
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


class _Remainder(Struct):
    """What may still be trained on while a benchmark is taken out of the records."""

    left: NDArray[np.bool_]
    alike: Similarity
    purged: dict[int, int] = {}
    reworded: set[int] = set()

    def hold(self, items: list[int]) -> None:
        """Take benchmark items out."""
        self.left[items] = False

    def purge(self, items: dict[int, int]) -> list[int]:
        """Leave out the records that are still there, each with its benchmark item. Returns them."""
        records = [record for record in items if self.left[record]]
        self.purged |= {record: items[record] for record in records}
        self.left[records] = False
        return records

    def purge_equal(self, column: NDArray[np.uint64], held: list[int]) -> None:
        """Leave out what has a held item's value in a column of hashes, because of the first such item."""
        items = {int(column[item]): item for item in reversed(held) if column[item]}
        records = np.flatnonzero(np.isin(column, np.array(list(items), np.uint64)))
        self.purge({record: items[int(column[record])] for record in records.tolist()})

    def purge_near(self, held: list[int]) -> None:
        """Leave out every near duplicate of a held item, because of the first such item. None is missed."""
        pairs = _near(self.alike.shingles, held, self.alike.threshold)
        self.purge({record: held[query] for query, record in reversed(pairs.tolist())})

    def purge_reworded(self, held: list[int]) -> None:
        """Leave out what asks in other words what a held item asks, because of the first such item."""
        pairs = self.alike.meanings.near(held).tolist() if self.alike.meanings else []
        self.reworded |= set(self.purge({record: item for item, record in reversed(pairs)}))

    def split(self, dev: list[int], test: list[int]) -> Split:
        return Split(np.flatnonzero(self.left), dev, test, self.purged, self.reworded)


def draw(
    store: Store, alike: Similarity, kept: NDArray[np.bool_], near: Indices, test_items: int, dev_items: int
) -> Split:
    """Draw a new benchmark from the ``kept`` records.

    Args:
        near: for each record the smallest index in its near-duplicate cluster.

    Raises:
        ProjectError: the groups are too large for the sizes asked for.
    """
    clusters = _sampled(store, kept, near)
    records = store.rows(clusters)
    units = {
        index: f"cluster {clusters[index]}" if record.group is None else f"group {record.group}"
        for index, record in records.items()
    }
    remainder = _Remainder(kept.copy(), alike)
    test, unused = _take(records, units, set(records), test_items, every_label=True)
    if len(test) < MIN_BENCHMARK_SHARE * test_items:
        largest = Counter(units.values()).most_common(1)[0][1]
        raise ProjectError(
            f"whole groups give only {len(test)} of {test_items} test items (the largest has {largest})",
            "curate.group_key",
            "use a finer group, or none",
        )
    remainder.hold(test)
    remainder.purge(unused)
    remainder.purge_near(test)
    remainder.purge_reworded(test)
    pool = {index for index in records if remainder.left[index]}
    dev, _ = _take(records, units, pool, dev_items, every_label=False)
    remainder.hold(dev)
    remainder.purge_equal(store.group, test + dev)
    remainder.purge_near(dev)
    remainder.purge_reworded(dev)
    return remainder.split(dev, test)


def keep_frozen(store: Store, alike: Similarity, kept: NDArray[np.bool_], frozen: Frozen) -> Split:
    """The split when the benchmark is already drawn: what is a frozen item, in its group, or near it, is purged."""
    index_of = dict(zip(store.id[kept].tolist(), np.flatnonzero(kept).tolist(), strict=True))
    test, dev = ([index_of[int(item.id, 16)] for item in part] for part in (frozen.test, frozen.dev))
    remainder, held = _Remainder(kept.copy(), alike), test + dev
    remainder.hold(held)
    remainder.purge_equal(store.raw, held)  # a held item before repair and redaction, whose settings have changed since
    remainder.purge_equal(store.group, held)
    remainder.purge_near(held)
    remainder.purge_reworded(held)
    return remainder.split(dev, test)


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


def leaks(shingles: Shingles, benchmark: Sequence[int], train: Iterable[int], threshold: float) -> int:
    """How many ``benchmark`` items have a near duplicate in ``train``: every pair is compared, none is missed."""
    pairs = _near(shingles, benchmark, threshold)
    inside = np.zeros(len(shingles), bool)
    inside[np.fromiter(train, np.int64)] = True
    return len(np.unique(pairs[inside[pairs[:, 1]], 0]))


def _near(shingles: Shingles, benchmark: Sequence[int], threshold: float) -> Pairs:
    """Pairs (place of an item, record): every one is compared, none is missed."""
    return neighbours(shingles, [shingles.of(item) for item in benchmark], threshold)


def _take(
    records: Mapping[int, Row], units: Mapping[int, str], pool: set[int], size: int, *, every_label: bool
) -> tuple[list[int], dict[int, int]]:
    """At most ``size`` records of ``pool`` in whole units, each label in its share of the pool.

    Labels are served from the rarest on, each from what is left, so the rounding of one is made up by the next.
    With ``every_label`` a label whose share rounds to nothing still gets one unit.  If there are more labels than whole
    units have room for, each unit gives a few records only; its others are returned too, each with one that was taken.
    """
    whole: dict[str, list[int]] = defaultdict(list)
    for index in sorted(pool):
        whole[units[index]].append(index)
    in_order = sorted(whole, key=lambda name: hashlib.sha256(name.encode()).digest())
    members = {name: whole[name] for name in in_order}
    strata = _strata(records, members)
    if every_label and (limit := _limit(members, strata, size)) is not None:
        every_label = limit > 0
        members = {
            name: sorted(indices, key=lambda index: records[index].id)[: max(1, limit)]  # ids are hashes
            for name, indices in members.items()
        }
    sizes = {label: sum(len(members[name]) for name in names) for label, names in strata.items()}
    taken: set[str] = set()
    budget, left = size, sum(sizes.values())
    for label in sorted(strata, key=lambda label: (sizes[label], label)):
        quota, got = budget * sizes[label] / left, 0
        for name in strata[label]:
            count = len(members[name])
            due = quota - got >= count / 2 or (every_label and not got and len(strata[label]) >= MIN_UNITS_OF_A_LABEL)
            if due and got + count <= budget:
                taken.add(name)
                got += count
        budget, left = budget - got, left - sizes[label]
    for name in members if budget else []:  # rounding left a little room
        if name not in taken and len(members[name]) <= budget:
            taken.add(name)
            budget -= len(members[name])
    unused = {index: members[name][0] for name in taken for index in whole[name] if index not in members[name]}
    return sorted(index for name in taken for index in members[name]), unused


def _limit(members: dict[str, list[int]], strata: dict[str, list[str]], size: int) -> int | None:
    """How many records a unit may give, so that one unit a label fills at most half of the benchmark.

    None if whole units are small enough; 0 if even one record for each label is too much.
    """
    firsts = [names[0] for names in strata.values() if len(names) >= MIN_UNITS_OF_A_LABEL]
    if sum(len(members[name]) for name in firsts) <= size:
        return None
    return size // (2 * len(firsts))


def _strata(records: Mapping[int, Row], members: dict[str, list[int]]) -> dict[str, list[str]]:
    """The units of each label (a unit's most frequent one); labels with few units share the stratum ``""``."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for name, indices in members.items():
        by_label[min(multimode(records[index].label or "" for index in indices))].append(name)
    strata: dict[str, list[str]] = defaultdict(list)
    for label, names in by_label.items():
        strata[label if len(names) >= MIN_UNITS_OF_A_LABEL else ""] += names
    return strata
