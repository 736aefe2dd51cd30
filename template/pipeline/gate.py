"""Stage `gate`, the last one: the verdict on the terminal, and an exit code that CI can trust."""

import sys
import textwrap
from pathlib import Path
from typing import Any

from pipeline.files import ProjectError, read_json, run_stage
from pipeline.forgetting import HELD
from pipeline.settings import Settings, load
from pipeline.verdict import PROMPT, RAG, SHIP
from pipeline.wording import confidence, in_order, p_value, points, requests_band, title, usd_band

VERDICT = Path("reports/verdict.json")
SERVING = Path("reports/serve.json")
BASELINE = Path("results/baseline.json")
SCORES = Path("reports/scores.json")
HARNESS = Path("reports/harness.json")
WIDTH = 80


def main() -> None:
    settings = load()
    verdict = read_json(VERDICT)
    print(tell(verdict))
    failures = refusals(settings, verdict, read_json(SERVING)["parity"], read_json(BASELINE), read_json(SCORES))
    if settings.remembers:
        suites = read_json(HARNESS)["suites"]
        print(remembered(suites))
        failures += [] if verdict["smoke"] else regressions(settings, suites)
    if failures:
        raise ProjectError(
            "\n  ".join(["refused by the gate", *failures]), "params.yaml: gate", f"read {verdict['report']}"
        )


def tell(verdict: dict[str, Any]) -> str:
    """The verdict as plain text, 80 columns wide."""
    headline = "NO VERDICT: a smoke run" if verdict["smoke"] else f"VERDICT: {verdict['decision']}"
    paragraphs = [headline, wrapped(verdict["reason"]), arms_table(verdict)]
    if not verdict["smoke"]:
        paragraphs += [wrapped(paired(verdict)), *lost(verdict), *money(verdict), advice(verdict)]
    return "\n" + "\n\n".join([*paragraphs, f"Report: {verdict['report']}"]) + "\n"


def arms_table(verdict: dict[str, Any]) -> str:
    """One line an arm: score, interval, dollars for 1,000 requests."""
    level = f"{confidence(verdict['alpha'])} interval"
    lines = [f"  {'arm':<14}{verdict['primary_metric']:>16}  {level:<15}  $ for 1,000 requests"]
    for arm in in_order(verdict["arms"]):
        score = verdict["arms"][arm]
        interval = f"[{100 * score['low']:.1f}, {100 * score['high']:.1f}]"
        price = usd_band(verdict["cost"]["usd_per_1000_requests"][arm])
        lines.append(f"  {arm:<14}{100 * score['mean']:>15.1f}%  {interval:<15}  {price}")
    return "\n".join(lines)


def paired(verdict: dict[str, Any]) -> str:
    """The deciding comparison."""
    gap = verdict["difference"]
    return (
        f"Paired test: {verdict['challenger']} - {verdict['best_baseline']} = {points(gap['mean'], sign=True)} "
        f"[{100 * gap['low']:.1f}, {100 * gap['high']:.1f}], {verdict['test']}, {p_value(verdict['p_value'])}, "
        f"{verdict['discordant']} of {verdict['items']} items differ."
    )


def lost(verdict: dict[str, Any]) -> list[str]:
    """Why the other arms are not the one to ship."""
    return [wrapped(f"{arm}: {verdict['why_not'][arm]}.") for arm in in_order(verdict["why_not"])]


def money(verdict: dict[str, Any]) -> list[str]:
    """Training and break-even, if anything was trained."""
    even = verdict["cost"]["break_even"]
    if even is None:
        return []
    text = (
        f"Training cost {usd_band(verdict['cost']['training_usd'])}; against {even['against']} it pays for itself "
        f"after: {requests_band(even['requests'])}."
    )
    return [wrapped(text)]


def advice(verdict: dict[str, Any]) -> str:
    """What to do now."""
    ship = verdict["ship"]
    if ship is None:
        return wrapped("Ship: nothing yet.")
    where = "models/tuned" if verdict["decision"] == SHIP else "the untouched base model"
    return wrapped(f"Ship: {title(ship)} ({where}): python -m pipeline.server FOLDER --arm {ship}")


def refusals(
    settings: Settings,
    verdict: dict[str, Any],
    parity: dict[str, int],
    baseline: dict[str, Any],
    scores: dict[str, Any],
) -> list[str]:
    """Why the gate does not open; empty if it does."""
    found = []
    if baseline["benchmark_sha256"] != scores["benchmark_sha256"]:
        found.append("the baseline was measured on another benchmark than the tuned model; run `dvc repro`")
    share = parity["equal"] / max(1, parity["items"])
    if share < settings.gate.minimum_parity:
        found.append(
            f"the server gave the evaluated answer to {parity['equal']} of {parity['items']} items "
            f"(gate.minimum_parity is {settings.gate.minimum_parity:.0%})"
        )
    goal = SHIP if settings.trains else RAG if settings.retrieves else PROMPT
    if settings.gate.require_ship and not verdict["smoke"] and verdict["decision"] != goal:
        found.append(f"the verdict is {verdict['decision']} and gate.require_ship is true")
    return found


def remembered(suites: dict[str, Any]) -> str:
    """What became of the suites outside the task, a line each."""
    lines = (
        f"  {name}: {100 * suite['base']['mean']:.1f}% before tuning, {100 * suite['tuned']['mean']:.1f}% after: "
        f"{suite['status']}"
        for name, suite in suites.items()
    )
    return "\n".join(["Outside the task:", *lines]) + "\n"


def regressions(settings: Settings, suites: dict[str, Any]) -> list[str]:
    """Suites that are not shown to have held, if the gate asks for that."""
    if not settings.gate.require_no_regression:
        return []
    return [
        f"{name}: {suite['status']} ({points(suite['difference']['mean'], sign=True)}); gate.require_no_regression "
        f"wants it shown that less than {points(settings.harness.margin)} are lost"
        for name, suite in suites.items()
        if suite["status"] != HELD
    ]


def wrapped(text: str) -> str:
    """Text in lines of `WIDTH` columns, indented by two."""
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


if __name__ == "__main__":
    sys.exit(run_stage(main))
