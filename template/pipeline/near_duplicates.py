"""Texts that say almost the same: MinHash proposes pairs, exact Jaccard similarity decides.

Two texts are near duplicates when the Jaccard similarity of their shingle sets (all runs of four characters of short
texts, of three words of longer ones) reaches a threshold.  Candidates come from 128 MinHash permutations in 32 bands
of 4 rows; every candidate is verified, so the threshold holds exactly.  Equal band keys are linked to the first and to
the previous text with that key only: a cluster of n copies costs about 2n comparisons, not n².
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
BANDS = 32
ROWS = PERMUTATIONS // BANDS
CHARACTERS = 4  # in a shingle of short texts
WORDS = 3  # in a shingle of longer texts
SHORT_TEXT_WORDS = 15  # median below this: word shingles would be too few to compare
CHUNK_ELEMENTS = 100_000  # characters or words hashed at a time: few enough to stay in the processor's cache
PAIR_CHUNK = 200_000  # candidate pairs verified at a time

Hashes = NDArray[np.uint32]
Pairs = NDArray[np.int64]

_BASE = 0x5851F42D4C957F2D  # odd, so that it has an inverse
_INVERSE = pow(_BASE, -1, 2**64)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def normalise(text: str) -> str:
    """Text as it is compared: without case, each run of white space as one blank."""
    return " ".join(text.casefold().split())


class Shingles:
    """The shingle sets of many texts, as sorted hashes laid end to end.

    Attributes:
        hashes: every text's distinct shingle hashes, ascending within the text.
        starts: where each text's hashes begin; one more entry than there are texts.
        unit: ``char4`` or ``word3``.
    """

    def __init__(self, hashes: Hashes, starts: NDArray[np.int64], unit: str) -> None:
        self.hashes, self.starts, self.unit = hashes, starts, unit

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> "Shingles":
        """Cut texts, as `normalise` gives them, into shingles: characters if most texts are short, else words."""
        words = [text.count(" ") + 1 for text in texts]
        short = float(np.median(words or [0])) < SHORT_TEXT_WORDS
        parts, counts = [np.zeros(0, np.uint32)], [np.zeros(1, np.int64)]
        for chunk in _chunks(texts, [len(text) for text in texts] if short else words):
            elements, lengths = _characters(chunk) if short else _words(chunk)
            size = CHARACTERS if short else WORDS
            hashes, distinct = _distinct(_ngrams(elements, lengths, size), lengths - size + 1)
            parts.append(hashes)
            counts.append(distinct)
        return cls(np.concatenate(parts), np.cumsum(np.concatenate(counts)), "char4" if short else "word3")

    def select(self, indices: Sequence[int]) -> "Shingles":
        """The shingles of some of the texts, in the order of ``indices``."""
        chosen = np.asarray(indices, np.int64)
        sizes = np.diff(self.starts)[chosen]
        hashes = self.hashes[_ranges(self.starts[chosen], sizes)]
        return Shingles(hashes, np.concatenate([[0], np.cumsum(sizes)]), self.unit)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, index: int) -> Hashes:
        """The sorted shingle hashes of one text."""
        return self.hashes[self.starts[index] : self.starts[index + 1]]

    def jaccard(self, pairs: Pairs) -> NDArray[np.float64]:
        """Exact similarity of each pair of texts; ``pairs`` has shape (n, 2)."""
        parts = [np.zeros(0)]
        for begin in range(0, len(pairs), PAIR_CHUNK):
            parts.append(self._jaccard(pairs[begin : begin + PAIR_CHUNK]))
        return np.concatenate(parts)

    def _jaccard(self, pairs: Pairs) -> NDArray[np.float64]:
        sizes = np.diff(self.starts)[pairs]
        flat = pairs.ravel()
        owner = np.repeat(np.repeat(np.arange(len(pairs), dtype=np.uint64), 2), sizes.ravel())
        keys = (owner << np.uint64(32)) | self.hashes[_ranges(self.starts[flat], sizes.ravel())]
        keys.sort()
        # A hash that both texts have stands twice in a row, since each text has it once.
        both = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
        shared = np.bincount(both.astype(np.int64), minlength=len(pairs))
        similarity: NDArray[np.float64] = shared / (sizes.sum(axis=1) - shared)
        return similarity


def near_pairs(shingles: Shingles, threshold: float) -> Pairs:
    """Pairs (i, j), i < j, of texts at least ``threshold`` similar, in ascending order; shape (n, 2)."""
    candidates = _candidates(_minhash(shingles))
    return candidates[shingles.jaccard(candidates) >= threshold]


def neighbours(shingles: Shingles, queries: Sequence[int], threshold: float) -> Pairs:
    """Every pair (query, other) at least ``threshold`` similar, none missed: exact, where MinHash is not.

    Counts for each query how many of its shingles every text has, so it is meant for a benchmark's few hundred items.
    """
    # Only texts that share a shingle with a query matter. Comparing the first 24 bits leaves a few too many.
    wanted = np.zeros(1 << 24, bool)
    wanted[shingles.select(queries).hashes >> 8] = True
    places = np.flatnonzero(wanted[shingles.hashes >> 8])
    order = places[np.argsort(shingles.hashes[places], kind="stable")]
    vocabulary, first, counts = np.unique(shingles.hashes[order], return_index=True, return_counts=True)
    owners = np.searchsorted(shingles.starts, order, side="right") - 1

    sizes = np.diff(shingles.starts)
    found = [np.zeros((0, 2), np.int64)]
    for query in queries:
        known = np.searchsorted(vocabulary, shingles.of(query))
        shared = np.bincount(owners[_ranges(first[known], counts[known])], minlength=len(shingles))
        others = np.flatnonzero(shared / (len(known) + sizes - shared) >= threshold)
        others = others[others != query]
        found.append(np.stack([np.full(len(others), query), others], axis=1))
    return np.concatenate(found)


def clusters(size: int, pairs: Pairs) -> NDArray[np.int64]:
    """Connected components: for each of ``size`` items the smallest index it is linked to, directly or not."""
    parent = list(range(size))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for left, right in pairs.tolist():
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    return np.array([root(item) for item in range(size)], dtype=np.int64)


def _chunks(texts: Sequence[str], sizes: Sequence[int]) -> Iterator[Sequence[str]]:
    """Runs of texts of about `CHUNK_ELEMENTS` elements, so that memory does not grow with the data."""
    begin, held = 0, 0
    for index, size in enumerate(sizes):
        held += size
        if held >= CHUNK_ELEMENTS:
            yield texts[begin : index + 1]
            begin, held = index + 1, 0
    if begin < len(texts):
        yield texts[begin:]


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _characters(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Code points of all texts end to end, and each text's length; short texts are padded to one shingle."""
    padded = [text.ljust(CHARACTERS) for text in texts]
    return _code_points("".join(padded)).astype(np.uint64), np.array([len(text) for text in padded])


def _words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """One hash for each word of all texts end to end, and each text's word count; short texts are padded.

    A word's hash is the polynomial of its bytes modulo 2^64. With running sums of `byte[i] * BASE^i` over the whole
    chunk it is one difference, shifted back to the word's start by the inverse of the base.
    """
    padded = [text + " -" * max(0, WORDS - 1 - text.count(" ")) for text in texts]
    data = np.frombuffer((" ".join(padded) + " ").encode(), np.uint8)
    ends = np.flatnonzero(data == 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sums = np.cumsum(data * _powers(_BASE, len(data)))
    before = np.concatenate([[np.uint64(0)], sums[ends[:-1]]])
    elements = (sums[ends] - before) * _powers(_INVERSE, len(data))[starts]
    return elements, np.array([text.count(" ") + 1 for text in padded])


@cache
def _all_powers(base: int, count: int) -> NDArray[np.uint64]:
    return np.cumprod(np.concatenate([[np.uint64(1)], np.full(count - 1, base, np.uint64)]))


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """``base`` to the power of 0, 1, ... ``count`` - 1, modulo 2^64."""
    return _all_powers(base, 1 << max(count - 1, 1).bit_length())[:count]


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every input bit over the whole word (splitmix64's finaliser)."""
    values = values * _MULTIPLIER
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _ngrams(elements: NDArray[np.uint64], lengths: NDArray[np.int64], size: int) -> Hashes:
    """One hash for every run of ``size`` elements that lies within one text."""
    mixed = _mix(elements)
    last = len(elements) - size + 1
    total = mixed[:last].copy()
    for offset in range(1, size):
        total = total * _MULTIPLIER + mixed[offset : offset + last]
    ends = np.cumsum(lengths)
    inside = np.ones(len(elements), bool)
    for offset in range(1, size):
        inside[ends - offset] = False
    return (_mix(total[inside[:last]]) >> np.uint64(32)).astype(np.uint32)


def _distinct(hashes: Hashes, lengths: NDArray[np.int64]) -> tuple[Hashes, NDArray[np.int64]]:
    """Each text's hashes sorted and without repeats, and how many are left of its ``lengths``."""
    owner = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    keys = (owner << np.uint64(32)) | hashes
    keys.sort()
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(lengths))
    return keys.astype(np.uint32), counts


def _ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices ``start .. start + size`` of every range, end to end."""
    before = np.cumsum(sizes) - sizes
    indices: NDArray[np.int64] = np.arange(sizes.sum()) + np.repeat(starts - before, sizes)
    return indices


def _minhash(shingles: Shingles) -> NDArray[np.uint32]:
    """Signatures, shape (permutations, texts)."""
    draw = np.random.default_rng(0x5EED)  # fixed: the same texts always give the same candidates
    factors = draw.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32) | np.uint32(1)
    offsets = draw.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)
    signatures = np.empty((PERMUTATIONS, len(shingles)), np.uint32)
    step = max(1, 65_536 * len(shingles) // max(1, len(shingles.hashes)))  # texts whose hashes fit the cache
    for begin in range(0, len(shingles), step):
        end = min(begin + step, len(shingles))
        block = shingles.hashes[shingles.starts[begin] : shingles.starts[end]]
        starts = shingles.starts[begin:end] - shingles.starts[begin]
        for row in range(PERMUTATIONS):
            signatures[row, begin:end] = np.minimum.reduceat(block * factors[row] + offsets[row], starts)
    return signatures


def _candidates(signatures: NDArray[np.uint32]) -> Pairs:
    """Pairs with equal signatures in at least one band, sorted; shape (n, 2)."""
    count = signatures.shape[1]
    links = [np.zeros(0, np.int64)]
    for band in range(BANDS):
        key = np.zeros(count, np.uint64)
        for row in signatures[band * ROWS : (band + 1) * ROWS]:
            key = _mix(key ^ row)
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1]) + 1
        run_start = np.arange(count)
        run_start[same] = 0
        first = np.maximum.accumulate(run_start)[same]
        for left in (order[same - 1], order[first]):
            links.append(left * count + order[same])
    flat = np.unique(np.concatenate(links))
    return np.stack([flat // max(count, 1), flat % max(count, 1)], axis=1)
