"""What answering and training cost. Pure arithmetic on bands, because a price is never one number.

Formulas: a rented machine costs seconds x price / 3600, of which the share ``utilisation`` is spent on requests; a
hosted model costs tokens x price / 1,000,000; training pays for itself after (cost of training) / (saving a request).
"""

import math
from typing import NamedTuple


class Band(NamedTuple):
    """A quantity that is not known exactly: 0 <= low <= typical <= high, unless it is a difference."""

    low: float
    typical: float
    high: float

    def times(self, factor: "float | Band") -> "Band":
        """Product with a number or with an independent band, neither negative."""
        other = factor if isinstance(factor, Band) else Band(factor, factor, factor)
        return Band(*(a * b for a, b in zip(self, other, strict=True)))

    def minus(self, other: "Band") -> "Band":
        """Difference of independent bands (interval arithmetic): the extremes meet crosswise."""
        return Band(self.low - other.high, self.typical - other.typical, self.high - other.low)


def measured(value: float, relative_error: float) -> Band:
    """A measurement with the error that repeating it would show."""
    return Band(value * (1 - relative_error), value, value * (1 + relative_error))


def usd_per_1000_requests(seconds_per_request: Band, usd_per_hour: Band, utilisation: float) -> Band:
    """Dollars for 1,000 requests on a machine that is rented by the hour and busy for ``utilisation`` of it.

    Raises:
        ValueError: utilisation is not above 0 and at most 1.
    """
    return hours_per_request(seconds_per_request, utilisation).times(usd_per_hour).times(1000)


def hours_per_request(seconds_per_request: Band, utilisation: float) -> Band:
    """Rented hours that one request takes, the idle time it has to pay for included."""
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation must be above 0 and at most 1, not {utilisation}")
    return seconds_per_request.times(1 / 3600 / utilisation)


def hosted_usd_per_1000_requests(
    prompt_tokens: float, completion_tokens: float, usd_per_million_input: Band, usd_per_million_output: Band
) -> Band:
    """Dollars for 1,000 requests to a hosted model that charges by the token. Tokens are those of one request."""
    bands = zip(usd_per_million_input, usd_per_million_output, strict=True)
    return Band(*((prompt_tokens * i + completion_tokens * o) / 1000 for i, o in bands))


def training_usd(seconds: Band, usd_per_hour: Band) -> Band:
    """Dollars for a training run that has the machine to itself."""
    return seconds.times(1 / 3600).times(usd_per_hour)


def monthly_usd(usd_per_1000: Band, requests_per_month: int) -> Band:
    """Dollars a month at a volume."""
    return usd_per_1000.times(requests_per_month / 1000)


def break_even_requests(fixed: Band, saving_per_request: Band) -> Band | None:
    """Requests after which ``fixed`` is earned back, as an interval; None if it never is.

    Both in one unit: dollars, or hours of the same machine (its price then cancels). A bound is infinite where the
    saving there is not above zero, so ``high`` infinite reads "perhaps never".
    """
    if saving_per_request.high <= 0:
        return None
    low = fixed.low / saving_per_request.high
    typical = fixed.typical / saving_per_request.typical if saving_per_request.typical > 0 else math.inf
    high = fixed.high / saving_per_request.low if saving_per_request.low > 0 else math.inf
    return Band(low, typical, high)
