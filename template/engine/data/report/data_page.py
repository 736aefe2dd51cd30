"""`reports/data.html`: what became of the data, on one page that loads nothing from anywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.core.answers import read_answers
from engine.core.artifacts import DATA_PAGE, REJECTED_RECORDS, REPAIRED_RECORDS
from engine.core.io import write_text
from engine.data.check.reject_reasons import REASONS
from engine.data.record_store import Store
from engine.data.report.data_report import Curated, label_counts
from engine.html.pages import render
from engine.html.svg import WIDTH, Chart, mark
from engine.settings.curate import CurateSettings

EXAMPLES = 3  # of each reason
_MOST_BARS = 40
_ROW = 26
_PLACE_WIDTH = 60  # characters of a reject's place


def write_page(store: Store, curated: Curated, settings: CurateSettings, report: dict[str, Any]) -> None:
    """Write the page. Texts of the data do not appear on it, so neither does what is private in them."""
    parts = {"train": curated.split.train, "dev": curated.split.dev, "test": curated.split.test}
    labels = {name: label_counts(store, np.asarray(indices, np.int64)) for name, indices in parts.items()}
    _, sizes = np.unique(curated.unique.clusters[curated.fates.kept()], return_counts=True)
    shown = list(report["labels"])[:_MOST_BARS]
    values: dict[str, Any] = {
        "origin": read_answers(),
        "reasons": REASONS,
        "left_out": examples(REJECTED_RECORDS, "reason"),
        "repairs": examples(REPAIRED_RECORDS, "anomaly") if report["repaired"] else {},
        "labels": [[label, *(counts.get(label, 0) for counts in labels.values())] for label in shown],
        "unit": {"char4": "runs of 4 characters", "word3": "runs of 3 words"}[report["shingles"]],
        "clusters": {name.removesuffix(" to 1"): count for name, count in doublings(sizes).items()},
        "lengths": doublings(store.words[curated.split.train]),
    }
    page = render("data/report/data.html.j2", report=report, settings=settings, bars=bars, **values)
    write_text(DATA_PAGE, page)


def examples(path: Path, key: str) -> dict[str, list[tuple[str, str]]]:
    """The first few notes of each kind: the record's place and the remark."""
    seen: dict[str, list[tuple[str, str]]] = {}
    with path.open("rb") as file:
        for line in file:
            note = msgspec.json.decode(line)
            rows = seen.setdefault(note[key], [])
            if len(rows) < EXAMPLES:
                rows.append((f"{note['source']}, line {note['line']}"[-_PLACE_WIDTH:], note["detail"][:300]))
    return dict(sorted(seen.items()))


def doublings(sizes: Any) -> dict[str, int]:
    """How many of the sizes lie in each range from a power of two to the next."""
    counts = np.bincount(np.frexp(sizes)[1] - 1, minlength=1)  # by the power of two below
    return {f"{1 << power} to {(2 << power) - 1}": count for power, count in enumerate(counts.tolist())}


def bars(counts: Mapping[str, int], title: str) -> Chart:
    """Horizontal bars, the longest as wide as the chart."""
    shown = dict(list(counts.items())[:_MOST_BARS])
    most, left = max([*shown.values(), 1]), 190
    marks = []
    for place, (name, count) in enumerate(shown.items()):
        y, width = place * _ROW + 4, (WIDTH - left - 90) * count / most
        marks += [
            mark("text", name[:28], x=left - 10, y=y + 14, class_="label", text_anchor="end"),
            mark("rect", x=left, y=y, width=max(1.0, width), height=_ROW - 8, rx=3, class_="bar highlight"),
            mark("text", f"{count:,}", x=left + width + 8, y=y + 14, class_="value"),
        ]
    return Chart(len(shown) * _ROW + 8, title, "", marks)
