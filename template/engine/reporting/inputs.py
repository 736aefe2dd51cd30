"""What the report, the model card and the terminal tell: the files of the earlier stages, read once."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.core import artifacts
from engine.core.answers import read_answers
from engine.core.display import in_order
from engine.core.io import read, read_json, read_jsonl
from engine.core.params import Params
from engine.costing.results import CostReport, UsageReport
from engine.evaluation.metrics import score_items
from engine.evaluation.results import Scores, ServingReport
from engine.inference.results import BaselineRecord, RetrievalReport, Row, read_arm
from engine.models.run_record import RunRecord
from engine.settings.report import ReportParams


class Scored(NamedTuple):
    """A row with its primary score."""

    row: Row
    score: float


class Facts(NamedTuple):
    """What the stages before this one wrote, as they wrote it."""

    settings: ReportParams
    project: dict[str, Any]  # the answers that the project was generated from
    scores: Scores
    cost: CostReport
    usage: UsageReport
    data: dict[str, Any]
    training: RunRecord | None  # none in a project that does not train
    serving: ServingReport
    curves: list[dict[str, float]]
    retrieval: RetrievalReport | None  # none in a project that does not retrieve
    judge: Any  # a `JudgeReport`; None if no model judges
    harness: Any  # a `HarnessReport`; None if lm-eval does not run
    baseline: BaselineRecord
    model: dict[str, Any]
    requests: dict[str, list[dict[str, str]]]  # item id -> the messages that it was asked with
    before: list[Scored]  # of the arm to beat
    after: list[Scored]  # of the arm that challenges it

    @property
    def challenger(self) -> str:
        """The arm that has to show that it is better."""
        return self.scores.verdict.challenger

    @property
    def incumbent(self) -> str:
        """The best arm of the cheaper approaches."""
        return self.scores.verdict.best_baseline


def read_facts(settings: ReportParams) -> Facts:
    """Collect the files of the earlier stages. Raises `ProjectError` if one is missing."""
    scores = read(artifacts.SCORES, Scores, "evaluate")
    return Facts(
        settings=settings,
        project=read_answers(),
        scores=msgspec.structs.replace(scores, arms={arm: scores.arms[arm] for arm in in_order(scores.arms)}),
        cost=read(artifacts.MEASURED_COST, CostReport, "cost"),
        usage=read(artifacts.USAGE, UsageReport, "cost"),
        data=read_json(artifacts.DATA_REPORT),
        training=read(artifacts.MEASURED_TRAINING, RunRecord, "train") if settings.trains else None,
        serving=read(artifacts.SERVING_REPORT, ServingReport, "serve"),
        curves=read_json(artifacts.CURVES) if settings.trains else [],
        retrieval=read(artifacts.RETRIEVAL_REPORT, RetrievalReport, "index") if settings.retrieves else None,
        judge=read_judge() if settings.judges else None,
        harness=read_harness() if settings.measures_forgetting else None,
        baseline=read(artifacts.BASELINE_RECORD, BaselineRecord, "baseline"),
        model=read_json(artifacts.BASE_MANIFEST),
        requests={row["id"]: row["messages"][:-1] for row in read_jsonl(artifacts.TEST)},
        before=answered(scores.verdict.best_baseline, settings),
        after=answered(scores.verdict.challenger, settings),
    )


def read_judge() -> Any:
    """What the judge found. A project without a judge has no such module."""
    from engine.evaluation.judge.report import JudgeReport  # type: ignore[import-not-found, unused-ignore]

    return read(artifacts.JUDGE_REPORT, JudgeReport, "judge")


def read_harness() -> Any:
    """What lm-eval found. A project without it has no such module."""
    from engine.evaluation.lm_eval import forgetting  # type: ignore[import-not-found, unused-ignore]

    return forgetting.read_harness()


def answered(arm: str, settings: ReportParams) -> list[Scored]:
    """The rows of an arm with their primary scores."""
    rows = read_arm(arm)
    scores = score_items(rows, settings)[settings.evaluate.primary_metric]
    return [Scored(row, score) for row, score in zip(rows, scores, strict=True)]


def served_manifest(settings: Params) -> Path:
    """The manifest of the weights that would be served: the tuned ones, or the untouched ones."""
    return artifacts.SERVED_MANIFEST if settings.trains else artifacts.BASE_MANIFEST
