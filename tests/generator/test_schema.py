"""The schema is the one definition: valid itself, in step with the catalogues and with everything derived from it."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tunesmith import catalog, derive
from tunesmith.questions import Question, defaults, groups, knobs, questions, schema

REPOSITORY = Path(__file__).resolve().parents[2]
ALL = [pytest.param(question, id=key) for key, question in questions().items()]


def test_the_schema_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_the_defaults_are_a_valid_spec() -> None:
    Draft202012Validator(schema()).validate(defaults())


def test_the_published_schema_alone_knows_the_cross_field_rules() -> None:
    broken = [
        {"model": "custom"},
        {"model_source": "hub", "model_id": "a/b"},
        {"primary_metric": "label_accuracy", "label_key": ""},
    ]
    assert not any(Draft202012Validator(schema()).is_valid(spec) for spec in broken)


@pytest.mark.parametrize("question", ALL)
def test_a_question_explains_itself(question: Question) -> None:
    assert question.title and question.description.endswith(".") and question.why.endswith(".")
    assert question.group in groups()
    assert set(question.when) <= set(questions())


def test_models_and_hardware_are_those_of_the_catalogues() -> None:
    assert list(questions()["model"].enum) == [*catalog.models(), "custom"]
    assert list(questions()["hardware"].enum) == list(catalog.hardware())


def test_the_knobs_are_known() -> None:
    assert {key for key, question in knobs().items() if question.knob == "planner"} == {
        "learning_rate", "max_steps", "max_length", "micro_batch_size", "gradient_accumulation_steps", "compute_dtype",
        "evaluation_batch_size",
        "activation_checkpointing", "attention_implementation", "optimizer", "lora_rank", "lora_targets",
    }  # fmt: skip


def test_copier_asks_the_questions_of_the_schema() -> None:
    written = (REPOSITORY / "copier.yml").read_text(encoding="utf-8")
    assert written == derive.copier_file(written), "run: python -m tunesmith.questions --write"


def test_the_reference_page_is_that_of_the_schema() -> None:
    written = (REPOSITORY / "docs" / "spec.md").read_text(encoding="utf-8")
    assert written == derive.docs_page(), "run: python -m tunesmith.questions --write"
