"""How often the verdict prefers a dearer arm that is no better: simulated studies where all arms are equally good.

    python benchmarks/false_ship_rate.py [--studies 2000] [--items 240] [--first 1]

A run that was cut goes on with --first, the number of a scenario; each run draws from the seed's beginning.

Prints the rate of SHIP TUNED and of USE RAG, for independent items and for grouped ones (the items of a group share
part of their fate), each with its Wilson interval. The verdict promises at most 5% together.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "template"), str(ROOT / "tests/engine")]

import yaml
from finished_project import PARAMS

from engine.evaluation.statistics import wilson
from engine.evaluation.verdict import RAG, SHIP, decide
from engine.settings.everything import Everything

GROUP = 6  # items of one group
PROMPTS, RAG_ARMS = ("zero_shot", "few_shot"), ("rag", "rag_few_shot")
SCENARIOS = {  # name -> (true score of every arm, arms, share of an item's luck that its group decides)
    "prompt or tuned, 0.5": (0.5, (*PROMPTS, "tuned"), 0.0),
    "one prompt or tuned, 0.5": (0.5, ("zero_shot", "tuned"), 0.0),
    "one prompt or tuned, 0.9": (0.9, ("zero_shot", "tuned"), 0.0),
    "prompt or retrieval, 0.5": (0.5, (*PROMPTS, *RAG_ARMS), 0.0),
    "one prompt or two retrievals, 0.7": (0.7, ("zero_shot", *RAG_ARMS), 0.0),
    "all six arms, 0.5": (0.5, (*PROMPTS, *RAG_ARMS, "tuned", "tuned_rag"), 0.0),
    "grouped by 6, half shared": (0.5, ("zero_shot", "tuned"), 0.5),
    "grouped by 6, all shared": (0.5, ("zero_shot", "tuned"), 1.0),
    "grouped by 6, all shared, two retrievals": (0.5, ("zero_shot", *RAG_ARMS), 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--items", type=int, default=240)
    parser.add_argument("--first", type=int, default=1, choices=range(1, len(SCENARIOS) + 1))
    arguments = parser.parse_args()
    settings = Everything.model_validate(yaml.safe_load(PARAMS))
    settings = settings.model_copy(
        update={"evaluate": settings.evaluate.model_copy(update={"bootstrap_samples": 500, "minimum_effect": 0.0})}
    )  # a minimum effect would only lower the rate
    generator = np.random.default_rng(20261122)
    for name, (score, arms, shared) in list(SCENARIOS.items())[arguments.first - 1 :]:
        decisions = Counter(
            decide(study(generator, arguments.items, score, arms, shared), settings)["decision"]
            for _ in range(arguments.studies)
        )
        rate = wilson(decisions[SHIP] + decisions[RAG], arguments.studies)
        counts = f"{decisions[SHIP]:>4} tuned {decisions[RAG]:>4} rag of {arguments.studies}"
        print(f"{name:<42} {counts}: {rate.mean:.2%} [{rate.low:.2%}, {rate.high:.2%}]", flush=True)


def study(
    generator: np.random.Generator, items: int, score: float, names: tuple[str, ...], shared: float
) -> dict[str, Any]:
    """Arms that are right equally often; a group draws the share ``shared`` of its items together."""
    groups = [str(number // GROUP) if shared else None for number in range(items)]
    rows = [{"id": str(n), "group": group, "prompt_tokens": 100} for n, group in enumerate(groups)]
    arms = {}
    for arm in names:
        together = np.repeat(generator.random(-(-items // GROUP)), GROUP)[:items]
        luck = np.where(generator.random(items) < shared, together, generator.random(items))
        arms[arm] = {"items": rows, "scores": (luck < score).astype(float)}
    return arms


if __name__ == "__main__":
    main()
