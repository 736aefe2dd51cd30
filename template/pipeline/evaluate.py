"""Stage `evaluate`: every arm's scores with intervals, the verdict, slices and worst regressions."""

import sys
from collections.abc import Mapping, Sequence

from engine.core.artifacts import ARMS_PLOT, BENCHMARK, CONFUSION_PLOT, SCORES, TEST
from engine.core.errors import run_stage
from engine.core.io import read_json, read_jsonl, write_json
from engine.core.params import load
from engine.evaluation.diagnostics import secondary_of
from engine.evaluation.metrics import confusion, has_labels, score_items, summarise
from engine.evaluation.paired_comparison import compare
from engine.evaluation.results import Scores
from engine.evaluation.scores import languages, pairs, read_arms, slices
from engine.evaluation.statistics import power_table
from engine.evaluation.verdict import Arm, decide
from engine.inference.results import Answered, Row
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


def score(arms: Mapping[str, list[Row]], settings: EvaluateParams) -> Scores:
    """Every metric of every arm with its interval, the verdict, and every pair of arms."""
    primary = settings.evaluate.primary_metric
    scores = {arm: score_items(rows, settings) for arm, rows in arms.items()}
    judged = {arm: found[primary] for arm, found in scores.items()}
    verdict = decide({arm: Arm(rows, judged[arm]) for arm, rows in arms.items()}, settings)
    groups = [row.group for row in next(iter(arms.values()))]
    deciding = compare(judged[verdict.challenger], judged[verdict.best_baseline], groups, settings)
    return Scores(
        smoke=settings.smoke,
        items=len(groups),
        benchmark_sha256=read_json(BENCHMARK)["sha256"],
        primary_metric=primary,
        arms={arm: summarise(rows, settings, scores[arm]) for arm, rows in arms.items()},
        secondary=secondary_of(arms, settings),
        verdict=verdict,
        pairs=pairs(judged, groups, settings),
        power=power_table(deciding.disagreement, alpha=settings.evaluate.alpha),
        slices=slices(judged, next(iter(arms.values())), languages(read_jsonl(TEST))),
    )


def plot_rows(scores: Scores) -> list[dict[str, str | float]]:
    """The primary metric of each arm, as DVC plots it."""
    return [{"arm": arm, "score": m.mean, "low": m.low, "high": m.high} for arm, m in scores.primary.items()]


def confusion_rows(rows: Sequence[Answered], label_key: str) -> list[dict[str, str]]:
    """The labels that are given and those that are right, as DVC's template `confusion` counts them; none if the label
    only describes an item.
    """
    return confusion(rows, label_key) if has_labels(rows, label_key) else []


if __name__ == "__main__":
    sys.exit(run_stage(main))
