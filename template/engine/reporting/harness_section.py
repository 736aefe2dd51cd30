"""The report's section on forgetting, and lm-eval's second opinion on the benchmark."""

from typing import Any
from xml.etree.ElementTree import Element

from engine.core.display import confidence, in_order, p_value, percent, points, span
from engine.core.interval import Interval
from engine.evaluation.forgetting import BLIND, HELD, LOST, OPEN
from engine.html.elements import Node, h, table
from engine.reporting.inputs import Facts

MEANING = {
    HELD: "the tuned model is shown to lose less than {margin}",
    LOST: "the tuned model is worse, beyond chance and by {margin} or more",
    OPEN: "a loss of {margin} is neither shown nor ruled out; about {needed} items would rule it out",
    BLIND: "the untouched model is within {margin} of guessing, so it has nothing to lose here",
}


def forgotten(facts: Facts) -> Element | None:
    """What tuning made the model forget, suite by suite."""
    if facts.harness is None:
        return None
    level = confidence(facts.settings.evaluate.alpha)
    suites = facts.harness["suites"]
    rows: list[list[Node]] = [
        [
            f"{name}, {suite['items']} items" + (f", {suite['shots']} examples" if suite["shots"] else ""),
            percent(Interval(**suite["base"])),
            percent(Interval(**suite["tuned"])),
            f"{points(suite['difference']['mean'], sign=True)} {span(Interval(**suite['difference']))}",
            p_value(suite["p_value"]),
            suite["status"],
        ]
        for name, suite in suites.items()
    ]
    header = ["Suite", "Before", "After", "Difference", "p, non-inferior", "Verdict"]
    meanings = [h("li", h("strong", name), f": {told(facts, suite)}.") for name, suite in suites.items()]
    grid = table(header, rows, f"Suites outside the task, by lm-eval, with {level} intervals") if rows else None
    return h("section", h("h2", "What tuning made it forget"), grid, h("ul", *meanings), *second_opinion(facts))


def told(facts: Facts, suite: dict[str, Any]) -> str:
    """What became of a suite, as a phrase."""
    return MEANING[suite["status"]].format(margin=points(facts.settings.harness.margin), needed=suite["items_needed"])


def second_opinion(facts: Facts) -> list[Node]:
    """Every arm again, by lm-eval, on the same items and prompts."""
    harness: dict[str, Any] = facts.harness or {}
    arms = {arm: harness["domain"][arm] for arm in in_order(harness["domain"])}
    rows: list[list[Node]] = [
        [
            arm,
            f"{100 * one['exact_match']:.1f}%",
            f"{100 * one['exact_match_of_lm_eval']:.1f}%",
            f"{one['same_answers']} of {one['items']}",
        ]
        for arm, one in arms.items()
        if "skipped" not in one
    ]
    skipped = [
        h("p", f"{arm}: not run, {one['skipped']}.", class_="note") for arm, one in arms.items() if "skipped" in one
    ]
    picked = "; ".join(f"{model} {percent(Interval(**one['acc']))}" for model, one in harness["choice"].items())
    chance = next((one["chance"] for one in harness["choice"].values()), 0)
    choices = f"Picking the right answer among those of other items (guessing: {chance:.0%}): {picked}."
    return [
        h("h3", "A second opinion on the benchmark"),
        table(["Arm", "Exact match", "By lm-eval", "Same answers"], rows, "The same items and prompts, token for token")
        if rows
        else None,
        *skipped,
        h("p", choices) if picked else None,
    ]
