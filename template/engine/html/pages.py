"""HTML pages from the templates ``*.html.j2`` of this engine, and Markdown from ``*.md.j2``.

A page loads nothing and runs no script.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

Filter: TypeAlias = Callable[..., Any]
ENGINE = Path(__file__).parents[1]
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # or it reorders text


def render(template: str, words: tuple[Filter, ...] = (), folder: Path = ENGINE, **values: Any) -> str:
    """A template, named by its path in ``folder``, with values put into it and ``words`` as filters.

    A template of another folder can extend and import those of the engine. Values are hostile until shown otherwise: in
    a page Jinja escapes each one, and what a browser cannot show becomes U+FFFD. Markdown has its own filter.
    """
    return clean(environment(words, folder).get_template(template).render(values))


@cache
def environment(words: tuple[Filter, ...], folder: Path) -> Environment:
    """Jinja as the pages use it; the filter ``fmt`` is `format`. Markdown has another escape: its writer brings it."""
    made = Environment(
        loader=FileSystemLoader([folder, ENGINE]),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"fmt": format} | {word.__name__: word for word in words}
    return made


def clean(text: str) -> str:
    """Text that every browser shows as it is."""
    return _UNPRINTABLE.sub("\ufffd", text.encode("utf-8", "replace").decode("utf-8"))
