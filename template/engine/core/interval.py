"""A mean with its interval."""

from typing import NamedTuple


class Interval(NamedTuple):
    """An estimate and the interval around it, in the unit of the score."""

    mean: float
    low: float
    high: float
