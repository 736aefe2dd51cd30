"""What the report, the model card and the terminal tell: the files of the earlier stages, read once."""

from pathlib import Path
from typing import Any, NamedTuple

from engine.core.answers import read_answers
from engine.core.artifacts import REPORTS, RESULTS
from engine.core.display import family, in_order
from engine.core.io import read_json, read_jsonl
from engine.core.params import Params
from engine.evaluation.metrics import score_items
from engine.settings.report import ReportParams


class Facts(NamedTuple):
    """What the stages before this one wrote, as they wrote it."""

    settings: ReportParams
    project: dict[str, Any]  # the answers that the project was generated from
    scores: dict[str, Any]
    cost: dict[str, Any]
    usage: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any] | None  # none in a project that does not train
    serving: dict[str, Any]
    curves: list[dict[str, float]]
    retrieval: dict[str, Any] | None  # none in a project that does not retrieve
    judge: dict[str, Any] | None  # None if no model judges
    harness: dict[str, Any] | None  # None if lm-eval does not run
    baseline: dict[str, Any]
    model: dict[str, Any]
    requests: dict[str, list[dict[str, str]]]  # item id -> the messages that it was asked with
    before: list[dict[str, Any]]  # the rows of the arm to beat, with their primary ``score``
    after: list[dict[str, Any]]  # the rows of the arm that challenges it

    @property
    def challenger(self) -> str:
        """The arm that has to show that it is better."""
        return str(self.scores["verdict"]["challenger"])

    @property
    def incumbent(self) -> str:
        """The best arm of the cheaper approaches."""
        return str(self.scores["verdict"]["best_baseline"])


def read_facts(settings: ReportParams) -> Facts:
    """Collect the files of the earlier stages. Raises `ProjectError` if one is missing."""
    scores = read_json(REPORTS / "scores.json")
    scores["arms"] = {arm: scores["arms"][arm] for arm in in_order(scores["arms"])}
    return Facts(
        settings=settings,
        project=read_answers(),
        scores=scores,
        cost=read_json(REPORTS / "measured/cost.json"),
        usage=read_json(REPORTS / "usage.json"),
        data=read_json(REPORTS / "data.json"),
        training=read_json(REPORTS / "measured/train.json") if settings.trains else None,
        serving=read_json(REPORTS / "serve.json"),
        curves=read_json(REPORTS / "curves.json") if settings.trains else [],
        retrieval=read_json(REPORTS / "retrieval.json") if settings.retrieves else None,
        judge=read_json(REPORTS / "judge.json") if settings.judges else None,
        harness=read_json(REPORTS / "harness.json") if settings.remembers else None,
        baseline=read_json(RESULTS / "baseline.json"),
        model=read_json(Path("models/base.json")),
        requests={row["id"]: row["messages"][:-1] for row in read_jsonl(Path("data/eval/test.jsonl"))},
        before=answered(scores["verdict"]["best_baseline"], settings),
        after=answered(scores["verdict"]["challenger"], settings),
    )


def answered(arm: str, settings: ReportParams) -> list[dict[str, Any]]:
    """The rows of an arm with their primary metric as ``score``."""
    rows = read_jsonl(RESULTS / ("tuned" if family(arm) == "tuned" else "baseline") / f"{arm}.jsonl")
    scores = score_items(rows, settings)[settings.evaluate.primary_metric]
    return [row | {"score": score} for row, score in zip(rows, scores, strict=True)]


def served_manifest(settings: Params) -> Path:
    """The manifest of the weights that would be served: the tuned ones, or the untouched ones."""
    return Path("models/served.json" if settings.trains else "models/base.json")
