"""How far a cost can be off: seeded Monte Carlo over bands, and the swing that each single band causes.

Pure (the generator imports this same file as ``tunesmith.costing.monte_carlo``). A band is drawn from the triangular
distribution over (low, typical, high), the usual choice where nothing but these three is known.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from .cost_arithmetic import Band

DRAWS = 1000
SEED = 20260101  # fixed, so that the same prices give the same interval


class Swing(NamedTuple):
    """A cost with one figure at its low and at its high end, all others typical."""

    name: str
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """How much this figure alone can change the cost."""
        return abs(self.at_high - self.at_low)


def draws(figures: Mapping[str, Band], count: int = DRAWS, seed: int = SEED) -> list[dict[str, float]]:
    """``count`` cases, each with one value for every figure; the same for the same figures and seed.

    Each figure has a stream of its own, so that adding one does not change the others.
    """
    columns = {name: _column(band, f"{seed}:{name}", count) for name, band in figures.items()}
    return [{name: column[index] for name, column in columns.items()} for index in range(count)]


@lru_cache(maxsize=256)  # the routes share most figures
def _column(band: Band, seed: str, count: int) -> tuple[float, ...]:
    if band.low == band.high:
        return (band.typical,) * count
    stream = random.Random(seed)
    return tuple(stream.triangular(band.low, band.high, band.typical) for _ in range(count))


def typical(figures: Mapping[str, Band]) -> dict[str, float]:
    """The case in which every figure is typical."""
    return {name: band.typical for name, band in figures.items()}


def interval(values: Sequence[float]) -> Band:
    """5th, 50th and 95th percentile. A bound is infinite if that share of the values is."""
    ranked = sorted(values)
    return Band(*(ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in (0.05, 0.5, 0.95)))


def tornado(cost: Callable[[Mapping[str, float]], float], figures: Mapping[str, Band]) -> list[Swing]:
    """What each uncertain figure does to a cost on its own, the widest swing first."""
    middle = typical(figures)
    swings = [
        Swing(name, cost({**middle, name: band.low}), cost({**middle, name: band.high}))
        for name, band in figures.items()
        if band.low != band.high
    ]
    return sorted((swing for swing in swings if swing.width > 0), key=lambda swing: (-swing.width, swing.name))
