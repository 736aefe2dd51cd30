"""Which prompts mean the same in other words, by an embedding model: duplicates, and neighbours of benchmark items."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import ProjectError
from engine.data.dedup.near_duplicates import VECTOR_BLOCK, Pairs, semantic_pairs
from engine.data.record_store import Store

_MOST_EMBEDDED = 200_000  # records; every two of them are compared


class Meanings:
    """The vectors of a store's prompts. A prompt that is too long for the model has none, and so is like no other."""

    def __init__(self, store: Store, package: str, threshold: float) -> None:
        from engine.inference.embedder import Embedder  # loading it takes seconds

        self.store, self.threshold = store, threshold
        self.embedder = Embedder(package)
        self.rows = np.zeros(0, np.int64)  # of the records that have a vector
        self.vectors = np.zeros((0, 1), np.float32)

    def compare(self, rows: NDArray[np.int64]) -> Pairs:
        """Embed these records. Returns the pairs of them that ask the same."""
        if len(rows) > _MOST_EMBEDDED:
            what = f"{len(rows)} records are too many for a semantic comparison of all pairs"
            raise ProjectError(what, "curate.semantic_threshold", f"set it to null; {_MOST_EMBEDDED} are the most")
        places, self.vectors = self._embedded([record.prompt for record in self.store.records(rows.tolist())])
        self.rows = rows[places]
        print(f"curate: embedded {len(self.rows)} of {len(rows)} prompts; the others are too long", flush=True)
        pairs: Pairs = self.rows[semantic_pairs(self.vectors, self.threshold)]
        return pairs

    def near(self, held: Sequence[int]) -> Pairs:
        """Pairs (held record, record) that ask the same."""
        places = np.flatnonzero(np.isin(self.rows, held))
        pairs = self._neighbours(self.vectors[places])
        return np.stack([self.rows[places[pairs[:, 0]]], pairs[:, 1]], axis=1)

    def asked(self, prompts: Sequence[str]) -> Pairs:
        """Pairs (place of a prompt, record) that ask the same."""
        places, vectors = self._embedded(prompts)
        pairs = self._neighbours(vectors)
        return np.stack([places[pairs[:, 0]], pairs[:, 1]], axis=1)

    def _embedded(self, prompts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The places of the prompts that the model reads whole, and their vectors."""
        places = np.flatnonzero(self.embedder.fits(prompts))
        if not len(places):
            return places, self.vectors[:0]
        return places, self.embedder.embed([prompts[place] for place in places.tolist()])

    def _neighbours(self, queries: NDArray[np.float32]) -> Pairs:
        """Pairs (place of a query, record)."""
        blocks = [np.zeros((0, 2), np.int64)]
        for begin in range(0, len(queries) if len(self.rows) else 0, VECTOR_BLOCK):
            alike = queries[begin : begin + VECTOR_BLOCK] @ self.vectors.T >= self.threshold
            places, others = np.nonzero(alike)
            blocks.append(np.stack([places + begin, self.rows[others]], axis=1))
        return np.concatenate(blocks)
