"""Loads a spec, checks it by schema, catalogues and support matrix, and reports every problem at once."""

import json
import unicodedata
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith import catalog, flat_yaml
from tunesmith.catalog import Catalogue
from tunesmith.errors import FileProblem, Problem, SpecError, nearest
from tunesmith.flat_yaml import Document
from tunesmith.questions import MACHINE, RECORDED, Question, defaults, knobs, questions, schema

OWN_MACHINE = "a machine of your own is a row of ~/.config/tunesmith/hardware.yaml (docs/planning.md)"
MEANT = {"yes": "true", "y": "true", "on": "true", "no": "false", "n": "false", "off": "false"}
TYPE_NAMES = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}


@dataclass(frozen=True)
class Spec:
    """A valid spec: ``answers`` to every question that is no knob, ``pins`` for the knobs that the user wrote.

    ``catalogue`` is what it was checked against; it knows the machine that the document describes.
    """

    answers: Mapping[str, Any]
    pins: Mapping[str, Any]
    catalogue: Catalogue
    given: frozenset[str] = frozenset()

    def combined(self) -> dict[str, Any]:
        """Answers and pins in one mapping."""
        return {**self.answers, **self.pins}


def from_file(path: Path) -> Document:
    """Read a spec file (or a project's .copier-answers.yml).

    Raises:
        FileProblem: the file cannot be read.
        SpecError: it is no flat YAML mapping.
    """
    try:
        with path.open("rb") as handle:
            data = handle.read(flat_yaml.MAX_BYTES + 1)
    except OSError as error:
        raise FileProblem(path, error.strerror or str(error), "name a readable spec file") from None
    return flat_yaml.read(str(path), data)


def with_settings(document: Document, settings: Sequence[str]) -> Document:
    """A copy of ``document`` in which ``--set KEY=VALUE`` items replace or add values."""
    merged = Document(document.source, dict(document.values), dict(document.lines), list(document.problems))
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            merged.problems.append(Problem(setting, "--set takes KEY=VALUE"))
            continue
        question = questions().get(key.removeprefix("pin_"))
        merged.values[key] = text if question and question.type == "string" else flat_yaml.scalar(text)
        merged.lines.pop(key, None)
    return merged


def validate(document: Document) -> Spec:
    """Check everything.

    Raises:
        SpecError: with all problems, in the order of their lines.
    """
    catalogue = catalog.load(document.values.get(MACHINE))
    problems = list(document.problems)
    values = _known(document, problems)
    problems += [
        problem
        for key, value in values.items()
        for problem in value_problems(catalogue, key, value, document.lines.get(key))
    ]
    # A key at fault has no value to judge others by; everything else is judged all the same.
    faulty = {problem.key for problem in problems}
    problems += _rule_problems(catalogue, values, document.lines, faulty)
    problems += _support_problems(catalogue, values, document.lines, faulty | {problem.key for problem in problems})
    problems += _length_problems(catalogue, values, document.lines, faulty)
    problems += _target_problems(values, document.lines, faulty)
    if problems:
        raise SpecError(document.source, sorted(problems, key=lambda problem: problem.line or 0))
    pinned = {key: values[key] for key in knobs() if key in values}
    answers = {key: values.get(key, default) for key, default in defaults(values.get("example")).items()}
    return Spec(answers, pinned, catalogue, frozenset(values))


def _known(document: Document, problems: list[Problem]) -> dict[str, Any]:
    """Values by question key. ``pin_X`` of an answers file is X; ``plan_X`` and copier's own keys are not input."""
    values: dict[str, Any] = {}
    for key, value in document.values.items():
        name = key.removeprefix("pin_") if key.removeprefix("pin_") in knobs() else key
        if name in questions():
            values[name] = value
        elif key not in ("_commit", "_src_path", RECORDED, MACHINE) and key.removeprefix("plan_") not in knobs():
            line = document.lines.get(key)
            problems.append(Problem(key, "unknown key", line, nearest=nearest(key, questions())))
    return values


def value_problems(catalogue: Catalogue, key: str, value: Any, line: int | None = None) -> list[Problem]:
    """Faults of one value, judged by its own part of the schema: what the wizard checks as the user types."""
    question = questions()[key]
    if not _has_type(question, value):
        meant = MEANT.get(str(value).lower(), "") if question.type == "boolean" else ""
        return [Problem(key, _type_message(question, value), line, _allowed(question), meant)]
    if question.enum:
        if value in question.enum:
            return []
        if key == "hardware" and catalogue.is_own(str(value)):
            return []
        own = f"; {OWN_MACHINE}" if key == "hardware" else ""
        known = list(catalogue.hardware) if key == "hardware" else [str(allowed) for allowed in question.enum]
        message = f"{_shown(value)} is not one of its values"
        return [Problem(key, message, line, ", ".join(known) + own, nearest(str(value), known))]
    if isinstance(value, str) and (message := _text_fault(question, value)):
        return [Problem(key, message, line)]
    if not _validator(key).is_valid(value):
        return [Problem(key, f"{_shown(value)} is not allowed", line, _allowed(question))]
    return []


def _has_type(question: Question, value: Any) -> bool:
    if isinstance(value, bool):
        return question.type == "boolean"
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    return isinstance(value, kinds[question.type])


def _type_message(question: Question, value: Any) -> str:
    wanted = TYPE_NAMES[question.type]
    if value is None:
        return f"has no value; it needs {wanted}" + (' (write "" for none)' if question.type == "string" else "")
    if isinstance(value, (list, dict)):
        return f"is nested; it needs {wanted} (a spec is flat)"
    quote = f'; put it in quotes: "{_shown(value)}"' if question.type == "string" else ""
    return f"{_shown(value)} is not {wanted}{quote}"


def _text_fault(question: Question, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        return "contains a lone surrogate, which is not valid text"
    usual = "\n\t" if question.multiline else ""
    for position, character in enumerate(value, start=1):
        if unicodedata.category(character) == "Cc" and character not in usual:
            kind = "a line break or control character" if not question.multiline else "a control character"
            fix = "; it must be one line" if not question.multiline else ""
            return f"holds {kind} (U+{ord(character):04X}, character {position}){fix}"
    return ""


def _allowed(question: Question) -> str:
    if question.enum:
        return ", ".join(str(value) for value in question.enum)
    if question.pattern_help:
        return question.pattern_help
    limits = question.limits
    parts = [f"more than {limits['exclusiveMinimum']}"] if "exclusiveMinimum" in limits else []
    parts += [f"at least {limits['minimum']}"] if "minimum" in limits else []
    parts += [f"at most {limits['maximum']}"] if "maximum" in limits else []
    parts += [f"at least {limits['minLength']} character"] if "minLength" in limits else []
    parts += [f"at most {limits['maxLength']} characters"] if "maxLength" in limits else []
    return " and ".join(parts)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


@cache
def _validator(key: str) -> Any:
    from jsonschema import Draft202012Validator  # heavy: only where a spec is checked

    return Draft202012Validator(schema()["properties"][key])


def _rule_problems(
    catalogue: Catalogue, values: Mapping[str, Any], lines: Mapping[str, int], faulty: Container[str]
) -> list[Problem]:
    """Cross-field rules of the schema (its ``allOf``), with a catalogue model's source filled in."""
    from jsonschema import Draft202012Validator

    instance = {**defaults(values.get("example")), **_model_identity(catalogue, values), **values}
    problems = []
    for rule in schema()["allOf"]:
        if any(key in faulty for key in rule["if"]["properties"]):
            continue
        broken: set[str] = set()
        for error in Draft202012Validator(rule).iter_errors(instance):
            missing = (
                [key for key in error.validator_value if key not in instance] if error.validator == "required" else []
            )
            broken.update(missing or [str(error.path[0])])
        problems += [
            _rule_problem(key, rule, instance, lines) for key in questions() if key in broken and key not in faulty
        ]
    return problems


def _model_identity(catalogue: Catalogue, values: Mapping[str, Any]) -> dict[str, Any]:
    row = catalogue.models.get(values.get("model", defaults()["model"]))
    if row is None:
        return {}
    filled = {"model_source": row.source, "model_id": row.id, "model_file": row.file, "model_sha256": row.sha256}
    return {key: value for key, value in filled.items() if value}


def _rule_problem(key: str, rule: Mapping[str, Any], instance: Mapping[str, Any], lines: Mapping[str, int]) -> Problem:
    question = questions()[key]
    condition = ", ".join(f"{name}: {test['const']}" for name, test in rule["if"]["properties"].items())
    help_text = rule["then"].get("properties", {}).get(key, {}).get("x-pattern-help", "")
    present = key in instance and instance[key] != ""
    allowed = help_text or (_allowed(question) if present or question.enum else question.description)
    message = f"{_shown(instance[key])} does not fit" if present else "is needed"
    return Problem(key, f"{message} with {condition} ({rule['$comment']})", lines.get(key), allowed)


def _length_problems(
    catalogue: Catalogue, values: Mapping[str, Any], lines: Mapping[str, int], faulty: Container[str]
) -> list[Problem]:
    """A pinned length that the model cannot attend to; the planner judges a custom model by its config.json."""
    model = catalogue.models.get(values.get("model", defaults(values.get("example"))["model"]))
    length = values.get("max_length")
    if model is None or length is None or "max_length" in faulty or "model" in faulty:
        return []
    if length <= model.context_length:
        return []
    message = f"{length} is more than the {model.context_length} tokens that {model.key} attends to"
    return [Problem("max_length", message, lines.get("max_length"), f"at most {model.context_length}")]


# Layers that can have an adapter in the architectures of the catalogue; `gate` is the router of a mixture of experts.
LAYERS = (
    *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv_proj", "gate_up_proj"),
    *("gate", "lm_head", "embed_tokens"),
)


def _target_problems(values: Mapping[str, Any], lines: Mapping[str, int], faulty: Container[str]) -> list[Problem]:
    """Layers that no model of the catalogue has, which training would refuse after everything before it has run."""
    names = values.get("lora_targets", "all-linear")
    if "lora_targets" in faulty or "model" in faulty or names == "all-linear" or values.get("model") == "custom":
        return []
    unknown = [name for name in map(str.strip, names.split(",")) if name.rpartition(".")[2] not in LAYERS]
    return [
        Problem(
            "lora_targets", f"{name} is not a linear layer", lines.get("lora_targets"), known, nearest(name, LAYERS)
        )
        for name in unknown
        for known in [f"all-linear, or of {', '.join(LAYERS)}"]
    ]


def _support_problems(
    catalogue: Catalogue, values: Mapping[str, Any], lines: Mapping[str, int], faulty: Container[str]
) -> list[Problem]:
    combined = {**defaults(values.get("example")), **values}
    problems = []
    for refusal in catalogue.refusals(combined):
        if any(key in faulty for key in refusal.keys):
            continue
        written = [key for key in refusal.keys if key in values] or list(refusal.keys)
        key = written[0]
        combination = ", ".join(
            str(combined[name]) if name == key else f"{name}: {combined[name]}" for name in refusal.keys
        )
        problems.append(Problem(key, f"{combination} is {refusal}", lines.get(key)))
    return problems
