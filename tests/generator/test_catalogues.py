"""The catalogues: figures that agree with one another, and a support matrix without holes."""

import datetime as dt
import itertools

import pytest

from tunesmith import catalog
from tunesmith.catalog import Model
from tunesmith.questions import defaults, questions

MODELS = [pytest.param(model, id=key) for key, model in catalog.models().items()]
AXES = ("approach", "backend", "objective", "method", "dataset_format", "serving", "tracker")
BUILT = {
    "approach": {"finetune"},
    "backend": {"trl"},
    "objective": {"sft"},
    "method": {"qlora", "lora", "rslora", "dora", "full"},
    "dataset_format": {"jsonl", "alpaca", "sharegpt", "messages"},
    "serving": {"local"},
    "tracker": {"none"},
}


@pytest.mark.parametrize("model", MODELS)
def test_the_parameter_count_follows_from_the_architecture(model: Model) -> None:
    shape = model.architecture
    width, queries = shape["hidden_size"], shape["attention_heads"] * shape["head_size"]
    keys = shape["key_value_heads"] * shape["head_size"]
    layer = 2 * width * queries + 2 * width * keys + 3 * width * shape["intermediate_size"] + 2 * width
    layer += (queries + 2 * keys) * shape["attention_bias"] + 2 * shape["head_size"] * shape["query_key_norm"]
    embeddings = shape["vocabulary"] * width * (1 if shape["tied_embeddings"] else 2)
    assert model.parameters == shape["layers"] * layer + width + embeddings


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_pinned_or_asks_for_its_pin(model: Model) -> None:
    if model.source == "package":
        assert "==" in model.id and model.file and len(model.sha256) == 64
    else:
        assert model.source == "hub" and model.id.count("/") == 1


def test_prices_are_intervals_with_a_source() -> None:
    for row in catalog.hardware().values():
        price = row.usd_per_hour
        assert 0 < price["low"] <= price["typical"] <= price["high"], row.key
        assert row.source and row.memory_gib > 0


def test_a_price_goes_stale_after_ninety_days() -> None:
    row = catalog.hardware()["a100_80gb"]
    assert not row.stale(row.date + dt.timedelta(days=90))
    assert row.stale(row.date + dt.timedelta(days=91))


def test_every_combination_is_built_or_refused_with_a_reason() -> None:
    """Every pair of values of two axes, with the built defaults on the others."""
    pairs = itertools.chain.from_iterable(
        itertools.product([one], questions()[one].enum, [other], questions()[other].enum)
        for one, other in itertools.combinations(AXES, 2)
    )
    for one, value, other, second in pairs:
        answers = defaults() | {one: value, other: second}
        refusals = catalog.refusals(answers)
        built = all(answers[axis] in BUILT[axis] for axis in AXES)
        assert built == (not refusals), answers
        assert all(refusal.reason and refusal.instead for refusal in refusals)


def test_the_rules_name_values_that_exist() -> None:
    for rule in itertools.chain(*catalog.support_rules().values()):
        for key, values in rule["when"].items():
            assert set(values) <= set(questions()[key].enum)
        for key, value in rule["instead"].items():
            assert value in questions()[key].enum


def test_impossible_and_planned_are_told_apart() -> None:
    impossible = catalog.refusals(defaults() | {"objective": "ppo", "dataset_format": "prompt_only"})
    assert [str(refusal) for refusal in impossible if "rloo" in str(refusal) and "TRL" in str(refusal)]
    (planned,) = catalog.refusals(defaults() | {"serving": "vllm"})
    assert str(planned).startswith("planned, not built yet")
