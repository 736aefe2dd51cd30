"""Fuse rankings and score them. Pure functions."""

import math
from collections.abc import Sequence

FUSION_CONSTANT = 60  # Cormack, Clarke & Buettcher 2009; larger flattens the difference between ranks


def fuse(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Reciprocal-rank fusion: sort by sum over rankings of 1 / (60 + rank), ranks from 1.

    Cormack, Clarke & Buettcher 2009, SIGIR, doi:10.1145/1571941.1572114.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, place in enumerate(ranking, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (FUSION_CONSTANT + rank)
    return sorted(scores, key=lambda place: (-scores[place], place))


def recall_at(ranked: Sequence[int], relevant: set[int], k: int) -> float:
    """1 if a relevant passage is among the first ``k``: one is enough to answer from."""
    return float(not relevant.isdisjoint(ranked[:k]))


def reciprocal_rank(ranked: Sequence[int], relevant: set[int]) -> float:
    """1 / rank of the first relevant passage; 0 if none was found."""
    return next((1 / rank for rank, place in enumerate(ranked, 1) if place in relevant), 0.0)


def ndcg_at(ranked: Sequence[int], relevant: set[int], k: int) -> float:
    """Discounted gain of the first ``k``, over the best possible (Järvelin & Kekäläinen 2002), binary relevance."""
    gain = sum(1 / math.log2(rank + 1) for rank, place in enumerate(ranked[:k], 1) if place in relevant)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return gain / best if best else 0.0
