"""The price list: schemas/catalog/prices.yaml, the same file that a project gets as prices.yaml, and a user's own."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith import catalog, user_overrides
from tunesmith.catalog import Catalogue
from tunesmith.costing import price_list
from tunesmith.costing.price_list import OLD_PRICE_DAYS, Figure, PriceError
from tunesmith.errors import FileProblem

OFFER = "name a file with the layout of the project's prices.yaml; it needs only changed figures"


def machines(listed: Mapping[str, Any]) -> dict[str, Figure]:
    """US dollars for an hour of one device by key of the hardware catalogue, if the price is known."""
    rows = {key: price_list.machine(listed, key, "the price list") for key in listed["hardware"]}
    return {key: row for key, row in rows.items() if row.amount}


def load(catalogue: Catalogue, override: Path | None = None) -> dict[str, Any]:
    """The price list; the figures of ``override``, or else of the user's own file, win.

    Raises:
        FileProblem: the file cannot be read, or what it says is no price.
    """
    path = override or user_overrides.own_file("prices.yaml")
    built_in = catalog.table("prices.yaml")
    if not override and not path.is_file():
        return _with_recorded(catalogue, built_in)
    own = _spelt_out(catalogue, user_overrides.read(path, built_in, OFFER), path)
    listed = user_overrides.merged(built_in, own)
    user_overrides.check("prices", listed, path, OFFER)
    try:
        list(figures(listed))
    except PriceError as error:
        raise FileProblem(path, f"{error.where}: {error.what}", error.fix) from None
    return _with_recorded(catalogue, listed)


def _with_recorded(catalogue: Catalogue, listed: dict[str, Any]) -> dict[str, Any]:
    """The list with the prices of the recorded machine, if it has none of that machine."""
    machine = catalogue.recorded
    if not machine:
        return listed
    own = {machine["key"]: machine["price"]}
    bought = {machine["key"]: machine["device"]} if "device" in machine else {}
    on_prem = {**listed["on_prem"], "devices": bought | listed["on_prem"]["devices"]}
    return {**listed, "hardware": own | listed["hardware"], "on_prem": on_prem}


def _spelt_out(catalogue: Catalogue, own: Mapping[str, dict[str, Any]], path: Path) -> dict[str, Any]:
    """A user's sections as the list has them: short forms written out, the user named as the source."""
    found: dict[str, Any] = {key: {} for key in own}
    for section, rows in own.items():
        for key, row in rows.items():
            if (section, key) == ("on_prem", "devices") and isinstance(row, Mapping):
                found[section][key] = {name: _device(catalogue, name, device, path) for name, device in row.items()}
            else:
                found[section][key] = _row(section, key, row, path)
    return found


def _row(section: str, key: str, row: Any, path: Path) -> Any:
    number = isinstance(row, (int, float)) and not isinstance(row, bool)
    if section in ("on_prem", "storage", "speed") and number:
        row = dict.fromkeys(("low", "typical", "high"), row)
    elif section == "hardware" and number:
        row = {"usd_per_hour": row}
    if not isinstance(row, Mapping):
        return row
    if section == "hosted":
        row = {"title": key, "provider": "own", **row}
    elif section == "hardware" and key not in catalog.table("prices.yaml")["hardware"]:
        row = {"title": key, **row}
    if isinstance(more := row.get("more_offers"), list):
        named = [{"provider": "own", **offer} if isinstance(offer, Mapping) else offer for offer in more]
        more = [user_overrides.signed(offer, path) if isinstance(offer, Mapping) else offer for offer in named]
        row = {**row, "more_offers": more}
    return row if {"offers", "more_offers"} & set(row) else user_overrides.signed(row, path)


def _device(catalogue: Catalogue, key: str, row: Any, path: Path) -> Any:
    if not isinstance(row, Mapping):
        return row
    known = catalogue.hardware.get(key)
    return user_overrides.signed({"watts": known.watts, **row} if known else row, path)


def machine(listed: Mapping[str, Any], key: str) -> Figure:
    """Dollars for an hour of one device.

    Raises:
        PriceError: none is known, which is so of a machine of the user's own until they say it.
    """
    if key not in machines(listed):
        path = user_overrides.own_file("prices.yaml")
        fix = f"add `hardware: {{{key}: USD_PER_HOUR}}` to {path}, or to a file named with --prices"
        raise PriceError(f"no price known for {key}", "hardware", fix)
    return price_list.machine(listed, key, "the price list")


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
            yield "hosted", key, f"USD per million {side} tokens", price_list.figure(row, name, f"hosted.{key}")
    for key, name, unit in (
        ("training", "usd_per_million", "USD per million tokens"),
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
        from tunesmith.costs import genai_prices

        return genai_prices.rates(name)
    row = price_list.row(prices, "hosted", name, "the price list")
    sides = [price_list.figure(row, f"usd_per_million_{side}", f"hosted.{name}") for side in ("input", "output")]
    return sides[0], sides[1]


__all__ = ["OLD_PRICE_DAYS", "Figure", "PriceError", "figures", "hosted", "load", "machine", "machines", "tuning"]
