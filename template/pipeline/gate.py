"""Stage `gate`, the last one: the verdict on the terminal, and an exit code that CI can trust."""

import sys

from engine.core.artifacts import (
    BASELINE_RECORD,
    DATA_REPORT,
    RETRIEVAL_REPORT,
    SCORES,
    SERVING_REPORT,
    VERDICT,
)
from engine.core.errors import ProjectError, run_stage
from engine.core.io import read, read_json
from engine.core.params import load, needed
from engine.evaluation.gate_checks import refused_data, refused_measurement, refused_verdict
from engine.evaluation.results import Scores, ServingReport
from engine.inference.results import BaselineRecord, RetrievalReport
from engine.reporting.terminal import tell
from engine.reporting.verdict_file import VerdictFile
from engine.settings.gate import GateParams


def main() -> None:
    settings = load(GateParams)
    verdict, scores = read(VERDICT, VerdictFile, "report"), read(SCORES, Scores, "evaluate")
    print(tell(verdict, settings))
    serving = read(SERVING_REPORT, ServingReport, "serve")
    baseline = read(BASELINE_RECORD, BaselineRecord, "baseline")
    retrieval = read(RETRIEVAL_REPORT, RetrievalReport, "index") if settings.retrieves else None
    failures = [
        *refused_measurement(settings, scores, serving, baseline),
        *refused_data(settings, read_json(DATA_REPORT), retrieval),
        *refused_verdict(settings, scores),
    ]
    if settings.measures_forgetting:
        from engine.evaluation.lm_eval.forgetting import (  # type: ignore[import-not-found, unused-ignore]
            forgetting_table,
            read_harness,
            regressions,
        )

        suites = read_harness().suites
        print(forgetting_table(suites))
        if settings.gate.require_no_regression and not scores.smoke:
            failures += regressions(suites, needed(settings.harness, "harness").margin)
    if failures:
        raise ProjectError(
            "\n  ".join(["refused by the gate", *failures]), "params.yaml: gate", f"read {verdict.report}"
        )


if __name__ == "__main__":
    sys.exit(run_stage(main))
