"""How often the verdict ships a model that is no better: simulated studies in which every arm has the same true score.

    python benchmarks/false_ship_rate.py [--studies 2000] [--items 240]

Prints the rate for independent items and for grouped ones (the items of a group share part of their fate), with its
Wilson interval. The verdict promises at most 5%.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "template"), str(ROOT / "tests/pipeline")]

import msgspec  # noqa: E402
import yaml  # noqa: E402
from finished_project import PARAMS  # noqa: E402

from pipeline.settings import Settings  # noqa: E402
from pipeline.statistics import wilson  # noqa: E402
from pipeline.verdict import SHIP, decide  # noqa: E402

GROUP = 6  # items of one group
SCENARIOS = {  # name -> (true score of every arm, baselines, share of an item's luck that its group decides)
    "independent, score 0.5, 2 baselines": (0.5, 2, 0.0),
    "independent, score 0.5, 1 baseline": (0.5, 1, 0.0),
    "independent, score 0.9, 1 baseline": (0.9, 1, 0.0),
    "grouped by 6, half shared, 1 baseline": (0.5, 1, 0.5),
    "grouped by 6, all shared, 1 baseline": (0.5, 1, 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--items", type=int, default=240)
    arguments = parser.parse_args()
    settings = msgspec.convert(yaml.safe_load(PARAMS), Settings)
    settings = msgspec.structs.replace(
        settings, evaluate=msgspec.structs.replace(settings.evaluate, bootstrap_samples=500, minimum_effect=0.0)
    )  # a minimum effect would only lower the rate
    generator = np.random.default_rng(20261122)
    for name, (score, baselines, shared) in SCENARIOS.items():
        shipped = sum(
            decide(study(generator, arguments.items, score, baselines, shared), settings)["decision"] == SHIP
            for _ in range(arguments.studies)
        )
        rate = wilson(shipped, arguments.studies)
        print(f"{name:<40} {shipped:>4} of {arguments.studies}: {rate.mean:.2%} [{rate.low:.2%}, {rate.high:.2%}]")


def study(generator: np.random.Generator, items: int, score: float, baselines: int, shared: float) -> dict[str, Any]:
    """Arms that are right equally often; a group draws the share ``shared`` of its items together."""
    groups = [str(number // GROUP) if shared else None for number in range(items)]
    rows = [{"id": str(n), "group": group, "prompt_tokens": 100} for n, group in enumerate(groups)]
    arms = {}
    for arm in [*(f"baseline_{number}" for number in range(baselines)), "tuned"]:
        together = np.repeat(generator.random(-(-items // GROUP)), GROUP)[:items]
        luck = np.where(generator.random(items) < shared, together, generator.random(items))
        arms[arm] = {"items": rows, "scores": (luck < score).astype(float)}
    return arms


if __name__ == "__main__":
    main()
