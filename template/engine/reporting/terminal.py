"""The verdict as plain text, 80 columns wide."""

import textwrap

from engine.core.display import (
    ENDPOINT,
    GGUF,
    confidence,
    in_order,
    model_of,
    p_value,
    points,
    requests_band,
    span,
    title,
    usd_band,
)
from engine.evaluation.verdict import SHIP
from engine.html.pages import render
from engine.reporting.verdict_file import VerdictFile
from engine.settings.evaluate import EvaluateParams

WIDTH = 80


def tell(verdict: VerdictFile, settings: EvaluateParams) -> str:
    """The verdict, the arms, and what to do now."""
    model = model_of(verdict.ship or "")
    return render(
        "reporting/terminal.txt.j2",
        (confidence, in_order, p_value, points, requests_band, span, title, usd_band, wrapped),
        verdict=verdict,
        tuned=verdict.decision == SHIP,
        endpoint=settings.evaluate.endpoint if model == ENDPOINT else None,
        gguf=settings.evaluate.gguf if model == GGUF else None,
    )


def wrapped(text: str) -> str:
    """Text in lines of `WIDTH` columns, indented by two."""
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ") + "\n"
