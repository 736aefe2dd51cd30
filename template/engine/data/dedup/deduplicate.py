"""Drop what says the same thing twice: equal records, contradictions, near duplicates with the same answer; find
sentences that many answers share."""

from collections.abc import Collection, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.data.check.pii import hidden
from engine.data.dedup.comparison import Compared, Keys, Similarity, sentences_of
from engine.data.dedup.near_duplicates import Pairs, clusters, near_pairs
from engine.data.normalise.records import Record
from engine.data.record_store import Store
from engine.settings.curate import CurateSettings

# Who stays when two records say the same: a frozen benchmark item before all, then the newest feedback, then the first.
FIXED, FEEDBACK, RAW = 0, 1, 2
KEPT, EXACT, CONFLICT, SUPERSEDED, NEAR, LEAK, CONTAMINATED, BOILERPLATE, LIMIT, SEMANTIC = range(10)
CODES = ["", "exact_duplicate", "conflicting_label", "superseded", "near_duplicate", "benchmark_leak", "contaminated"]
CODES += ["boilerplate", "label_limit", "semantic_duplicate"]
_FEWEST_ANSWERS = 10  # different ones that share a sentence; fewer may be chance
_QUOTED = 80  # characters of a sentence


class Fates:
    """What becomes of each record.

    Attributes:
        priority: `FIXED`, `FEEDBACK` or `RAW`.
        reason: a place in `CODES`; 0 is kept.
        by: the index of the record that makes it superfluous, or -1.
        details: what to say of some that are left out, instead of the usual.
    """

    def __init__(self, priority: NDArray[np.uint8]) -> None:
        self.priority = priority
        self.reason = np.zeros(len(priority), np.uint8)
        self.by = np.full(len(priority), -1, np.int64)
        self.details: dict[int, str] = {}

    def drop(self, index: int, reason: int, by: int = -1, detail: str | None = None) -> None:
        self.reason[index], self.by[index] = reason, by
        if detail:
            self.details[index] = detail

    def kept(self) -> NDArray[np.int64]:
        """The records that are not left out."""
        return np.flatnonzero(self.reason == KEPT)

    def ranks(self) -> NDArray[np.int64]:
        """The order of precedence: the smallest stays. Of feedback the last counts, of everything else the first."""
        count = len(self.priority)
        place = np.arange(count)
        place[self.priority == FEEDBACK] = place[self.priority == FEEDBACK][::-1]
        return self.priority.astype(np.int64) * count + place


def priorities(store: Store, feedback: Collection[str], held: Sequence[Record]) -> NDArray[np.uint8]:
    """`FIXED`, `FEEDBACK` or `RAW` for each record, by the files of feedback and the frozen items."""
    of_source = np.array([FEEDBACK if name in feedback else RAW for name in store.sources], np.uint8)
    found = of_source[store.source]
    found[np.isin(store.id, np.array([int(item.id, 16) for item in held], np.uint64))] = FIXED
    return found


class Boilerplate(Struct):
    """Sentences that many different answers open or close with.

    Attributes:
        sentences: each of them in words, with how many different answers share it.
        place: for each record the place of its sentence among them, or -1.
    """

    sentences: list[tuple[str, int]]
    place: NDArray[np.int32]

    def drop(self, fates: Fates) -> None:
        """Leave out the records that say one of the sentences. A frozen item stays."""
        for index in np.flatnonzero((self.place >= 0) & (fates.priority != FIXED)).tolist():
            fates.drop(index, BOILERPLATE, detail=f"the answer {self.sentences[self.place[index]][0]}")


class Deduplicated(Struct):
    """Which records are near each other.

    Attributes:
        clusters: for each record the smallest index in its cluster of near duplicates.
        random_leak: share of test items with a near duplicate in train, had single lines been drawn at random.
    """

    clusters: NDArray[np.int64]
    random_leak: float


def boilerplate(store: Store, compared: Compared, settings: CurateSettings) -> Boilerplate:
    """Find the sentences. Equal answers count once, so a class label that many records share is not boilerplate."""
    _, first = np.unique(compared.keys["answer"], return_index=True)
    sentences = compared.sentences()
    shared: list[tuple[str, int]] = []
    place = np.full(len(store), -1, np.int32)
    for side, verb in enumerate(("opens", "closes")):
        hashes, counts = np.unique(sentences[side][first], return_counts=True)
        many = (counts >= max(_FEWEST_ANSWERS, settings.boilerplate_share * len(first))) & (hashes != 0)
        for value, count in zip(hashes[many], counts[many].tolist(), strict=True):
            holders = sentences[side] == value
            (record,) = store.records([int(holders.argmax())])
            place[holders] = len(shared)
            sentence = hidden(sentences_of(record)[side], _QUOTED, settings.pii_engine)
            shared.append((f"{verb} with {sentence!r}", count))
    return Boilerplate(shared, place)


def deduplicate(store: Store, compared: Compared, alike: Similarity, fates: Fates, test_items: int) -> Deduplicated:
    """Decide which records stay.

    A near duplicate is dropped only if its answer is the same: "turn on the light" and "turn off the light" are near.
    """
    _equal_prompts(compared.keys, fates)
    unique = fates.kept()
    pairs = near_pairs(compared.shingles, compared.bands(), unique, alike.threshold)
    leak = _random_split_leak(store, unique, pairs, test_items)
    _near_with_same_answer(compared.keys, pairs, fates, NEAR)
    if alike.meanings:
        reworded = alike.meanings.compare(fates.kept())
        _near_with_same_answer(compared.keys, reworded, fates, SEMANTIC)
        pairs = np.concatenate([pairs, reworded])
    kept = fates.reason == KEPT
    return Deduplicated(clusters(len(store), pairs[kept[pairs].all(axis=1)]), leak)


def _equal_prompts(keys: Keys, fates: Fates) -> None:
    """The same prompt again is a duplicate or, with another answer, a contradiction."""
    order = np.lexsort((fates.ranks(), keys["prompt_low"], keys["prompt_high"]))
    order = order[fates.reason[order] == KEPT]
    high, low = keys["prompt_high"][order], keys["prompt_low"][order]
    again = np.zeros(len(order), bool)
    again[1:] = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    later, kept = order[again], order[first[again]]
    same = keys["answer"][later] == keys["answer"][kept]
    corrected = ~same & (fates.priority[kept] == FEEDBACK)
    fates.reason[later] = np.where(same, EXACT, np.where(corrected, SUPERSEDED, CONFLICT))
    fates.by[later] = kept


def _near_with_same_answer(keys: Keys, pairs: Pairs, fates: Fates, reason: int) -> None:
    rank = fates.ranks()
    swapped = rank[pairs[:, :1]] > rank[pairs[:, 1:]]
    left, right = np.where(swapped, pairs[:, ::-1], pairs).T
    same = (keys["answer"][left] == keys["answer"][right]) & (keys["system"][left] == keys["system"][right])
    same &= fates.priority[right] != FIXED
    left, right = left[same], right[same]
    order = np.lexsort((rank[right], rank[left]))
    for kept, other in zip(left[order].tolist(), right[order].tolist(), strict=True):
        if fates.reason[kept] == KEPT and fates.reason[other] == KEPT:
            fates.drop(other, reason, kept)


def _random_split_leak(store: Store, unique: NDArray[np.int64], pairs: Pairs, test_items: int) -> float:
    ids = store.id[unique]
    size = min(test_items, len(unique))
    test = unique[np.argpartition(ids, size - 1)[:size]] if size else unique  # ids are hashes: a fair, fixed draw
    is_test = np.zeros(len(store), bool)
    is_test[test] = True
    crossing = pairs[is_test[pairs[:, 0]] != is_test[pairs[:, 1]]]
    return len(np.unique(crossing[is_test[crossing]])) / max(1, len(test))
