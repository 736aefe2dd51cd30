"""Writes the questions of copier.yml, docs/spec.md, docs/spec.schema.json and docs/decision-tree.md from schemas/.

``python -m tunesmith.codegen --write`` renews them; without ``--write`` it fails if one of them is out of date.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tunesmith import catalog, console, decision_docs, package_data
from tunesmith.json_schema import published_schema
from tunesmith.questions import CATALOGUE, MACHINE, PLANNER, Question, example_answers, groups, knobs, questions

BANNER = "# QUESTIONS: written by `python -m tunesmith.codegen --write` from schemas/spec.schema.json; edit that file."
COPIER_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
NUMBER_LIMITS = (("minimum", "<"), ("exclusiveMinimum", "<="), ("maximum", ">"))
LENGTH_LIMITS = (("minLength", "<"), ("maxLength", ">"))
CATALOGUE_FIELDS = {"model_source": "source", "model_id": "id", "model_file": "file", "model_sha256": "sha256"}


def copier_file(current: str) -> str:
    """copier.yml with its questions renewed; everything above the banner is written by hand and kept."""
    head = current.split(BANNER)[0].rstrip("\n")
    return f"{head}\n\n{BANNER}\n{_questions_yaml()}"


def _questions_yaml() -> str:
    blocks = []
    group = ""
    first_knob = next(iter(knobs()))
    for question in questions().values():
        if question.key == first_knob:
            blocks.append(_safe_block())
        if question.group != group:
            group = question.group
            blocks.append(f"# {groups()[group]}\n")
        blocks.append(_block(question.key, _copier_question(question)))
    return "\n" + "\n".join(blocks)


def _block(key: str, definition: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump({key: dict(definition)}, sort_keys=False, allow_unicode=True, width=10**6))


def _safe_block() -> str:
    """The hidden mapping of values that a plain `copier copy` gives to the knobs."""
    values = {key: question.default for key, question in knobs().items() if question.knob == PLANNER}
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    for key in CATALOGUE_FIELDS:
        lines.append(f"{key}: {{{{ {_lookup(key)} | to_json }}}}")
    lines.append('model_revision: ""')
    comment = "# Knobs: the planner's choice is plan_KEY, the user's pin_KEY; this is the value without either.\n"
    body = "".join(f"    {line}\n" for line in lines)
    return f"{comment}safe:\n  type: yaml\n  when: false\n  default: |\n{body}"


def _lookup(key: str) -> str:
    field = CATALOGUE_FIELDS[key]
    table = {model.key: getattr(model, field) for model in catalog.load().models.values() if getattr(model, field)}
    fallback = "hub" if key == "model_source" else ""
    return f"{table!r}.get(model, {fallback!r})"


def _copier_question(question: Question) -> dict[str, Any]:
    unit = f" ({question.unit})" if question.unit else ""
    definition: dict[str, Any] = {
        "type": COPIER_TYPES[question.type],
        "help": f"{question.title}{unit}. {question.description} {question.why}",
    }
    if question.key == "hardware":  # and the machine of one's own that the answers describe
        own = f"[({MACHINE} | from_json).key] if {MACHINE} is defined else []"
        definition["choices"] = f"{{{{ {list(question.enum)!r} + ({own}) }}}}"
    elif question.enum:
        definition["choices"] = _choices(question)
    if question.multiline:
        definition["multiline"] = True
    definition["default"] = _default(question)
    if question.knob == PLANNER:
        definition["when"] = False
    elif question.when:
        definition["when"] = "{{ " + _condition(question) + " }}"
    if validator := _validator(question):
        definition["validator"] = validator
    return definition


def _default(question: Question) -> Any:
    if question.knob:
        key = question.key
        return f"{{{{ pin_{key} | default(plan_{key} | default(safe.{key})) }}}}"
    if question.was:  # plain copier carries the answer too
        former = "".join(f"{name} | default(" for name in question.was)
        return f"{{{{ {former}{question.default!r}{')' * len(question.was)} }}}}"
    table = {name: answers[question.key] for name, answers in example_answers().items() if question.key in answers}
    if question.key == "example" or all(value == question.default for value in table.values()):
        return question.default
    return f"{{{{ {table!r}.get(example, {question.default!r}) }}}}"


def _choices(question: Question) -> Any:
    planned = catalog.planned_values(question.key)
    if not planned:
        return list(question.enum)
    return {
        value: {"value": value, "validator": planned[value]} if value in planned else value for value in question.enum
    }


def _condition(question: Question) -> str:
    tests = []
    for key, value in question.when.items():
        if isinstance(value, Mapping):
            tests.append(f"{key} not in {value['not']!r}")
        else:
            tests.append(f"{key} in {value!r}" if isinstance(value, list) else f"{key} == {_literal(value)}")
    return " and ".join(tests)


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _validator(question: Question) -> str:
    """A Jinja test of the limits; it prints a message when the answer breaks one."""
    key, limits = question.key, question.limits
    tests = [f"{key} {sign} {limits[name]}" for name, sign in NUMBER_LIMITS if name in limits]
    tests += [f"{key} | length {sign} {limits[name]}" for name, sign in LENGTH_LIMITS if name in limits]
    if "pattern" in limits:
        pattern = limits["pattern"].removesuffix("$").replace("\\", "\\\\").replace("'", "\\'") + "\\\\Z"
        tests.append(f"({key} | regex_search('{pattern}')) is none")
    if question.knob == CATALOGUE and question.type == "string" and not question.enum:
        tests.append(f"{key} == ''")
    if question.type == "string" and not question.enum and not question.multiline:
        tests.append(f"'\\n' in {key}")
    if not tests:
        return ""
    message = question.pattern_help or f"not an allowed value ({question.description})"
    return "{% if " + " or ".join(tests) + " %}" + message + "{% endif %}"


def docs_page() -> str:
    """The reference table of the spec, in Markdown."""
    lines = [
        "# The spec",
        "",
        "Written by `python -m tunesmith.codegen --write` from `schemas/spec.schema.json`; edit that file.",
        "",
    ]
    lines.append(
        "A spec is flat YAML with one key per line. A missing key takes its default. Keys marked *planned* are"
    )
    lines.append("chosen by the planner or taken from the model catalogue. A value in the spec pins them.")
    for group, title in groups().items():
        lines += ["", f"## {title}", "", "| key | what | allowed | default | asked when |", "|---|---|---|---|---|"]
        lines += [_docs_row(question) for question in questions().values() if question.group == group]
    return "\n".join(lines) + "\n"


def _docs_row(question: Question) -> str:
    what = f"{question.description} {question.why}"
    allowed = ", ".join(f"`{value}`" for value in question.enum) or _limits_text(question)
    default = "*planned*" if question.knob else f"`{json.dumps(question.default, ensure_ascii=False)}`"
    when = ", ".join(f"`{key}` is {_any_of(value)}" for key, value in question.when.items())
    return (
        "| "
        + " | ".join(cell.replace("|", "\\|") for cell in (f"`{question.key}`", what, allowed, default, when))
        + " |"
    )


def _any_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"not {_any_of(value['not'])}"
    values = value if isinstance(value, list) else [value]
    return " or ".join(f"`{json.dumps(item) if isinstance(item, bool) else item}`" for item in values)


def _limits_text(question: Question) -> str:
    if question.pattern_help:
        return question.pattern_help
    names = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "maxLength": "characters: at most",
    }
    parts = [f"{words} {question.limits[name]}" for name, words in names.items() if name in question.limits]
    if question.unit:
        parts.append(question.unit)
    return ", ".join(parts) or ("`true`, `false`" if question.type == "boolean" else question.type)


def generated() -> dict[Path, str]:
    """Each generated file with the content that it should have."""
    copier = package_data.root() / "copier.yml"
    docs = package_data.root() / "docs"
    return {
        copier: copier_file(copier.read_text(encoding="utf-8")),
        docs / "spec.md": docs_page(),
        docs / "spec.schema.json": json.dumps(published_schema(), indent=2, ensure_ascii=False) + "\n",
        docs / "decision-tree.md": decision_docs.page(),
    }


def main() -> int:
    """Renew or check the generated files; returns 1 when a check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.codegen")
    parser.add_argument("--write", action="store_true", help="write the files (default: only check)")
    write = parser.parse_args().write
    texts = generated()
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
        console.line(f"{'written' if write else 'out of date'}: {path.name}")
    return 1 if stale and not write else 0


if __name__ == "__main__":
    raise SystemExit(main())
