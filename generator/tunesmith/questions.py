"""The questions, read from schemas/spec.schema.json, the one definition; copier.yml and docs/spec.md come from it.

``python -m tunesmith.questions --write`` refreshes both; ``--check`` fails when they differ.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tunesmith import resources

PLANNER = "planner"
CATALOGUE = "catalogue"


@dataclass(frozen=True)
class Question:
    """One key of the spec. ``when`` maps keys to the value (or values) under which the question matters."""

    key: str
    title: str
    description: str
    why: str
    group: str
    type: str
    default: Any
    enum: tuple[Any, ...] = ()
    unit: str = ""
    knob: str = ""  # "planner" or "catalogue": computed unless the spec pins it
    multiline: bool = False
    pattern_help: str = ""
    when: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)  # minimum, maximum, pattern... as in the schema

    def applies(self, answers: Mapping[str, Any]) -> bool:
        """Whether the question matters, given the other answers."""
        return all(answers.get(key) in _values(value) for key, value in self.when.items())


LIMITS = ("minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength", "pattern")


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a spec."""
    loaded: dict[str, Any] = json.loads(resources.schema_file("spec.schema.json").read_text(encoding="utf-8"))
    return loaded


@cache
def questions() -> dict[str, Question]:
    """All questions by key, in the order in which they are asked."""
    return {key: _question(key, definition) for key, definition in schema()["properties"].items()}


def _question(key: str, definition: Mapping[str, Any]) -> Question:
    return Question(
        key=key,
        title=definition["title"],
        description=definition["description"],
        why=definition["x-why"],
        group=definition["x-group"],
        type=definition["type"],
        default=definition["default"],
        enum=tuple(definition.get("enum", ())),
        unit=definition.get("x-unit", ""),
        knob=definition.get("x-knob", ""),
        multiline=definition.get("x-multiline", False),
        pattern_help=definition.get("x-pattern-help", ""),
        when=definition.get("x-when", {}),
        limits={name: definition[name] for name in LIMITS if name in definition},
    )


def groups() -> dict[str, str]:
    """Title of each group, in order."""
    titles: dict[str, str] = schema()["x-groups"]
    return titles


def knobs() -> dict[str, Question]:
    """Questions that the planner or the catalogue answers unless the spec pins them."""
    return {key: question for key, question in questions().items() if question.knob}


def defaults() -> dict[str, Any]:
    """Default of each question that is not a knob."""
    return {key: question.default for key, question in questions().items() if not question.knob}


if __name__ == "__main__":
    from tunesmith.derive import main

    raise SystemExit(main())
