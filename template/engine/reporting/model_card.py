"""The model card: the tuned model's use, scores and limits. It is the same on every run."""

import html
import re
from json import dumps
from typing import Any

from engine.core.display import confidence, in_order, p_value, percent, points, span, tokens
from engine.html.pages import render
from engine.reporting.inputs import Facts


def model_card(facts: Facts) -> str:
    """Markdown with the front matter that model hubs read: YAML, in which every JSON string is a valid string."""
    words = (confidence, dumps, in_order, p_value, percent, plain, points, span, tokens)
    return render("reporting/model_card.md.j2", words, facts=facts, project=facts.project)


def plain(value: Any) -> str:
    """Text on one line, escaped for Markdown and HTML."""
    flat = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", flat)
