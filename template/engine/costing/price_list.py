"""Reads the price list: every figure as a band with its source and date. No file access, so that the planner and the
cost stage read it alike (the generator imports this same file as ``tunesmith.costing.price_list``).
"""

import datetime
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .cost_arithmetic import Band

OLD_PRICE_DAYS = 90


class PriceError(ValueError):
    """A price that cannot be read: ``what`` is wrong, ``where`` in the list, and how to ``fix`` it."""

    def __init__(self, what: str, where: str, fix: str) -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.fix}"


class Figure(NamedTuple):
    """An amount with where and when it was read; ``amount`` is None if no price is known, ``date`` is ISO."""

    title: str
    amount: Band | None
    source: str
    date: str

    def age_days(self, today: datetime.date) -> int | None:
        """Days since it was read; None if it has no date."""
        try:
            return (today - datetime.date.fromisoformat(self.date)).days
        except ValueError:
            return None

    def old(self, today: datetime.date) -> bool:
        """Whether it should be checked before anybody relies on it: undated, or older than 90 days."""
        age = self.age_days(today)
        return age is None or age > OLD_PRICE_DAYS


def band(value: Any, where: str) -> Band | None:
    """``{low, typical, high}`` or one number as a band; null means that no price is known.

    Raises:
        PriceError: it is neither, or out of order.
    """
    if value is None:
        return None
    try:
        read = (
            Band(*(float(value[name]) for name in Band._fields))
            if isinstance(value, Mapping)
            else Band(*[float(value)] * 3)
        )
    except (KeyError, TypeError, ValueError):
        raise PriceError(f"not a price: {value!r}", where, "write {low: 0.1, typical: 0.2, high: 0.3}") from None
    if not 0 <= read.low <= read.typical <= read.high < math.inf:
        raise PriceError(f"not low <= typical <= high: {value!r}", where, "put the three prices in order")
    return read


def figure(row: Mapping[str, Any], name: str, where: str) -> Figure:
    """One amount of a row: ``row[name]``, or the spread of ``row["offers"]`` if the row lists providers' prices."""
    title = str(row.get("title", where.rpartition(".")[2]))
    if name not in row and row.get("offers"):
        return spread(row["offers"], name, f"{where}.offers", title)
    return Figure(title, band(row.get(name), f"{where}.{name}"), str(row.get("source", "")), _date(row))


def single(row: Mapping[str, Any], where: str) -> Figure:
    """A row that is itself {low, typical, high, source, date}."""
    return Figure(where.rpartition(".")[2], band(row, where), str(row.get("source", "")), _date(row))


def spread(offers: Sequence[Mapping[str, Any]], name: str, where: str, title: str) -> Figure:
    """What several providers ask, as a band: the cheapest, the middle one (whose date counts), the dearest."""
    try:
        ranked = sorted(offers, key=lambda offer: float(offer[name]))
        low, typical, high = ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise PriceError("not a list of offers", where, f"give each its {name}, source and date") from None
    amount = band({key: row[name] for key, row in zip(Band._fields, (low, typical, high), strict=True)}, where)
    between = "" if low[name] == high[name] else f" [{_offer(low)} to {_offer(high)}]"
    source = f"{_offer(typical)}{between}, {typical.get('source', '')}"
    return Figure(title, amount, source, _date(typical))


def machine(prices: Mapping[str, Any], key: str, where: str) -> Figure:
    """Dollars per hour of one device. Raises `PriceError` if there is no such row, and names the nearest."""
    return figure(row(prices, "hardware", key, where), "usd_per_hour", f"hardware.{key}")


def row(prices: Mapping[str, Any], section: str, key: str, where: str) -> Mapping[str, Any]:
    """One row of a section. Raises `PriceError` if there is none."""
    rows = prices.get(section) or {}
    if key not in rows:
        close = difflib.get_close_matches(key, rows, n=1)
        known = f"did you mean {close[0]}?" if close else f"one of: {', '.join(rows)}"
        raise PriceError(f"{where} has no price for {key!r}", section, known)
    found: Mapping[str, Any] = rows[key]
    return found


def _offer(offer: Mapping[str, Any]) -> str:
    return f"{offer.get('provider', '')} {offer.get('offer', '')}".strip()


def _date(row: Mapping[str, Any]) -> str:
    return str(row.get("date") or "")
