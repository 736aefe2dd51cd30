"""`reports/data.html`: what became of the data, on one page that loads nothing from anywhere."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import msgspec
import numpy as np

from engine.core.artifacts import DATA_PAGE, REJECTED_RECORDS, REPAIRED_RECORDS
from engine.core.io import write_text
from engine.core.settings import CurateSettings
from engine.data.check.reject_reasons import REASONS
from engine.data.record_store import Store
from engine.data.report.data_card import answers
from engine.data.report.data_report import Curated, label_counts
from engine.html.elements import Node, document, h, table

EXAMPLES = 3  # of each reason
_MOST_BARS = 40
_WIDTH, _ROW = 720, 26
_PLACE_WIDTH = 60  # characters of a reject's place


def write_page(store: Store, curated: Curated, settings: CurateSettings, report: dict[str, Any]) -> None:
    """Write the page. Texts of the data do not appear on it, so neither does what is private in them."""
    sections = (
        _opening(report),
        _funnel(report),
        _examples("Examples of each reason", REJECTED_RECORDS, "reason"),
        _repairs(report),
        _split(store, curated, report),
        _near(store, curated, report),
        _lengths(store, curated, report),
        _preference(report),
        _private(report, settings),
        _contamination(report),
    )
    shown = [section for section in sections if section is not None]
    write_text(DATA_PAGE, document("Data report", *shown))


def _opening(report: dict[str, Any]) -> Element:
    tiles = {"read": "records in the raw data", "train": "to learn from", "dev": "to watch training", "test": "frozen"}
    facts = [h("div", h("dt", name), h("dd", f"{report[name]:,}", h("small", note))) for name, note in tiles.items()]
    said = answers()
    origin = f"Source: {said.get('data_source') or 'not recorded'}. Licence: {said.get('licence') or 'not recorded'}."
    return h("header", h("h1", "What became of the data"), h("p", origin), h("dl", *facts, class_="facts"))


def _funnel(report: dict[str, Any]) -> Element:
    rejected = report["rejected"]
    if not rejected:
        return _section("Left out", h("p", "Every record is used."))
    rows: list[list[Node]] = [
        [reason, REASONS[reason], f"{count:,}", f"{count / report['read']:.2%}"] for reason, count in rejected.items()
    ]
    total = f"{report['kept']:,} kept + {sum(rejected.values()):,} left out = {report['read']:,} read"
    grid = table(["reason", "meaning", "records", "share"], rows, total)
    return _section("Left out", bars(rejected, "Records left out by reason"), grid)


def _examples(title: str, path: Path, key: str) -> Element | None:
    """The first few notes of each kind: where the record stands, and what is said of it."""
    seen: dict[str, list[list[Node]]] = {}
    with path.open("rb") as file:
        for line in file:
            note = msgspec.json.decode(line)
            rows = seen.setdefault(note[key], [])
            if len(rows) < EXAMPLES:
                place = f"{note['source']}, line {note['line']}"
                rows.append([note[key], place[-_PLACE_WIDTH:], note["detail"][:300]])
    if not seen:
        return None
    return _section(title, table([key, "where", "what"], [row for name in sorted(seen) for row in seen[name]], ""))


def _repairs(report: dict[str, Any]) -> Element | None:
    if not report["repaired"]:
        return None
    section = _examples("Repaired", REPAIRED_RECORDS, "anomaly")
    counts = ", ".join(f"{name} {count:,}" for name, count in report["repaired"].items())
    return section if section is None else h("div", section, h("p", f"In all: {counts}.", class_="note"))


def _split(store: Store, curated: Curated, report: dict[str, Any]) -> Element:
    parts = {"train": curated.split.train, "dev": curated.split.dev, "test": curated.split.test}
    labels = {name: label_counts(store, np.asarray(indices, np.int64)) for name, indices in parts.items()}
    leak = report["leakage"]["random_split_would_leak"]
    body: list[Node] = [
        h(
            "p",
            "No test or dev item has a near duplicate or a group in common with the training data. "
            f"Of a test set drawn at random, {leak:.1%} would have had one.",
        )
    ]
    if reworded := report["leakage"]["reworded"]:
        body.append(h("p", f"{reworded:,} records ask in other words what an item asks, and were left out."))
    if report["labels"]:
        rows: list[list[Node]] = [
            [label, *(f"{labels[part].get(label, 0):,}" for part in parts)]
            for label in list(report["labels"])[:_MOST_BARS]
        ]
        balance = report["label_balance"]
        note = (
            f"{balance['labels']} labels, as diverse as {balance['effective_labels']} equally frequent ones; "
            f"the largest has {balance['largest_share']:.1%}"
        )
        body += [bars(report["labels"], "Records by label"), table(["label", *parts], rows, note)]
    return _section("Split", *body)


def _near(store: Store, curated: Curated, report: dict[str, Any]) -> Element:
    kept = np.flatnonzero(curated.unique.fates.reason == 0)
    _, sizes = np.unique(curated.unique.clusters[kept], return_counts=True)
    counts = {f"{low} to {2 * low - 1}" if low > 1 else "1": 0 for low in _doublings(int(sizes.max(initial=1)))}
    for name, low in zip(counts, _doublings(int(sizes.max(initial=1))), strict=True):
        counts[name] = int(((sizes >= low) & (sizes < 2 * low)).sum())
    unit = {"char4": "runs of 4 characters", "word3": "runs of 3 words"}[report["shingles"]]
    text = (
        f"{report['duplicates']['exact']:,} exact and {report['duplicates']['near']:,} near duplicates were left out; "
        f"each near one was confirmed by its exact Jaccard similarity ({unit}). Near records with different answers "
        "stay, and stay together."
    )
    if alike := report["duplicates"]["semantic"]:
        text += f" {alike:,} more ask the same as another record in other words, judged by an embedding model."
    return _section("Near duplicates", h("p", text), bars(counts, "Clusters by how many records they hold"))


def _lengths(store: Store, curated: Curated, report: dict[str, Any]) -> Element:
    words = store.words[curated.split.train]
    edges = _doublings(int(words.max(initial=1)))
    counts = {f"{low} to {2 * low - 1}": int(((words >= low) & (words < 2 * low)).sum()) for low in edges}
    spread, asked, said = report["diversity"], report["prompt_words"], report["answer_words"]
    varied = f"Of their words {spread['distinct_1']:.1%} are different ones, of their pairs {spread['distinct_2']:.1%}"
    note = f"Median {asked['median']:,} words, P95 {asked['p95']:,}, longest {asked['longest']:,}. {varied}; answers: "
    note += f"median {said['median']:,} words, P95 {said['p95']:,} (sample of {spread['prompts']:,})."
    return _section("Length of the prompts in words", bars(counts, "Prompts by words"), h("p", note, class_="note"))


def _preference(report: dict[str, Any]) -> Element | None:
    if judged := report["desirable"]:
        text = f"{judged['good']:,} answers are good ones, {judged['share']:.1%}, and {judged['bad']:,} are not."
        return _section("Preference", h("p", text))
    found = report["preference"]
    if not found:
        return None
    text = (
        f"Of {found['pairs']:,} pairs the chosen answer is the longer one in {found['chosen_longer']:.1%}, the "
        f"rejected one in {found['rejected_longer']:.1%}; on average "
        f"{found['chosen_mean_characters']:,.0f} characters against {found['rejected_mean_characters']:,.0f}. "
        "A model tuned on pairs learns their length too."
    )
    return _section("Preference", h("p", text))


def _private(report: dict[str, Any], settings: CurateSettings) -> Element | None:
    tables: list[Node] = []
    if report["private_data"]:
        rows: list[list[Node]] = [
            [kind, f"{count:,}", getattr(settings.private, kind)] for kind, count in report["private_data"].items()
        ]
        tables.append(
            table(["kind", "found", "policy"], rows, "Personal data and secrets, by pattern and check digits")
        )
    if report["findings"]:
        rows = [[code, f"{count:,}", getattr(settings.quality, code)] for code, count in report["findings"].items()]
        tables.append(table(["finding", "answers", "policy"], rows, "What a look at the answers found"))
    if report["boilerplate"]:
        rows = [[sentence, f"{count:,}"] for sentence, count in report["boilerplate"].items()]
        tables.append(table(["the answer", "different answers"], rows, "Sentences that many different answers share"))
    if report["languages"]:
        tables.append(bars(report["languages"], "Records by language"))
    return _section("Content", *tables) if tables else None


def _contamination(report: dict[str, Any]) -> Element:
    found = report["contamination"]
    rows: list[list[Node]] = [
        [name, f"{counts['items']:,}", f"{counts['found']:,}"] for name, counts in found["benchmarks"].items()
    ]
    note = f"{found['records']:,} training records contain an item; policy: {found['policy']}"
    return _section("Contamination", table(["benchmark", "items", "found in the training data"], rows, note))


def _section(title: str, *body: Node) -> Element:
    return h("section", h("h2", title), *body)


def _doublings(largest: int) -> list[int]:
    return [1 << power for power in range(int(math.log2(max(largest, 1))) + 1)]


def bars(counts: Mapping[str, int], title: str) -> Element:
    """Horizontal bars, the longest as wide as the chart."""
    shown = dict(list(counts.items())[:_MOST_BARS])
    most, left = max([*shown.values(), 1]), 190
    marks: list[Node] = [h("title", title)]
    for place, (name, count) in enumerate(shown.items()):
        y, width = place * _ROW + 4, (_WIDTH - left - 90) * count / most
        marks += [
            h("text", name[:28], x=left - 10, y=y + 14, class_="label", text_anchor="end"),
            h("rect", x=left, y=y, width=max(1.0, width), height=_ROW - 8, rx=3, class_="bar highlight"),
            h("text", f"{count:,}", x=left + width + 8, y=y + 14, class_="value"),
        ]
    size = f"0 0 {_WIDTH} {len(shown) * _ROW + 8}"
    return h("figure", h("svg", *marks, viewBox=size, role="img", aria_label=title))
