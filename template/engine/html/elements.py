"""HTML and SVG as trees, so that everything put into them is escaped: data is hostile until shown otherwise."""

import re
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Node: TypeAlias = Element | str | None
_STYLE = Path(__file__).with_name("report.css")
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)  # unprintable, or reorders text


def h(tag: str, *children: Node, **attributes: str | float) -> Element:
    """An element. ``class_`` means ``class``, other underscores mean hyphens; a child that is None is left out."""
    element = Element(tag)
    for name, value in attributes.items():
        element.set(name.rstrip("_").replace("_", "-"), clean(f"{value:g}" if isinstance(value, float) else str(value)))
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif child is not None:
            _append_text(element, clean(child))
    return element


def clean(text: str) -> str:
    """Text that every browser shows as it is: what cannot be shown becomes U+FFFD."""
    return _CONTROL.sub("\ufffd", text.encode("utf-8", "replace").decode("utf-8"))


def table(header: list[str], rows: list[list[Node]], caption: str) -> Element:
    """A table whose first column names the row."""
    head = h("tr", *(h("th", name, scope="col") for name in header))
    body = [h("tr", h("th", row[0], scope="row"), *(h("td", cell) for cell in row[1:])) for row in rows]
    grid = h("table", h("caption", caption), h("thead", head), h("tbody", *body))
    return h("div", grid, class_="scroll")


def document(title: str, *body: Node) -> str:
    """A whole page that loads nothing from anywhere: the policy forbids scripts and every request."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", http_equiv="Content-Security-Policy", content=policy),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="color-scheme", content="light dark"),
        h("title", title),
        h("style", _STYLE.read_text("utf-8")),
    )
    root = h("html", head, h("body", h("main", *body)), lang="en")
    return "<!doctype html>\n" + ElementTree.tostring(root, encoding="unicode", method="html") + "\n"


def _append_text(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
