"""The price list: schemas/catalog/prices.yaml, the same file that a project gets as prices.yaml, and a user's own."""

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunesmith import catalog
from tunesmith.costs import price_list
from tunesmith.costs.price_list import OLD_PRICE_DAYS, Figure, PriceError
from tunesmith.errors import FileProblem

OFFER = "name a file laid out like the project's prices.yaml; only what differs need be there"


@dataclass(frozen=True)
class Price:
    """One machine: US dollars for an hour of one device, as low, typical and high; where and when they were read."""

    key: str
    title: str
    usd_per_hour: Mapping[str, float]
    source: str
    date: dt.date


def machines(prices: Mapping[str, Any] | None = None) -> dict[str, Price]:
    """Prices by key of the hardware catalogue; a machine whose price is not known is left out."""
    listed = prices or load()
    found = {key: price_list.machine(listed, key, "the price list") for key in listed["hardware"]}
    return {
        key: Price(key, row.title, row.amount._asdict(), row.source, dt.date.fromisoformat(row.date))
        for key, row in found.items()
        if row.amount
    }


def load(override: Path | None = None) -> dict[str, Any]:
    """The price list; the figures of ``override``, or else of the user's own file, win.

    Raises:
        FileProblem: the file that was named cannot be read.
    """
    own = override or own_file()
    built_in = catalog.table("prices.yaml")
    return price_list.merged(built_in, _read(own)) if override or own.is_file() else built_in


def own_file() -> Path:
    """Where a user keeps prices that hold for all projects."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "tunesmith" / "prices.yaml"


def _read(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileProblem(path, f"cannot be read as prices: {error}", OFFER) from None
    if not isinstance(read, dict):
        raise FileProblem(path, "is not a list of prices", OFFER)
    if unknown := sorted(map(str, read.keys() - catalog.table("prices.yaml").keys())):
        raise FileProblem(path, f"has an unknown section: {', '.join(unknown)}", OFFER)
    return read


def figures(prices: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Figure]]:
    """Every figure of the list as (section, key, unit, figure).

    Raises:
        PriceError: one of them cannot be read.
    """
    for key, row in prices["hardware"].items():
        yield "hardware", key, "USD an hour", price_list.figure(row, "usd_per_hour", f"hardware.{key}")
    for key, row in prices["on_prem"]["devices"].items():
        yield "on_prem", key, "USD to buy", price_list.figure(row, "purchase_usd", f"on_prem.devices.{key}")
    for section in ("on_prem", "storage", "speed"):
        for key, row in prices[section].items():
            if key != "devices":
                yield section, key, row.get("unit", key.replace("_", " ")), price_list.single(row, f"{section}.{key}")
    for key, row in prices["hosted"].items():
        for side in ("input", "output"):
            name = f"usd_per_million_{side}"
            yield "hosted", key, f"USD a million {side} tokens", price_list.figure(row, name, f"hosted.{key}")
    for key, name, unit in (
        ("training", "usd_per_million", "USD a million tokens"),
        ("endpoint", "usd_per_hour", "USD an hour"),
    ):
        yield "hosted_tuning", key, unit, tuning(prices, key, name)


def tuning(prices: Mapping[str, Any], key: str, name: str) -> Figure:
    """What services ask for ``training`` (by the million tokens) or for an ``endpoint`` (by the hour)."""
    table = prices["hosted_tuning"]
    return price_list.spread(table[key], name, f"hosted_tuning.{key}", str(table["title"]))


def hosted(prices: Mapping[str, Any], name: str) -> tuple[Figure, Figure]:
    """Dollars for a million tokens in and out of a hosted model: a key of the list, or provider:model of genai-prices.

    Raises:
        PriceError: it is neither.
    """
    if ":" in name and name not in prices["hosted"]:
        from tunesmith.costs import genai

        return genai.rates(name)
    row = price_list.row(prices, "hosted", name, "the price list")
    sides = [price_list.figure(row, f"usd_per_million_{side}", f"hosted.{name}") for side in ("input", "output")]
    return sides[0], sides[1]


__all__ = ["OLD_PRICE_DAYS", "Figure", "PriceError", "figures", "hosted", "load", "own_file", "tuning"]
