"""The planner's choices, each with a reason."""

import itertools
from typing import Any

from tunesmith import catalog
from tunesmith.planner.resolve import Choice
from tunesmith.planner.resolve import resolve as resolve_knobs
from tunesmith.questions import defaults, knobs, questions
from tunesmith.spec import Problem, value_problems

CATALOGUE = catalog.load()


def resolve(answers: dict[str, Any]) -> dict[str, Choice]:
    return resolve_knobs(CATALOGUE, answers)


def test_the_default_project_is_planned_as_plain_copier_would_render_it() -> None:
    planned = {key: choice.value for key, choice in resolve(defaults()).items()}
    for key, question in knobs().items():
        if question.knob == "planner":
            assert planned[key] == question.default, key


def test_every_choice_is_an_allowed_value_with_a_reason() -> None:
    found: list[Problem] = []
    for model, hardware, method in itertools.product(
        questions()["model"].enum, CATALOGUE.hardware, questions()["method"].enum
    ):
        for key, choice in resolve(defaults() | {"model": model, "hardware": hardware, "method": method}).items():
            assert choice.reason
            found += value_problems(CATALOGUE, key, choice.value)
    assert not found


def test_a_gpu_gets_the_precision_that_it_has() -> None:
    assert resolve(defaults() | {"hardware": "t4"})["compute_dtype"].value == "fp16"
    assert resolve(defaults() | {"hardware": "l4"})["compute_dtype"].value == "bf16"


def test_a_large_model_on_a_small_card_is_cut_into_pieces() -> None:
    plan = resolve(defaults() | {"model": "qwen3-8b", "hardware": "t4", "method": "qlora"})
    assert plan["activation_checkpointing"].value is True
    assert plan["micro_batch_size"].value * plan["gradient_accumulation_steps"].value == 16
