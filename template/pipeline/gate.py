"""Stage `gate`, the last one: the verdict on the terminal, and an exit code that CI can trust."""

import sys
import textwrap
from pathlib import Path
from typing import Any

from pipeline.evaluation.forgetting import HELD
from pipeline.evaluation.verdict import PROMPT, RAG, SHIP
from pipeline.files import ProjectError, read_json, run_stage
from pipeline.settings import Settings, load
from pipeline.wording import (
    ENDPOINT,
    GGUF,
    confidence,
    in_order,
    model_of,
    p_value,
    points,
    requests_band,
    title,
    usd_band,
)

VERDICT = Path("reports/verdict.json")
SERVING = Path("reports/serve.json")
BASELINE = Path("results/baseline.json")
SCORES = Path("reports/scores.json")
DATA = Path("reports/data.json")
RETRIEVAL = Path("reports/retrieval.json")
HARNESS = Path("reports/harness.json")
WIDTH = 80


def main() -> None:
    settings = load()
    verdict = read_json(VERDICT)
    print(tell(verdict, settings))
    scores = read_json(SCORES)
    failures = [
        *refused_measurement(settings, verdict, read_json(SERVING), read_json(BASELINE), scores),
        *refused_data(settings, read_json(DATA), read_json(RETRIEVAL) if settings.retrieves else None),
        *refused_verdict(settings, verdict),
    ]
    if settings.remembers:
        suites = read_json(HARNESS)["suites"]
        print(remembered(suites))
        failures += [] if verdict["smoke"] else regressions(settings, suites)
    if failures:
        raise ProjectError(
            "\n  ".join(["refused by the gate", *failures]), "params.yaml: gate", f"read {verdict['report']}"
        )


def tell(verdict: dict[str, Any], settings: Settings) -> str:
    """The verdict as plain text, 80 columns wide."""
    headline = "NO VERDICT: a smoke run" if verdict["smoke"] else f"VERDICT: {verdict['decision']}"
    paragraphs = [headline, wrapped(verdict["reason"]), arms_table(verdict)]
    if not verdict["smoke"]:
        paragraphs += [wrapped(paired(verdict)), *lost(verdict), *money(verdict), advice(verdict, settings)]
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


def advice(verdict: dict[str, Any], settings: Settings) -> str:
    """What to do now."""
    ship = verdict["ship"]
    if ship is None:
        return wrapped("Ship: nothing yet.")
    endpoint, gguf = settings.evaluate.endpoint, settings.evaluate.gguf
    asked = f"asked as in results/baseline/prompts/{ship}.jsonl"
    if model_of(ship) == GGUF and gguf:
        return wrapped(f"Ship: {title(ship)}: {gguf.path} (llama-server -m), {asked}")
    if model_of(ship) == ENDPOINT and endpoint:
        return wrapped(f"Ship: {title(ship)}: {endpoint.model} at {endpoint.base_url}, {asked}")
    where = "models/tuned" if verdict["decision"] == SHIP else "the untouched base model"
    return wrapped(f"Ship: {title(ship)} ({where}): python -m pipeline.server --arm {ship}")


def refused_measurement(
    settings: Settings,
    verdict: dict[str, Any],
    serving: dict[str, Any],
    baseline: dict[str, Any],
    scores: dict[str, Any],
) -> list[str]:
    """Another benchmark, another arm, or a server that answers otherwise."""
    found, parity, ship = [], serving["parity"], verdict["ship"]
    if baseline["benchmark_sha256"] != scores["benchmark_sha256"]:
        found.append("the baseline was measured on another benchmark than the tuned model; run `dvc repro`")
    share = parity["equal"] / max(1, parity["items"])
    if share < settings.gate.minimum_parity:
        found.append(
            f"the server gave the evaluated answer of {serving['arm']} to {parity['equal']} of {parity['items']} items "
            f"(gate.minimum_parity is {settings.gate.minimum_parity:.0%})"
        )
    if ship and not model_of(ship) and serving["arm"] != ship:
        found.append(f"{serving['arm']} was tried on the server and the verdict ships {ship}; run `dvc repro`")
    return found


def refused_data(settings: Settings, data: dict[str, Any], retrieval: dict[str, Any] | None) -> list[str]:
    """Evaluation items where a model could have seen them, unless params.yaml says that this is known."""
    if settings.gate.allow_contamination:
        return []
    found = []
    if records := data["contamination"]["records"] if data["contamination"]["policy"] == "keep" else 0:
        found.append(f"{records} training records contain an evaluation item (set curate.contamination to drop)")
    if pairs := (retrieval or {}).get("test_pairs_in_documents"):
        found.append(f"the documents hold question and answer of {len(pairs)} test items, {pairs[0]} for one")
    return [f"{reason}; gate.allow_contamination: true lets it pass" for reason in found]


def refused_verdict(settings: Settings, verdict: dict[str, Any]) -> list[str]:
    """A verdict that params.yaml does not take for an end. A smoke run has none."""
    wanted, decision = settings.gate.verdict, verdict["decision"]
    goal = SHIP if settings.trains else RAG if settings.retrieves else PROMPT
    stops = {"any": False, "ships": verdict["ship"] is None, "goal": decision != goal}[wanted]
    return [f"the verdict is {decision} (gate.verdict is {wanted})"] if stops and not verdict["smoke"] else []


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
