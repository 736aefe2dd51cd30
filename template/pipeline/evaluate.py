"""Stage `evaluate`: every arm's scores with intervals, the verdict, slices and worst regressions."""

import sys

from engine.core.artifacts import ARMS_PLOT, CONFUSION_PLOT, SCORES
from engine.core.errors import run_stage
from engine.core.io import write_json
from engine.core.params import load
from engine.evaluation.scores import confusion_rows, plot_rows, read_arms, score
from engine.settings.evaluate import EvaluateParams


def main() -> None:
    settings = load(EvaluateParams)
    arms = read_arms(settings)
    scores = score(arms, settings)
    write_json(SCORES, scores)
    if settings.curate.label_key:
        write_json(CONFUSION_PLOT, confusion_rows(arms[scores.verdict.challenger], settings.curate.label_key))
    write_json(ARMS_PLOT, plot_rows(scores))
    print(f"{scores.verdict.decision}: {scores.verdict.reason}")


if __name__ == "__main__":
    sys.exit(run_stage(main))
