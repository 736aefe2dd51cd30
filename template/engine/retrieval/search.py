"""Find the passages for a question: by words (BM25), by meaning (embeddings), or by both ranks fused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.artifacts import INDEX
from engine.core.io import read_jsonl, write_jsonl
from engine.inference.embedder import Embedder
from engine.inference.prompting import Passage
from engine.retrieval.ranking import fuse
from engine.retrieval.store import STORES, Store
from engine.settings.retrieval import RetrievalSettings

DEPTH = 50  # candidates that each ranking brings to the fusion


class Search:
    """Passages and the means to rank them. The BM25 index takes moments to build and is not stored."""

    def __init__(
        self, passages: Sequence[Passage], vectors: NDArray[Any], embedder: Embedder, store: str = "memory"
    ) -> None:
        import bm25s

        self.passages, self.vectors, self.embedder = passages, vectors, embedder
        self.store: Store = STORES[store](vectors)
        self.lexical = bm25s.BM25()
        self.lexical.index(_words([passage["text"] for passage in passages]), show_progress=False)

    @classmethod
    def build(cls, passages: Sequence[Passage], embedder: Embedder) -> "Search":
        """Embed the passages."""
        return cls(passages, embedder.embed([passage["text"] for passage in passages]).astype(np.float16), embedder)

    @classmethod
    def load(cls, settings: RetrievalSettings, embedder: str, folder: Path = INDEX) -> "Search":
        """What `save` wrote."""
        vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        passages: list[Any] = read_jsonl(folder / "passages.jsonl")
        return cls(passages, vectors, Embedder(embedder), settings.store)

    def save(self, folder: Path = INDEX) -> None:
        """Passages, and their vectors as half floats: cosines stay equal to three digits."""
        write_jsonl(folder / "passages.jsonl", self.passages)
        np.save(folder / "vectors.npy", self.vectors.astype(np.float16), allow_pickle=False)

    def rank(self, questions: Sequence[str], ranking: str, depth: int = DEPTH) -> list[list[int]]:
        """For each question the places of the best passages, the best first."""
        depth = min(depth, len(self.passages))
        if ranking == "bm25":
            return self._by_words(questions, depth)
        if ranking == "dense":
            return self._by_meaning(questions, depth)
        both = zip(self._by_words(questions, depth), self._by_meaning(questions, depth), strict=True)
        return [fuse(pair)[:depth] for pair in both]

    def find(self, questions: Sequence[str], settings: RetrievalSettings) -> list[list[Passage]]:
        """The passages that go into each question's prompt."""
        ranked = self.rank(questions, settings.ranking)
        return [[self.passages[place] for place in places[: settings.passages]] for places in ranked]

    def _by_words(self, questions: Sequence[str], depth: int) -> list[list[int]]:
        places, scores = self.lexical.retrieve(_words(questions), k=depth, show_progress=False)
        return [
            [int(place) for place, score in zip(row, given, strict=True) if score > 0]
            for row, given in zip(places, scores, strict=True)
        ]

    def _by_meaning(self, questions: Sequence[str], depth: int) -> list[list[int]]:
        return self.store.nearest(self.embedder.embed(questions), depth)


def _words(texts: Sequence[str]) -> Any:
    import bm25s

    # No stop words and no stemmer: both belong to one language. Names keep their hyphens and dots.
    return bm25s.tokenize(
        list(texts), stopwords=None, token_pattern=r"(?u)\w+(?:[-.]\w+)*", show_progress=False, return_ids=False
    )
