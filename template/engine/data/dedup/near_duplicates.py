"""Texts that say almost the same: MinHash proposes pairs, exact Jaccard similarity decides.

Two texts are near duplicates when the Jaccard similarity of their shingle sets reaches a threshold.  Candidates come
from 128 MinHash permutations in 32 bands of 4 rows; every candidate is verified, so the threshold holds exactly.  Equal
band keys are linked to the first and to the previous text with that key only: a cluster of n copies costs about 2n
comparisons, not n².  Memory holds one band of all texts, 8 bytes each, at a time.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.data.dedup.shingles import Hashes, Shingles, mix, ranges

PERMUTATIONS = 128
BANDS = 32
ROWS = PERMUTATIONS // BANDS
VECTOR_BLOCK = 512  # vectors compared with all others at a time
PAIR_CHUNK = 1_024  # candidate pairs verified at a time: each text may map 64 KiB of the file of shingles
BLOCK_HASHES = 8_000_000  # shingles compared with the queries at a time
CONTAINED = 0.8  # share of a benchmark item's shingles that are found in one text: the text contains the item
LONG_ENOUGH = 11  # shingles of an item (13 words); a shorter one is contained by chance
NEVER = 2.0  # a share that no text has
Pairs = NDArray[np.int64]
Bands = NDArray[np.uint64]  # shape (BANDS, texts)


def band_keys(hashes: Hashes, counts: NDArray[np.int64]) -> Bands:
    """The band keys of texts given by their shingles; shape (BANDS, texts)."""
    draw = np.random.default_rng(0x5EED)  # fixed: the same texts always give the same candidates
    factors = draw.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32) | np.uint32(1)
    offsets = draw.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)
    texts = len(counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    keys = np.zeros((BANDS, texts), np.uint64)
    step = max(1, 65_536 * texts // max(1, len(hashes)))  # texts whose hashes fit the cache
    for begin in range(0, texts, step):
        end = min(begin + step, texts)
        block = hashes[starts[begin] : starts[end]]
        places = starts[begin:end] - starts[begin]
        permuted, least = np.empty_like(block), np.empty((PERMUTATIONS, end - begin), np.uint32)
        for row in range(PERMUTATIONS):
            np.multiply(block, factors[row], out=permuted)
            np.add(permuted, offsets[row], out=permuted)
            np.minimum.reduceat(permuted, places, out=least[row])
        of_block = keys[:, begin:end]
        for row in range(ROWS):
            of_block[:] = mix(of_block ^ least[row::ROWS])
    return keys


def near_pairs(shingles: Shingles, bands: Iterable[NDArray[np.uint64]], rows: Pairs, threshold: float) -> Pairs:
    """Pairs (i, j), i < j, of the texts ``rows`` that are at least ``threshold`` similar, ascending; shape (n, 2).

    Args:
        bands: for each band the keys of all texts.
        rows: ascending indices of the texts to compare; the others are left out.
    """
    count = max(1, len(shingles))
    compared = np.zeros(0, np.int64)
    near = [np.zeros(0, np.int64)]
    for keys in bands:
        linked = _linked(keys if len(rows) == len(keys) else keys[rows], rows, count)
        fresh = np.setdiff1d(linked, compared, assume_unique=True)
        pairs = np.stack(np.divmod(fresh, count), axis=1)
        near.append(fresh[jaccard(shingles, pairs) >= threshold])
        compared = np.concatenate([compared, fresh])
    return np.stack(np.divmod(np.sort(np.concatenate(near)), count), axis=1)


def _linked(keys: NDArray[np.uint64], rows: Pairs, count: int) -> NDArray[np.int64]:
    """Texts with equal keys as `left * count + right`, distinct and ascending."""
    places = _shared(keys)
    order = places[np.argsort(keys[places], kind="stable")]
    sorted_keys = keys[order]
    same = np.flatnonzero(sorted_keys[1:] == sorted_keys[:-1]) + 1
    run_start = np.arange(len(order))
    run_start[same] = 0
    first = np.maximum.accumulate(run_start)[same]
    apart = first < same - 1  # the first of its run is not the previous one
    left, right = np.concatenate([same - 1, first[apart]]), np.concatenate([same, same[apart]])
    return np.sort(rows[order[left]] * count + rows[order[right]])


def _shared(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The places of keys that occur twice, and few others. Most keys are unique; sorting all places is far slower."""
    ascending = np.sort(keys)
    bits = len(keys).bit_length() + 2  # a table of four to eight entries a key: few keys share one by chance
    beyond = np.uint64(64 - bits)
    twice = np.zeros(1 << bits, bool)
    twice[ascending[1:][ascending[1:] == ascending[:-1]] >> beyond] = True
    return np.flatnonzero(twice[keys >> beyond])


def jaccard(shingles: Shingles, pairs: Pairs) -> NDArray[np.float64]:
    """Exact similarity of each pair of texts; ``pairs`` has shape (n, 2)."""
    parts = [np.zeros(0)]
    for begin in range(0, len(pairs), PAIR_CHUNK):
        parts.append(_jaccard(shingles, pairs[begin : begin + PAIR_CHUNK]))
        shingles.release()
    return np.concatenate(parts)


def _jaccard(shingles: Shingles, pairs: Pairs) -> NDArray[np.float64]:
    hashes, sizes = shingles.of_many(pairs.ravel())
    owner = np.repeat(np.repeat(np.arange(len(pairs), dtype=np.uint64), 2), sizes)
    keys = (owner << np.uint64(32)) | hashes
    keys.sort()
    # A hash in both texts occurs twice in a row, because each text has it once.
    both = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
    shared = np.bincount(both.astype(np.int64), minlength=len(pairs))
    similarity: NDArray[np.float64] = shared / (sizes.reshape(-1, 2).sum(axis=1) - shared)
    return similarity


def neighbours(
    shingles: Shingles,
    queries: Sequence[Hashes],
    threshold: float,
    contained: float = NEVER,
    fewest: int = LONG_ENOUGH,
) -> Pairs:
    """Every pair (query, text) at least ``threshold`` similar, none missed. This is exact; MinHash is not.

    Counts for each query how many of its shingles every text has, so it is meant for a benchmark's few hundred items.

    Args:
        queries: the shingle hashes of each query.
        contained: a text that has this share of a query's shingles counts too, however long it is,
        fewest: if the query has as many shingles.
    """
    # Only texts that share a shingle with a query matter. Comparing the first 24 bits leaves a few too many.
    prefixes = np.zeros(1 << 24, bool)
    prefixes[np.concatenate([np.zeros(0, np.uint32), *queries]) >> 8] = True
    blocks = [np.zeros((0, 2), np.int64)]
    begin = 0
    while begin < len(shingles):
        limit = shingles.starts[begin] + BLOCK_HASHES
        end = max(begin + 1, int(np.searchsorted(shingles.starts, limit, side="right")) - 1)
        hashes = np.asarray(shingles.hashes[shingles.starts[begin] : shingles.starts[end]])
        starts = shingles.starts[begin : end + 1] - shingles.starts[begin]
        places = np.flatnonzero(prefixes[hashes >> 8])
        owners = np.searchsorted(starts, places, side="right") - 1
        pairs = _block_neighbours(hashes[places], owners, np.diff(starts), queries, threshold, contained, fewest)
        blocks.append(pairs + np.array([0, begin]))
        shingles.release()
        begin = end
    pairs = np.concatenate(blocks)
    return pairs[np.argsort(pairs[:, 0], kind="stable")]


def _block_neighbours(
    hashes: Hashes,
    owners: NDArray[np.int64],
    sizes: NDArray[np.int64],
    queries: Sequence[Hashes],
    threshold: float,
    contained: float,
    fewest: int,
) -> Pairs:
    """The pairs (query, text) of one block, given by some hashes, the text of each, and the sizes of all texts."""
    order = np.argsort(hashes, kind="stable")
    owners = owners[order]
    vocabulary, first, counts = np.unique(hashes[order], return_index=True, return_counts=True)
    pairs = [np.zeros((0, 2), np.int64)]
    for number, query in enumerate(queries if len(vocabulary) else []):
        known = np.minimum(np.searchsorted(vocabulary, query), len(vocabulary) - 1)
        known = known[vocabulary[known] == query]
        shared = np.bincount(owners[ranges(first[known], counts[known])], minlength=len(sizes))
        near = shared / (len(query) + sizes - shared) >= threshold
        if len(query) >= fewest:
            near |= shared >= contained * len(query)
        texts = np.flatnonzero(near)
        pairs.append(np.stack([np.full(len(texts), number), texts], axis=1))
    return np.concatenate(pairs)


def semantic_pairs(vectors: NDArray[np.float32], threshold: float) -> Pairs:
    """Pairs (i, j), i < j, of unit vectors whose cosine is at least ``threshold``, none missed; shape (n, 2)."""
    blocks = [np.zeros((0, 2), np.int64)]
    for begin in range(0, len(vectors), VECTOR_BLOCK):
        alike = vectors[begin : begin + VECTOR_BLOCK] @ vectors[begin:].T >= threshold
        left, right = np.nonzero(np.triu(alike, 1))
        blocks.append(np.stack([left, right], axis=1) + begin)
    return np.concatenate(blocks)


def clusters(size: int, pairs: Pairs) -> NDArray[np.int64]:
    """Connected components: for each of ``size`` items the smallest index it is linked to, directly or not."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    _, component = connected_components(links, directed=False)
    smallest = np.full(size, size, np.int64)
    np.minimum.at(smallest, component, np.arange(size))
    return np.asarray(smallest[component], np.int64)
