"""evals/: your metrics give scores, and your schema is one that answers can be checked against."""

import json
import math
from pathlib import Path

import pytest
from conftest import ROOT
from jsonschema import Draft202012Validator

from engine.core.artifacts import ANSWER_SCHEMA, TEST
from engine.core.io import read_jsonl
from engine.core.params import load
from engine.evaluation.metrics import score_items
from engine.inference.results import Answered
from engine.settings.evaluate import EvaluateParams
from evals.metrics import METRICS

TEXTS = ["", "yes", "The meeting is at 9.", '{"intent": "on", "slots": {"name": "lamp"}}', "{", "é 漢"]


@pytest.mark.parametrize("expected", TEXTS)
@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_of_ours_scores_any_answer_between_0_and_1(metric: str, expected: str) -> None:
    for answer in TEXTS:
        score = METRICS[metric](expected, answer)
        assert math.isfinite(score) and 0 <= score <= 1, (expected, answer)


def test_the_right_answer_has_the_full_score(at_root: Path) -> None:
    right = Answered(id="0", label=None, group=None, expected=TEXTS[3], answer=TEXTS[3])
    settings = load(EvaluateParams)
    assert score_items([right], settings)[settings.evaluate.primary_metric] == [1.0]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json.loads((ROOT / ANSWER_SCHEMA).read_text("utf-8")))


@pytest.mark.skipif(not (ROOT / TEST).exists(), reason="the benchmark is not here yet: `dvc repro curate`")
def test_reference_answers_follow_the_schema() -> None:
    schema = json.loads((ROOT / ANSWER_SCHEMA).read_text("utf-8"))
    if schema.get("type") != "object":
        pytest.skip("the answers of this project are no JSON objects")
    validator = Draft202012Validator(schema)
    wrong = [item["id"] for item in read_jsonl(ROOT / TEST) if not valid(validator, item["messages"][-1]["content"])]
    assert wrong == []


def valid(validator: Draft202012Validator, text: str) -> bool:
    return bool(validator.is_valid(json.loads(text)))
