"""Stage `cost`: what each arm costs to run, what training cost, and after how many requests it pays for itself.

Measured tokens and seconds times the prices in ``prices.yaml``. Tokens are the same on every run and make the DVC
out; seconds and so dollars are not.
"""

import sys

from engine.core.artifacts import MEASURED_BASELINE, MEASURED_COST, MEASURED_TRAINING, MEASURED_TUNED, SCORES, USAGE
from engine.core.device import cpu_name
from engine.core.display import ENDPOINT
from engine.core.errors import run_stage
from engine.core.io import read, write_json
from engine.core.params import load
from engine.costing.arm_costs import (
    ASSUMPTIONS,
    arm_cost,
    break_even,
    hosted_cost,
    read_price,
    read_prices,
    readable_prices,
    summary,
    training_cost,
    usage,
    warnings,
)
from engine.costing.plan_vs_actual import beside_the_plan
from engine.costing.results import CostReport, Machine, UsageReport, as_range
from engine.costing.tco import Study, total_cost
from engine.costing.training_run import read_training
from engine.evaluation.results import Scores
from engine.inference.results import Measurement
from engine.settings.cost import CostParams


def main() -> None:
    settings = load(CostParams)
    knobs, machine = settings.cost, read_price(settings.cost.hardware)
    arms = read(MEASURED_BASELINE, dict[str, Measurement], "baseline")
    training = None
    if settings.trains:
        arms |= read(MEASURED_TUNED, dict[str, Measurement], "tuned")
        training = read_training(MEASURED_TRAINING)
    scores = read(SCORES, Scores, "evaluate")
    best, challenger = scores.verdict.best_baseline, scores.verdict.challenger
    tuned = challenger if training else None
    hosted = hosted_cost(arms)
    # Machines of one's own serve local arms only; the plan knows of no others.
    local = {arm: measure for arm, measure in arms.items() if not arm.startswith(ENDPOINT)}
    own = best if best in local else scores.best_local
    with readable_prices():
        ownership = total_cost(read_prices(), knobs, Study(local, own, tuned, training))
    report = CostReport(
        hardware=Machine(
            key=knobs.hardware,
            title=machine.title,
            usd_per_hour=machine.amount and as_range(machine.amount),
            source=machine.source,
            date=machine.date or None,
        ),
        measured_on=training.device if training else cpu_name(),
        utilisation=knobs.utilisation,
        monthly_requests=knobs.monthly_requests,
        arms={arm: arm_cost(arm, measure, machine.amount, knobs) for arm, measure in arms.items()},
        hosted=hosted,
        training=training_cost(training, machine.amount) if training else None,
        break_even=break_even(best, challenger, arms, training, machine.amount, knobs) if training else None,
        warnings=warnings(settings, machine, training, arms),
        assumptions=ASSUMPTIONS,
        ownership=ownership,
        plan=beside_the_plan(local, tuned, training, machine.amount, knobs.utilisation),
    )
    write_json(MEASURED_COST, report)
    write_json(USAGE, UsageReport(arms={arm: usage(measure) for arm, measure in arms.items()}))
    for warning in report.warnings:
        print(f"warning: {warning}")
    print(summary(report))


if __name__ == "__main__":
    sys.exit(run_stage(main))
