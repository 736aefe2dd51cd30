"""Stage `gate`, the last one: the verdict on the terminal, and an exit code that CI can trust."""

import sys

from engine.core.artifacts import (
    BASELINE_RECORD,
    DATA_REPORT,
    HARNESS_REPORT,
    RETRIEVAL_REPORT,
    SCORES,
    SERVING_REPORT,
    VERDICT,
)
from engine.core.errors import ProjectError, run_stage
from engine.core.io import read_json
from engine.core.params import load
from engine.evaluation.gate_checks import refused_data, refused_measurement, refused_verdict, regressions
from engine.reporting.terminal import remembered, tell
from engine.settings.gate import GateParams


def main() -> None:
    settings = load(GateParams)
    verdict = read_json(VERDICT)
    print(tell(verdict, settings))
    scores = read_json(SCORES)
    failures = [
        *refused_measurement(settings, verdict, read_json(SERVING_REPORT), read_json(BASELINE_RECORD), scores),
        *refused_data(settings, read_json(DATA_REPORT), read_json(RETRIEVAL_REPORT) if settings.retrieves else None),
        *refused_verdict(settings, verdict),
    ]
    if settings.remembers:
        suites = read_json(HARNESS_REPORT)["suites"]
        print(remembered(suites))
        failures += [] if verdict["smoke"] else regressions(settings, suites)
    if failures:
        raise ProjectError(
            "\n  ".join(["refused by the gate", *failures]), "params.yaml: gate", f"read {verdict['report']}"
        )


if __name__ == "__main__":
    sys.exit(run_stage(main))
