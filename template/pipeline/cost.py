"""Stage `cost`: what each arm costs to run, what training cost, and after how many requests it pays for itself.

Measured tokens and seconds times the prices in ``prices.yaml``. Tokens are the same on every run and make the DVC
out; seconds and so dollars are not.
"""

import sys
from typing import Any

from engine.core.artifacts import MEASURED, MEASURED_COST, SCORES, USAGE
from engine.core.device import cpu_name
from engine.core.display import ENDPOINT, best_local
from engine.core.errors import run_stage
from engine.core.io import read_json, write_json
from engine.core.params import load
from engine.costing.arm_costs import (
    ASSUMPTIONS,
    arm_cost,
    as_dict,
    break_even,
    hosted_cost,
    read_price,
    read_prices,
    readable_prices,
    summary,
    tokens_per_request,
    training_cost,
    usd_per_1000,
    warnings,
)
from engine.costing.plan_vs_actual import beside_the_plan
from engine.costing.tco import Study, total_cost
from engine.costing.training_run import read_training
from engine.settings.cost import CostParams


def main() -> None:
    settings = load(CostParams)
    machine = read_price(settings.cost.hardware)
    arms = read_json(MEASURED / "baseline.json")
    training = None
    if settings.trains:
        arms |= read_json(MEASURED / "tuned.json")
        training = read_training(MEASURED / "train.json")
    scores = read_json(SCORES)
    verdict = scores["verdict"]
    best, tuned = verdict["best_baseline"], verdict["challenger"] if training else None
    report: dict[str, Any] = {
        "hardware": machine | {"key": settings.cost.hardware, "usd_per_hour": as_dict(machine["usd_per_hour"])},
        "measured_on": training["device"] if training else cpu_name(),
        "utilisation": settings.cost.utilisation,
        "monthly_requests": settings.cost.monthly_requests,
        "arms": {
            arm: arm_cost(measure, usd_per_1000(arm, measure, machine["usd_per_hour"], settings.cost), settings.cost)
            for arm, measure in arms.items()
        },
        "hosted": hosted_cost(arms),
        "training": training_cost(training, machine["usd_per_hour"]) if training else None,
        "break_even": break_even(verdict, arms, training, machine["usd_per_hour"], settings.cost) if training else None,
        "warnings": warnings(settings, machine, training, arms),
        "assumptions": ASSUMPTIONS,
    }
    # Machines of one's own serve local arms only; the plan knows of no others.
    local = {arm: measure for arm, measure in arms.items() if not arm.startswith(ENDPOINT)}
    with readable_prices():
        own = best if best in local else best_local(scores)
        report["ownership"] = total_cost(read_prices(), settings.cost, Study(local, own, tuned, training))
    report["plan"] = beside_the_plan(local, tuned, training, machine["usd_per_hour"], settings.cost.utilisation)
    write_json(MEASURED_COST, report)
    write_json(USAGE, {"arms": {arm: tokens_per_request(measure) for arm, measure in arms.items()}})
    for warning in report["warnings"]:
        print(f"warning: {warning}")
    print(summary(report))


if __name__ == "__main__":
    sys.exit(run_stage(main))
