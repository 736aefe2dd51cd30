"""The schema is the one definition: valid itself, in step with the catalogues and with everything derived from it."""

import itertools
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tunesmith import catalog, codegen
from tunesmith.json_schema import published_schema
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


def test_an_editor_refuses_what_the_support_matrix_refuses() -> None:
    """Every pair of answers that the matrix speaks of, written or left to its default."""
    published = Draft202012Validator(published_schema())
    rules = [rule for rows in catalog.support_rules().values() for rule in rows]
    named = sorted({key for rule in rules for key in rule["when"]})
    refused = set()
    for first, second in itertools.combinations(named, 2):
        for values in itertools.product(questions()[first].enum, questions()[second].enum):
            spec = dict(zip((first, second), values, strict=True))
            reasons = [str(refusal) for refusal in catalog.load().refusals(defaults() | spec)]
            assert published.is_valid(spec) == (not reasons), (spec, reasons)
            refused.add(published.is_valid(spec))
    assert refused == {True, False}


def test_an_editor_shows_the_reason_at_the_key_that_was_written() -> None:
    (error, *_) = Draft202012Validator(published_schema()).iter_errors({"objective": "ppo"})
    assert list(error.path) == ["objective"]
    assert "TRL removed PPO" in error.schema["errorMessage"]


@pytest.mark.parametrize("question", ALL)
def test_a_question_explains_itself(question: Question) -> None:
    assert question.title and question.description.endswith(".") and question.why.endswith(".")
    assert question.group in groups()
    assert set(question.when) <= set(questions())


def test_models_and_hardware_are_those_of_the_catalogues() -> None:
    assert list(questions()["model"].enum) == [*catalog.load().models, "custom"]
    assert list(questions()["hardware"].enum) == list(catalog.load().hardware)
    processors = [row.key for row in catalog.load().hardware.values() if row.cpu]
    assert questions()["devices"].when["hardware"] == {"not": processors}, "processors do not train together"


def test_the_knobs_are_known() -> None:
    assert {key for key, question in knobs().items() if question.knob == "planner"} == {
        "learning_rate", "max_steps", "max_length", "micro_batch_size", "gradient_accumulation_steps", "compute_dtype",
        "evaluation_batch_size",
        "activation_checkpointing", "attention_implementation", "optimizer", "lora_rank", "lora_targets",
        "sharding",
    }  # fmt: skip


def test_copier_asks_the_questions_of_the_schema() -> None:
    written = (REPOSITORY / "copier.yml").read_text(encoding="utf-8")
    assert written == codegen.copier_file(written), "run: python -m tunesmith.codegen --write"


def test_the_published_schema_is_that_of_the_schema_and_the_matrix() -> None:
    written = json.loads((REPOSITORY / "docs" / "spec.schema.json").read_text(encoding="utf-8"))
    assert written == published_schema(), "run: python -m tunesmith.codegen --write"


def test_the_reference_page_is_that_of_the_schema() -> None:
    written = (REPOSITORY / "docs" / "spec.md").read_text(encoding="utf-8")
    assert written == codegen.docs_page(), "run: python -m tunesmith.codegen --write"
