"""The report's comparisons of all arms: why each one is not shipped, every pair, and slices of the benchmark."""

from typing import Any
from xml.etree.ElementTree import Element

from engine.core.display import in_order, p_value, points, tokens
from engine.html.elements import Node, h, table
from engine.reporting.inputs import Facts

TITLES = {  # of the secondary measures
    "refusals": "Refusals of what the reference answers",
    "misshapen": "Answers without the references' JSON shape",
    "schema_failures": "Answers that break evals/schema.json",
    "length": "Words an answer",
    "length_ratio": "Words of answers over those of references",
    "similarity": "Cosine similarity to the reference (MiniLM)",
    "reference_perplexity": "Perplexity of the reference, by token",
    "citation_precision": "Cited passages that are of the item's own document",
    "citation_recall": "Items whose own document is cited",
}
SHARES = {"refusals", "misshapen", "schema_failures", "citation_precision", "citation_recall"}


def why_not(facts: Facts) -> Element:
    """One line for every arm that is not the one to ship."""
    reasons = facts.scores["verdict"]["why_not"]
    lines = [h("li", h("strong", arm), f": {reasons[arm]}.") for arm in in_order(reasons)]
    return h("section", h("h2", "The other arms"), h("ul", *lines))


def judged(facts: Facts) -> Element | None:
    """What the judging model prefers, or why it is not believed."""
    j = facts.judge
    if j is None:
        return None
    k = j["kappa"]
    agreement = (
        f"{j['model']} against {j['items']} human judgements: agreement {j['agreement']:.0%}, kappa {k['mean']:.2f} "
        f"[{k['low']:.2f}, {k['high']:.2f}], {j['swap_consistency']:.0%} of its choices survive a swap, "
        f"{j['unparsable']} replies named no choice."
    )
    used = ", ".join(f"{tokens(j['effort'][f'{side}_tokens'])} {side} tokens" for side in ("prompt", "completion"))
    took = f"{j['effort']['requests']:,} requests: {used}. Seconds and dollars are in reports/measured/judge.json."
    kin = h("p", j["warning"] + ".", class_="warning") if j["warning"] else None
    rest = [*graded(j["rubric"]), h("p", took, class_="note")]
    if not j["qualified"]:
        told = h("p", f"Its verdicts are withheld: {'; '.join(j['reasons'])}.", class_="warning")
        return h("section", h("h2", "Judge"), h("p", agreement), kin, told, *rest)
    p = j["preference"]
    text = (
        f"{facts.challenger} against {facts.incumbent}: {p['wins']} wins, {p['ties']} ties, {p['losses']} losses, "
        f"{p['unparsable']} errors. It wins {p['win_rate']:.0%}; were all answers equally long, it would win "
        f"{p['length_adjusted_win_rate']:.0%} (preference for longer answers {p['length_coefficient']:+.2f}, 0: none)."
    )
    return h("section", h("h2", "Judge"), h("p", agreement), kin, h("p", text), *rest)


def graded(rubric: dict[str, Any]) -> list[Element]:
    """The mean grade of every arm, or why the grades are not believed."""
    k = rubric["weighted_kappa"]
    agreement = (
        f"As a grader, 1 to 5, against {rubric['items']} human grades: the same grade on {rubric['agreement']:.0%}, "
        f"quadratic-weighted kappa {k['mean']:.2f} [{k['low']:.2f}, {k['high']:.2f}], "
        f"{rubric['unparsable']} replies were no grade."
    )
    if not rubric["qualified"]:
        withheld = h("p", f"Its grades are withheld: {'; '.join(rubric['reasons'])}.", class_="warning")
        return [h("p", agreement), withheld]
    rows: list[list[Node]] = []
    for arm, found in rubric["arms"].items():
        told = "withheld" if found["mean"] is None else f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
        rows.append([arm, told, str(found["unparsable"])])
    caption = f"Mean grade by prompts/rubric.txt; {rubric['bias']:+.2f} of a grade kinder than people"
    return [h("p", agreement), table(["Arm", "Grade, 1 to 5", "Replies that were no grade"], rows, caption)]


def secondary(facts: Facts) -> Element:
    """What the answers are like beside right or wrong."""
    found = facts.scores["secondary"]

    def cell(name: str, value: dict[str, float] | None) -> str:
        if value is None:
            return ""
        scale, digits, unit = (100, 1, "%") if name in SHARES else (1, 2, "")
        mean, low, high = (f"{scale * value[side]:.{digits}f}" for side in ("mean", "low", "high"))
        return f"{mean}{unit} [{low}, {high}]"

    names = [name for name in TITLES if any(name in measures for measures in found.values())]
    rows: list[list[Node]] = [
        [TITLES[name], *(cell(name, measures.get(name)) for measures in found.values())] for name in names
    ]
    caption = f"{facts.scores['primary_metric']} decides, none of these"
    return h("section", h("h2", "What the answers are like"), table(["Measure", *found], rows, caption))


def pairs(facts: Facts) -> Element:
    """Every pair of arms, and how many items a difference takes."""
    rows: list[list[Node]] = [
        [
            f"{pair['first']} - {pair['second']}",
            points(pair["mean"], sign=True),
            f"[{100 * pair['low']:.1f}, {100 * pair['high']:.1f}]",
            p_value(pair["p_holm"]),
        ]
        for pair in facts.scores["pairs"]
    ]
    power = facts.scores["power"]
    chances = sorted({row["power"] for row in power})
    sizes: list[list[Node]] = [
        [points(effect), *(f"{row['items']:,}" for row in power if row["effect"] == effect)]
        for effect in sorted({row["effect"] for row in power})
    ]
    caption = "Items a benchmark needs to find a difference, by the chance of finding it"
    return h(
        "section",
        h("h2", "Every pair of arms"),
        table(["Pair", "Difference", "Interval", "p, Holm over all pairs"], rows, "Paired, on the same items"),
        table(["Difference", *(f"{chance:.0%}" for chance in chances)], sizes, caption),
    )


def slices(facts: Facts) -> Element | None:
    """The primary metric of every arm in each slice; too few items for a test."""
    found = facts.scores["slices"]
    if not found:
        return None
    arms = list(facts.scores["arms"])
    rows: list[list[Node]] = [
        [f"{row['by']}: {row['slice']}", str(row["items"]), *(f"{100 * row['scores'][arm]:.0f}%" for arm in arms)]
        for row in found
    ]
    caption = f"{facts.scores['primary_metric']} by slice; small slices say little, and none was tested"
    return h("section", h("h2", "Slices"), table(["Slice", "Items", *arms], rows, caption))
