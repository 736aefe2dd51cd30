"""The report as HTML: the verdict first, then what it rests on."""

from collections import Counter
from typing import Any
from xml.etree.ElementTree import Element

from engine.core.display import confidence, p_value, points, requests_band, tokens, usd_band
from engine.core.interval import Interval
from engine.core.text import normalise
from engine.evaluation.metrics import confusion, has_labels
from engine.evaluation.verdict import PROMPT, RAG, SHIP
from engine.html.elements import Node, document, h, table
from engine.reporting.appendix import banded, cost, data, reproducibility, retrieval, trace, training
from engine.reporting.charts import Bar, interval_chart
from engine.reporting.comparisons import judged, pairs, secondary, slices, why_not
from engine.reporting.cost_section import against_the_plan, ownership, quantisation
from engine.reporting.harness_section import forgotten
from engine.reporting.inputs import Facts

FIXED, BROKEN, WRONG = 4, 4, 2  # examples shown of each kind
CONFUSED_PAIRS = 12


def page(facts: Facts) -> str:
    """The whole report, self-contained."""
    name = str(facts.project.get("project_name", "Report"))
    sections = (
        opening(facts, name),
        scores(facts),
        paired_test(facts),
        cost(facts),
        ownership(facts),
        quantisation(facts),
        against_the_plan(facts),
        trace(facts),
        why_not(facts),
        judged(facts),
        forgotten(facts),
        retrieval(facts),
        examples(facts),
        secondary(facts),
        slices(facts),
        confusions(facts),
        pairs(facts),
        data(facts),
        training(facts),
        reproducibility(facts),
    )
    return document(f"{name}: {facts.scores['verdict']['decision']}", *sections)


def opening(facts: Facts, name: str) -> Element:
    """Decision, reason, and the four numbers that everyone asks for."""
    verdict = facts.scores["verdict"]
    tone = {SHIP: "verdict ship", PROMPT: "verdict keep", RAG: "verdict keep"}.get(verdict["decision"], "verdict")
    gap = verdict["difference"]
    arm = verdict["ship"] or facts.challenger
    per_1000, even = facts.cost["arms"][arm]["usd_per_1000_requests"], facts.cost["break_even"]
    kind = "tuned from" if facts.settings.trains else "retrieval with" if facts.settings.retrieves else "prompts for"
    return h(
        "header",
        h("h1", f"{name} · {kind} {facts.model['name']}"),
        h("div", h("strong", verdict["decision"]), h("p", verdict["reason"]), class_=tone),
        h(
            "dl",
            fact(f"{facts.challenger} over {facts.incumbent}", points(gap["mean"], sign=True), between(gap)),
            fact("Chance alone?", p_value(verdict["p_value"]), f"{verdict['test']}, {verdict['items']} items"),
            fact(f"1,000 requests, {arm}", usd_band(per_1000).split(" [")[0], facts.cost["hardware"]["title"]),
            fact("Training pays for itself after", *split_band(even["requests"])) if even else None,
            class_="facts",
        ),
    )


def fact(name: str, value: str, note: str) -> Element:
    """One tile."""
    return h("div", h("dt", name), h("dd", value, h("small", note)))


def split_band(requests: Any) -> tuple[str, str]:
    """A break-even for a tile: the number, then its interval."""
    words, _, interval = requests_band(requests).partition(" [")
    return words, "[" + interval if interval else "at the measured times"


def between(interval: dict[str, float]) -> str:
    """An interval of shares in points."""
    return f"[{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def scores(facts: Facts) -> Element:
    """Chart of the primary metric, then every arm with its price, then every metric."""
    primary, arms = facts.scores["primary_metric"], facts.scores["arms"]
    level = confidence(facts.scores["verdict"]["alpha"])
    bars = [Bar(arm, Interval(**metrics[primary]), arm == facts.challenger) for arm, metrics in arms.items()]
    caption = f"{primary} on {facts.scores['items']} held-out items, the same for every arm, with {level} intervals."
    rows: list[list[Node]] = []
    for arm, metrics in arms.items():
        price = facts.cost["arms"][arm]
        latency = price["latency_seconds"]
        rows.append(
            [
                arm,
                score_cell(metrics[primary]),
                " + ".join(tokens(price[f"{side}_tokens_per_request"]) for side in ("prompt", "completion")),
                f"{latency['p50']:.2f} / {latency['p95']:.2f} s",
                banded(price["usd_per_1000_requests"]),
                banded(price["usd_per_month"]),
            ]
        )
    month = f"$ a month at {facts.cost['monthly_requests']:,}"
    header = ["Arm", primary, "Tokens in + out", "Latency p50 / p95", "$ / 1,000 requests", month]
    names = list(dict.fromkeys(name for metrics in arms.values() for name in metrics))
    metric_rows: list[list[Node]] = [
        [name, *(score_cell(metrics[name]) if name in metrics else "" for metrics in arms.values())] for name in names
    ]
    return h(
        "section",
        h("h2", "Scores"),
        h("figure", interval_chart(bars, f"{primary} by arm"), h("figcaption", caption)),
        table(header, rows, "What each arm scores, takes and costs"),
        table(["Metric", *arms], metric_rows, "Every metric; BLEU and ROUGE only where answers are free text"),
    )


def score_cell(score: dict[str, float]) -> Element:
    """A score over its interval."""
    return h("span", f"{100 * score['mean']:.1f}%", h("small", between(score)))


def paired_test(facts: Facts) -> Element:
    """The comparison that decides, then the others with Holm's correction."""
    v = facts.scores["verdict"]
    wins = sum(t["score"] > b["score"] for t, b in zip(facts.after, facts.before, strict=True))
    arm = facts.challenger
    text = (
        f"On {v['items']} items {arm} and {v['best_baseline']} differ on {v['discordant']}: {arm} is better on "
        f"{wins}, {v['best_baseline']} on {v['discordant'] - wins}. By {v['test']} {p_value(v['p_value'])}, by "
        f"swapping whole groups at random {p_value(v['permutation_p_value'])}. Difference "
        f"{points(v['difference']['mean'], sign=True)} {between(v['difference'])}; the interval resamples groups."
    )
    power = (
        f"With this benchmark a difference of {points(v['detectable_effect'])} is found four times out of five. "
        f"{points(v['minimum_effect'])}, the gain that is worth shipping, takes about {v['required_items']:,} items."
    )
    rows: list[list[Node]] = [
        [f"{facts.challenger} - {arm}", points(c["difference"], sign=True), p_value(c["p_value"]), p_value(c["p_holm"])]
        for arm, c in v["comparisons"].items()
    ]
    grid = table(["Comparison", "Difference", "p", "p, Holm"], rows, f"{facts.challenger} against every other arm")
    return h("section", h("h2", "Paired test"), h("p", text), h("p", power), grid)


def examples(facts: Facts) -> Element:
    """Items word for word, those first where the two arms differ most."""
    pairs = sorted(
        zip(facts.before, facts.after, strict=True),
        key=lambda pair: (pair[0]["score"] - pair[1]["score"], pair[1]["id"]),
    )
    by = "tuning" if facts.settings.trains else facts.challenger
    groups = {
        f"Fixed by {by}": (FIXED, [pair for pair in pairs if pair[1]["score"] > pair[0]["score"]]),
        f"Broken by {by}": (BROKEN, [pair for pair in reversed(pairs) if pair[1]["score"] < pair[0]["score"]]),
        "Wrong before and after": (WRONG, [pair for pair in pairs if pair[1]["score"] == pair[0]["score"] < 1]),
    }
    shown: list[Node] = []
    for heading, (count, found) in groups.items():
        shown.append(h("h3", f"{heading}: {len(found)} items" + (", for example" if found else "")))
        shown += [example(facts, before, after) for before, after in found[:count]]
    return h("section", h("h2", "What changed, word for word"), *shown)


def example(facts: Facts, before: dict[str, Any], after: dict[str, Any]) -> Element:
    """One item: request, right answer, both answers."""
    asked = [message["content"] for message in facts.requests.get(after["id"], []) if message["role"] == "user"]
    texts = {"Request": "\n".join(asked), "Expected": after["expected"]}
    texts |= {facts.incumbent: before["answer"], facts.challenger: after["answer"]}
    parts = [part for name, text in texts.items() for part in (h("dt", name), h("dd", h("pre", text, dir="auto")))]
    return h("div", h("dl", *parts), class_="example")


def confusions(facts: Facts) -> Element | None:
    """The label pairs that the challenger mixes up most."""
    key = facts.settings.curate.label_key
    if not has_labels(facts.after, key):
        return None
    pairs = Counter((row["actual"], row["predicted"]) for row in confusion(facts.after, key))
    totals = Counter(item["label"] for item in facts.after)
    spelt = {normalise(label): label for label in totals}
    mixed = [(pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1]][:CONFUSED_PAIRS]
    rows: list[list[Node]] = [
        [spelt[actual], spelt.get(predicted, predicted), f"{count} of {totals[spelt[actual]]}"]
        for (actual, predicted), count in mixed
    ]
    right = sum(count for (actual, predicted), count in pairs.items() if actual == predicted)
    text = (
        f"{facts.challenger} gives the right label to {right} of {len(facts.after)} items; {len(totals)} labels occur."
    )
    grid = table(["Label", "Taken for", "Items"], rows, "Most frequent mistakes") if rows else None
    return h("section", h("h2", "Labels"), h("p", text), grid)
