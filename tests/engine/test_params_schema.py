"""The schema of params.yaml that editors read says what the stages check."""

import json
from pathlib import Path

import jsonschema
import pytest

import engine
from engine.tools.params_schema import SCHEMA, schema

ROOT = Path(engine.__file__).parents[1]


def test_the_schema_is_up_to_date() -> None:
    assert json.loads((ROOT / SCHEMA).read_text("utf-8")) == schema(), "run `python -m engine.tools.params_schema`"


@pytest.mark.parametrize(
    ("group", "value", "accepted"),
    [
        ("gate", {"verdict": "ships", "allow_contamination": False, "minimum_parity": 0.9}, True),
        ("gate", {"verdict": "shipz", "allow_contamination": False, "minimum_parity": 0.9}, False),
        ("gate", {"verdict": "ships", "allow_contamination": False, "minimum_parity": 2}, False),
        ("gate", {"verdict": "ships", "allow_contamination": False, "minimum_parity": 0.9, "mine": 1}, False),
        ("train", None, True),  # a project that trains nothing has no such group
    ],
)
def test_a_wrong_value_is_marked(group: str, value: object, accepted: bool) -> None:
    """Group by group; `required` would speak of those that are not given."""
    checked = jsonschema.Draft202012Validator({**schema(), "required": []})
    assert checked.is_valid({group: value}) is accepted
