"""The report's sections on total cost of ownership and on how far off the plan was."""

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from engine.core.artifacts import MEASURED_QUANTISATION
from engine.core.display import requests_band, usd, usd_band
from engine.core.io import read_json
from engine.core.settings import Settings
from engine.html.elements import Node, h, table
from engine.reporting.inputs import Facts
from engine.reporting.tornado import tornado_chart


def ownership(facts: Facts) -> Element | None:
    """Every route by month and over three years, where it meets the hosted model, and what moves its cost."""
    owned = facts.cost.get("ownership")
    if not owned:
        return None
    years, volume = owned["years"], facts.cost["monthly_requests"]
    rows: list[list[Node]] = [
        [
            title,
            usd_band(route["usd_per_month"]),
            usd_band(route["usd_three_years"]),
            crossing(route.get("break_even")),
            ", ".join(f"{name} {usd(amount)}" for name, amount in (route["once"] | route["monthly"]).items()),
        ]
        for title, route in owned["routes"].items()
    ]
    header = ["Route", f"$ a month at {volume:,}", f"$ in {years} years", "Cheaper than hosted from", "Typical items"]
    swings = owned["tornado"]["swings"]
    caption = (
        f"What the cost of “{owned['tornado']['of']}” over {years} years would be with one figure at its low or high "
        "end, all others typical; the widest swing first."
    )
    note = (
        "Bands are the 5th and 95th percentile of seeded draws over prices, volume (half to double), utilisation and "
        "the measured times. A hosted model was priced at the measured tokens; its quality was not measured. Sources: "
    )
    return h(
        "section",
        h("h2", "Total cost of ownership"),
        table(header, rows, "Training is counted in “once”; a machine of your own is written off by the month"),
        h("figure", tornado_chart(swings), h("figcaption", caption)) if swings else None,
        h("p", note + "; ".join(f"{name}: {text}" for name, text in owned["sources"].items()) + ".", class_="note"),
    )


def crossing(volume: dict[str, float | None] | None) -> str:
    """From how many requests a month a route is the cheaper one."""
    if volume is None:
        return ""
    if volume["low"] is None:
        return "never"
    if volume["high"] == 0:
        return "the first request"
    return requests_band(volume).replace(" requests", " a month", 1)


def served_manifest(settings: Settings) -> Path:
    """The manifest of the weights that would be served: the tuned ones, or the untouched ones."""
    return Path("models/served.json" if settings.trains else "models/base.json")


def quantisation(facts: Facts, path: Path = MEASURED_QUANTISATION) -> Element | None:
    """Memory, speed and quality of fewer bits, if ``python -m engine.tools.quantise`` measured these weights."""
    measured = read_json(path) if path.exists() else None
    if not measured or measured["manifest"] != read_json(served_manifest(facts.settings)):
        return None
    rows: list[list[Node]] = [
        [
            f"{bits} bits",
            f"{row['weights_gib']:.2f} GiB",
            f"{row['requests_per_second']:.2f}",
            f"{row['latency_seconds']['p50']:.2f} s",
            f"{100 * row['score']['mean']:.1f}%",
            f"{100 * row['difference']['mean']:+.1f} [{100 * row['difference']['low']:+.1f}, "
            f"{100 * row['difference']['high']:+.1f}]",
        ]
        for bits, row in sorted(measured["widths"].items(), key=lambda pair: -int(pair[0]))
    ]
    header = ["Weights", "Memory", "Requests a second", "One request", measured["metric"], "Points against 16 bits"]
    text = "Linear layers quantised while loading by bitsandbytes; the same items, prompt and decoding at every width."
    grid = table(header, rows, "What fewer bits save and what they cost")
    return h("section", h("h2", "Quantisation"), h("p", text), grid)


def against_the_plan(facts: Facts) -> Element | None:
    """What was expected when the project was generated, and what came of it."""
    rows = facts.cost.get("plan")
    if not rows:
        return None
    cells: list[list[Node]] = [
        [
            named(row["figure"]),
            f"{row['planned']['typical']:.3g} [{row['planned']['low']:.3g}, {row['planned']['high']:.3g}]",
            f"{row['measured']:.3g}",
            off(row["off"]),
            "yes" if row["within"] else "no",
        ]
        for row in rows
    ]
    hits = sum(row["within"] for row in rows)
    text = (
        f"{hits} of {len(rows)} figures came out inside their planned band. The plan was made for "
        f"{facts.cost['hardware']['title']}; times were measured on {facts.cost['measured_on']}."
    )
    grid = table(["Figure", "Planned", "Measured", "Off by", "In the band"], cells, "Planned before anything ran")
    return h("section", h("h2", "The plan and what came of it"), h("p", text), grid)


def named(figure: str) -> str:
    """A figure's name in words."""
    name, _, arm = figure.partition("/")
    return name.replace("_", " ") + (f", {arm}" if arm else "")


def off(ratio: Any) -> str:
    """How far a measurement is from the typical planned value."""
    if ratio is None:
        return ""
    return f"{100 * (ratio - 1):+.0f}%" if ratio < 2 else f"{ratio:.1f} times"
