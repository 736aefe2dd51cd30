"""The report as HTML: the verdict first, then what it rests on. The templates beside this file say it in words."""

from collections import Counter
from pathlib import Path
from typing import Any

from engine.core.artifacts import MEASURED_QUANTISATION
from engine.core.device import versions
from engine.core.display import confidence, in_order, p_value, points, requests_band, tokens, usd, usd_band
from engine.core.interval import Range
from engine.core.io import read_json
from engine.core.params import Params
from engine.core.text import normalise
from engine.evaluation.metrics import confusion, has_labels
from engine.evaluation.verdict import PROMPT, RAG, SHIP
from engine.html.pages import render
from engine.html.svg import Chart
from engine.inference.results import Row
from engine.reporting.charts import Bar, interval_chart, line_chart, tornado_chart
from engine.reporting.inputs import Facts, served_manifest

FIXED, BROKEN, WRONG = 4, 4, 2  # examples shown of each kind
CONFUSED_PAIRS = 12
WORDS = (confidence, in_order, p_value, points, requests_band, tokens, usd, usd_band)  # the filters of the templates
TONES = {SHIP: "verdict ship", PROMPT: "verdict keep", RAG: "verdict keep"}


def page(facts: Facts) -> str:
    """The whole report, self-contained."""
    bars = [Bar(arm, score, arm == facts.challenger) for arm, score in facts.scores.primary.items()]
    swings = facts.cost.ownership.tornado.swings
    return render(
        "reporting/report_page/report.html.j2",
        WORDS,
        facts=facts,
        name=str(facts.project.get("project_name", "Report")),
        verdict=facts.scores.verdict,
        tones=TONES,
        examples=examples(facts),
        labels=labels(facts),
        quantised=quantisation(facts.settings),
        versions=versions(),
        scores_chart=interval_chart(bars, f"{facts.scores.primary_metric} by arm"),
        tornado=tornado_chart(swings) if swings else None,
        loss=loss_chart(facts),
        crossing=crossing,
        off=off,
    )


def loss_chart(facts: Facts) -> Chart | None:
    """Loss by step, on train and dev."""
    rows = {name: [row for row in facts.curves if row.get(name) is not None] for name in ("loss", "eval_loss")}
    series = {name: [(row["step"], row[name]) for row in found] for name, found in rows.items()}
    return line_chart(series, "Loss by step", "step")


def examples(facts: Facts) -> list[tuple[str, int, list[dict[str, str]]]]:
    """Items word for word, those first where the two arms differ most: heading, number of items, texts by name."""
    pairs = sorted(
        zip(facts.before, facts.after, strict=True),
        key=lambda pair: (pair[0].score - pair[1].score, pair[1].row.id),
    )
    by = "tuning" if facts.settings.trains else facts.challenger
    groups = {
        f"Fixed by {by}": (FIXED, [pair for pair in pairs if pair[1].score > pair[0].score]),
        f"Broken by {by}": (BROKEN, [pair for pair in reversed(pairs) if pair[1].score < pair[0].score]),
        "Wrong before and after": (WRONG, [pair for pair in pairs if pair[1].score == pair[0].score < 1]),
    }
    return [
        (heading, len(found), [texts(facts, before.row, after.row) for before, after in found[:count]])
        for heading, (count, found) in groups.items()
    ]


def texts(facts: Facts, before: Row, after: Row) -> dict[str, str]:
    """One item: request, right answer, both answers."""
    asked = [message["content"] for message in facts.requests.get(after.id, []) if message["role"] == "user"]
    right = {"Request": "\n".join(asked), "Expected": after.expected}
    return right | {facts.incumbent: before.answer, facts.challenger: after.answer}


def labels(facts: Facts) -> dict[str, Any] | None:
    """The label pairs that the challenger mixes up most."""
    key = facts.settings.curate.label_key
    rows = [answered.row for answered in facts.after]
    if not has_labels(rows, key):
        return None
    pairs = Counter((row["actual"], row["predicted"]) for row in confusion(rows, key))
    totals = Counter(row.label or "" for row in rows)
    spelt = {normalise(label): label for label in totals}
    mixed = [(pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1]][:CONFUSED_PAIRS]
    return {
        "right": sum(count for (actual, predicted), count in pairs.items() if actual == predicted),
        "totals": totals,
        "mixed": [(spelt[actual], spelt.get(predicted, predicted), count) for (actual, predicted), count in mixed],
    }


def quantisation(settings: Params, path: Path = MEASURED_QUANTISATION) -> Any:
    """What ``tunesmith tool quantise`` measured, if it did so with the weights that would be served."""
    measured = read_json(path) if path.exists() else None
    return measured if measured and measured["manifest"] == read_json(served_manifest(settings)) else None


def crossing(volume: Range | None) -> str:
    """From how many requests per month a route is the cheaper one."""
    if volume is None:
        return ""
    if volume.low is None:
        return "never"
    if volume.high == 0:
        return "the first request"
    return requests_band(volume).replace(" requests", " a month", 1)


def off(ratio: float | None) -> str:
    """How far a measurement is from the typical planned value."""
    if ratio is None:
        return ""
    return f"{100 * (ratio - 1):+.0f}%" if ratio < 2 else f"{ratio:.1f} times"
