"""Pictures as values, which a template draws: they need no library and no network."""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 720


class Mark(NamedTuple):
    """One element of a picture."""

    tag: str
    text: str
    attributes: dict[str, str]
    tooltip: str


class Chart(NamedTuple):
    """A picture of the common width, with what it shows as words for those who do not see it."""

    height: float
    title: str
    spoken: str
    marks: Sequence[Mark]
    width: int = WIDTH


def mark(tag: str, text: str = "", tooltip: str = "", **attributes: str | float) -> Mark:
    """A mark. ``class_`` means ``class``, other underscores mean hyphens."""
    shown = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in attributes.items()}
    return Mark(tag, text, {name.rstrip("_").replace("_", "-"): value for name, value in shown.items()}, tooltip)
