"""`reports/DATA_CARD.md`: the source of the data, their processing and their use."""

import re
from typing import Any

from engine.core.answers import read_answers
from engine.core.artifacts import DATA_CARD
from engine.core.io import write_text
from engine.data.check.reject_reasons import REASONS
from engine.html.pages import render
from engine.settings.curate import CurateSettings


def write_card(settings: CurateSettings, report: dict[str, Any]) -> None:
    """Write the card: the same data and settings give the same bytes."""
    card = render(
        "data/report/data_card.md.j2",
        (escaped,),
        origin=read_answers(),
        reasons=REASONS,
        settings=settings,
        report=report,
    )
    write_text(DATA_CARD, card)


def escaped(text: Any) -> str:
    """Text escaped for one line of Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(str(text).split()))
