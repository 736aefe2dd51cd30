"""HTML pages from the templates ``*.html.j2`` of this engine. A page loads nothing and runs no script."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from engine.core import display

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # or it reorders text
_IN_WORDS = (
    display.confidence,
    display.in_order,
    display.p_value,
    display.points,
    display.requests_band,
    display.tokens,
    display.usd,
    display.usd_band,
)


def render(template: str, **values: Any) -> str:
    """A template, named by its path in the engine, with values put into it.

    Values are hostile until shown otherwise: Jinja escapes each one, and what a browser cannot show becomes U+FFFD.
    """
    return clean(environment().get_template(template).render(values))


@cache
def environment() -> Environment:
    """Jinja as the pages use it: the functions of `engine.core.display` are filters, and ``fmt`` is `format`."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"fmt": format} | {function.__name__: function for function in _IN_WORDS}
    return made


def clean(text: str) -> str:
    """Text that every browser shows as it is."""
    return _UNPRINTABLE.sub("\ufffd", text.encode("utf-8", "replace").decode("utf-8"))
