"""Stage `harness`: lm-evaluation-harness runs the base and the tuned model, on the benchmark and on other things.

On the benchmark it is a second opinion: its prompts must be the arms' own, token for token, and an answer that it gives
too must score the same. On the suites it shows what tuning made the model forget.
"""

import sys

from engine.core.artifacts import HARNESS_REPORT, SUITES, TEST
from engine.core.device import prepare
from engine.core.errors import run_stage
from engine.core.io import read_jsonl, write_json
from engine.core.params import load
from engine.evaluation.lm_eval.forgetting import Choice, HarnessReport, Opinion
from engine.evaluation.lm_eval.harness import (
    BARE,
    SMOKE_ITEMS,
    choose,
    compare_suite,
    keep,
    policies,
    second_opinion,
    told,
)
from engine.evaluation.lm_eval.runner import Engine, Run, check_suites
from engine.evaluation.lm_eval.tasks import sayable
from engine.models.base import base_model
from engine.models.merge_adapter import served_model
from engine.settings.harness import HarnessParams
from engine.settings.train import TrainParams


class Settings(HarnessParams, TrainParams):
    """What this stage reads of params.yaml."""


def main() -> None:
    settings = load(Settings)
    check_suites(settings.harness.suites, SUITES)
    items = read_jsonl(TEST)[: SMOKE_ITEMS if settings.smoke else settings.harness.domain_items]
    folders = {
        "base": base_model(settings),
        "tuned": served_model(settings, settings.train, prepare(settings.seed, settings.train.compute_dtype)),
    }
    domain: dict[str, Opinion] = {}
    choices: dict[str, Choice] = {}
    suites: dict[str, dict[str, Run]] = {name: {} for name in settings.harness.suites}
    for model, folder in folders.items():
        engine = Engine(folder, prepare(settings.seed), settings.evaluate.batch_size)
        for arm, policy in policies(model, items, settings):
            domain[arm] = second_opinion(engine, arm, policy, items, settings)
            print(f"{arm}: {told(domain[arm])}", flush=True)
            if arm == BARE[model] and sayable(items):
                choices[model] = choose(engine, f"{model}_choice", policy, items, settings)
        for name, runs in suites.items():
            runs[model] = engine.run(
                name, SUITES, items=SMOKE_ITEMS if settings.smoke else settings.harness.suite_items
            )
            keep(runs[model], name, model)
    compared = {name: compare_suite(name, runs, settings) for name, runs in suites.items()}
    for name, found in compared.items():
        print(f"{name}: {found.base.mean:.3f} before, {found.tuned.mean:.3f} after: {found.status}")
    report = HarnessReport(smoke=settings.smoke, domain=domain, choice=choices, suites=compared)
    write_json(HARNESS_REPORT, report)


if __name__ == "__main__":
    sys.exit(run_stage(main))
