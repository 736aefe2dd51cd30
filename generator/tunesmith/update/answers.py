"""Answers across versions: carried, renamed, dropped with a word, new ones defaulted, changed ones planned anew."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from tunesmith import catalog
from tunesmith import spec as specs
from tunesmith.copier_answers import answers_for
from tunesmith.errors import Problem, SpecError
from tunesmith.flat_yaml import Document
from tunesmith.planner.plan import plan
from tunesmith.questions import MACHINE, RECORDED, defaults, matches, questions

RECORDS = (RECORDED, MACHINE)  # no questions: the estimate of the day, and the user's own machine
COPIER_KEYS = ("_commit", "_src_path")
WAS = "x-was"  # in a question of the schema: names that it had in earlier versions
EXTRAS = "extras"
# The parameters that need the code of an extra, unless they have this value. Up to 0.2.0 every project had all extras.
_NEEDED = [
    ("cluster", "curate", "engine", "embedded"),
    ("embeddings", "curate", "semantic_threshold", None),
    ("embeddings", "evaluate", "similarity", False),
    ("llama", "evaluate", "gguf", None),
    ("pii", "curate", "pii_engine", "regex"),
]


@dataclass(frozen=True)
class Carried:
    """Answers for a version of the template, and what became of those recorded. ``added`` took their default."""

    answers: Mapping[str, Any]
    renamed: Mapping[str, str] = field(default_factory=dict)  # old key to new key
    dropped: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)  # of what the planner chose anew


def carry(recorded: Mapping[str, Any], schema: Mapping[str, Any], source: str) -> Carried:
    """The recorded answers under the questions of ``schema``; an empty schema takes them as they are.

    Raises:
        SpecError: a recorded value that the version no longer allows.
    """
    plain = {key: value for key, value in recorded.items() if key not in COPIER_KEYS}
    properties: Mapping[str, Any] = schema.get("properties", {})
    if not properties:
        return Carried(plain)
    known = {**{key: key for key in properties}, **_former_names(properties, plain)}
    answers, renamed, dropped = {}, {}, {}
    for key, value in plain.items():
        if key in RECORDS:  # a plain update keeps them
            answers[key] = value
            continue
        prefix = next((one for one in ("plan_", "pin_") if key.startswith(one) and key not in known), "")
        name = known.get(key.removeprefix(prefix))
        if name is None:
            dropped[key] = value
            continue
        answers[prefix + name] = value
        if prefix + name != key:
            renamed[key] = prefix + name
    _refuse_invalid(answers, properties, source)
    return Carried(answers, renamed, dropped, _new_ones(answers, properties))


def _former_names(properties: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, str]:
    """New key by former key, where the new one has no answer yet."""
    return {
        former: key
        for key, question in properties.items()
        for former in question.get(WAS, [])
        if key not in recorded and former not in properties
    }


def _new_ones(answers: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Questions that are asked in this version and have no answer, with their defaults."""
    given = {key: question.get("default") for key, question in properties.items()} | dict(answers)
    return {
        key: question["default"]
        for key, question in properties.items()
        if key not in answers and "x-knob" not in question and matches(question.get("x-when", {}), given)
    }


def _refuse_invalid(answers: Mapping[str, Any], properties: Mapping[str, Any], source: str) -> None:
    from jsonschema import Draft202012Validator

    problems = []
    catalogue = catalog.load(answers.get(MACHINE))
    for key, value in answers.items():
        if key in RECORDS or (key == "hardware" and catalogue.is_own(str(value))):
            continue
        question = properties[key.removeprefix("plan_").removeprefix("pin_")]
        if not key.startswith("plan_") and not Draft202012Validator(question).is_valid(value):
            allowed = ", ".join(map(str, question.get("enum", ()))) or question["description"]
            problems.append(Problem(key, f"the recorded answer {value!r} is no longer allowed", allowed=allowed))
    if problems:
        raise SpecError(source, problems)


def with_extras_in_use(carried: Carried, parameters: bytes) -> Carried:
    """Answers with the extras that the parameters of the project need, if it was never asked for extras.

    ``parameters`` is params.yaml; one that cannot be read needs none.
    """
    if EXTRAS not in carried.added:
        return carried
    try:
        groups = yaml.safe_load(parameters)
    except yaml.YAMLError:
        return carried
    given = {key: group for key, group in groups.items() if isinstance(group, dict)} if isinstance(groups, dict) else {}
    used = [extra for extra, group, name, without in _NEEDED if given.get(group, {}).get(name, without) != without]
    new = {EXTRAS: ",".join(dict.fromkeys(used))}
    return replace(carried, answers={**carried.answers, **new}, added={**carried.added, **new}) if used else carried


def asked(carried: Carried, schema: Mapping[str, Any], ask: Callable[[str, Any], Any], source: str) -> Carried:
    """Answers with those of the user to the questions that are new; an answer may make further questions matter.

    ``ask`` gets a key and its default. Nothing is planned anew.

    Raises:
        SpecError: the answers do not go together.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    answers = dict(carried.answers)
    added = {key: value for key, value in carried.added.items() if key in answers}  # found in the project, not asked
    while new := {key: value for key, value in _new_ones(answers, properties).items() if key not in added}:
        key, default = next(iter(new.items()))
        answers[key] = added[key] = ask(key, default)
    if added:
        known = {key: value for key, value in answers.items() if _is_known(key)}
        specs.validate(specs.with_settings(Document(source, known), ()))
    return replace(carried, answers=answers, added=added)


def change(carried: Carried, settings: Sequence[str], source: str) -> Carried:
    """Answers with ``--set`` items applied, every knob that is not pinned planned anew.

    Answers that only the target's template knows are kept beside those that this command line checks.

    Raises:
        SpecError: with every problem.
    """
    ours = {key: value for key, value in carried.answers.items() if _is_known(key)}
    others = {key: value for key, value in carried.answers.items() if not _is_known(key)}
    spec = specs.validate(specs.with_settings(Document(source, ours), settings))
    made = plan(spec.catalogue, spec.answers, spec.pins, prices={})
    answers = {**answers_for(spec, made), **others}
    gone = {key: value for key, value in carried.answers.items() if key not in answers and not key.startswith("plan_")}
    fresh = {key: value for key, value in answers.items() if key not in carried.answers and key in defaults()}
    set_keys = {setting.partition("=")[0].removeprefix("pin_") for setting in settings}
    return Carried(
        answers,
        carried.renamed,
        {**carried.dropped, **{key: value for key, value in gone.items() if key.removeprefix("pin_") not in set_keys}},
        {**carried.added, **{key: value for key, value in fresh.items() if key not in set_keys}},
        {f"plan_{key}": choice.reason for key, choice in made.choices.items()},
    )


def _is_known(key: str) -> bool:
    names = (key, key.removeprefix("plan_"), key.removeprefix("pin_"))
    return key in RECORDS or any(name in questions() for name in names)
