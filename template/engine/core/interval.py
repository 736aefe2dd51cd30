"""Estimates as JSON keeps them: a mean with its interval, an amount with its bounds."""

from engine.core.io import Result


class Interval(Result, frozen=True):
    """An estimate and the interval around it, in the unit of the score."""

    mean: float
    low: float
    high: float

    def rounded(self, digits: int = 6) -> "Interval":
        """To so many digits: further ones would differ between processors and mean nothing."""
        return Interval(*(round(float(value), digits) for value in (self.mean, self.low, self.high)))


class Range(Result, frozen=True):
    """An amount that is not known exactly; None: a bound that is not reached."""

    low: float | None
    typical: float | None
    high: float | None
