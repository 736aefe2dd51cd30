"""Stage `gate`, the last one: the verdict on the terminal, and an exit code that CI can trust."""

from typing import Any

from engine.core.display import model_of
from engine.evaluation.results import Scores, ServingReport
from engine.evaluation.verdict import PROMPT, RAG, SHIP
from engine.inference.results import BaselineRecord, RetrievalReport
from engine.settings.gate import GateParams


def refused_measurement(
    settings: GateParams, scores: Scores, serving: ServingReport, baseline: BaselineRecord
) -> list[str]:
    """Another benchmark, another arm, or a server that answers otherwise."""
    found, parity, ship = [], serving.parity, scores.verdict.ship
    if baseline.benchmark_sha256 != scores.benchmark_sha256:
        found.append("the baseline and the tuned model were measured on different benchmarks; run `dvc repro`")
    if parity.all_equal / max(1, parity.items) < settings.gate.minimum_parity:
        found.append(
            f"the server gave the evaluated answer of {serving.arm} to {parity.all_equal} of {parity.items} items "
            f"(gate.minimum_parity is {settings.gate.minimum_parity:.0%})"
        )
    if ship and not model_of(ship) and serving.arm != ship:
        found.append(f"{serving.arm} was tested on the server, but the verdict ships {ship}; run `dvc repro`")
    return found


def refused_data(settings: GateParams, data: dict[str, Any], retrieval: RetrievalReport | None) -> list[str]:
    """Evaluation items that a model could have seen, unless params.yaml allows them."""
    if settings.gate.allow_contamination:
        return []
    found = []
    if records := data["contamination"]["records"] if data["contamination"]["policy"] == "keep" else 0:
        found.append(f"{records} training records contain an evaluation item (set curate.contamination to drop)")
    if pairs := retrieval.test_pairs_in_documents if retrieval else []:
        found.append(f"the documents contain question and answer of {len(pairs)} test items, {pairs[0]} for one")
    return [f"{reason}; gate.allow_contamination: true lets it pass" for reason in found]


def refused_verdict(settings: GateParams, scores: Scores) -> list[str]:
    """A verdict that params.yaml does not take for an end. A smoke run has none."""
    wanted, decision = settings.gate.verdict, scores.verdict.decision
    goal = SHIP if settings.trains else RAG if settings.retrieves else PROMPT
    stops = {"any": False, "ships": scores.verdict.ship is None, "goal": decision != goal}[wanted]
    return [f"the verdict is {decision} (gate.verdict is {wanted})"] if stops and not scores.smoke else []
