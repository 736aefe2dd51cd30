"""The questions of a spec, read from schemas/spec.schema.json, their one definition."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tunesmith import package_data

PLANNER = "planner"
CATALOGUE = "catalogue"
RECORDED = "plan_estimates"  # in the answers of a project: the estimate of its day, as one line of JSON
MACHINE = "plan_machine"  # likewise: the figures and prices of a machine of the user's own, as one line of JSON
EXAMPLE_GROUPS = ("data", "evaluation")


@dataclass(frozen=True)
class Question:
    """One key of the spec. ``when``: see `matches`; the question matters only then."""

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
    was: tuple[str, ...] = ()  # keys that it had in earlier versions; their answers are carried over
    multiline: bool = False
    pattern_help: str = ""
    when: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)  # minimum, maximum, pattern... as in the schema

    def applies(self, answers: Mapping[str, Any]) -> bool:
        """Whether the question matters, given the other answers."""
        return matches(self.when, answers)


LIMITS = ("minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength", "pattern")


def matches(when: Mapping[str, Any], answers: Mapping[str, Any]) -> bool:
    """Whether each key has the value, one of the values, or none of those under ``not``."""
    return all(
        answers.get(key) not in value["not"] if isinstance(value, Mapping) else answers.get(key) in _values(value)
        for key, value in when.items()
    )


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a spec."""
    loaded: dict[str, Any] = json.loads(package_data.schema_file("spec.schema.json").read_text(encoding="utf-8"))
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
        was=tuple(definition.get("x-was", ())),
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


def routine_groups() -> frozenset[str]:
    """Groups whose defaults suit most projects: the wizard offers them whole before it asks one by one."""
    return frozenset(schema()["x-routine-groups"])


def defaults(example: Any = "none") -> dict[str, Any]:
    """Default of each question that is not a knob. An example brings its own answers about data and evaluation."""
    plain = {key: question.default for key, question in questions().items() if not question.knob}
    return plain | (example_answers().get(example, {}) if isinstance(example, str) else {})


@cache
def example_answers() -> dict[str, dict[str, Any]]:
    """What each example's spec says about data and evaluation: with the example, nothing else would run."""
    from tunesmith import flat_yaml

    return {
        name: {
            key: value
            for key, value in flat_yaml.read(str(path), path.read_bytes()).values.items()
            if key in questions() and questions()[key].group in EXAMPLE_GROUPS and not questions()[key].knob
        }
        for name, path in package_data.examples().items()
    }
