"""Asks the questions that matter, group by group, each with its reason and default; ends with a summary to confirm."""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import questionary

from tunesmith import catalog, console, decision, flat_yaml, spec
from tunesmith.catalog import Catalogue
from tunesmith.decision import advise
from tunesmith.flat_yaml import Document
from tunesmith.planner.resolve import resolve
from tunesmith.questions import Question, defaults, groups, questions, routine_groups


def confirm_subdir(path: Path, outer: Path) -> bool:
    """Whether a project inside another repository becomes a part of it; stops when the answer is no."""
    console.line(f"{path} is inside the git repository {outer}.")
    if not _answer(questionary.confirm("Make the project a part of that repository?", default=True)):
        raise KeyboardInterrupt
    return True


def keep_results(stages: Sequence[str]) -> bool:
    """Whether the results of stages whose code an update changes are accepted without a run."""
    console.line(f"The update leaves the data and parameters of these stages alone: {', '.join(stages)}.")
    return bool(_answer(questionary.confirm("Keep their results, so that they do not run again?", default=True)))


def ask(options: argparse.Namespace, preset: Mapping[str, Any], only_group: str = "") -> dict[str, Any]:
    """Answers by key. ``preset`` is not asked again; ``only_group`` asks one group and skips the summary.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C or did not confirm.
    """
    answers = dict(preset)
    catalogue = catalog.load()
    suggested = _suggested(catalogue, options)
    for group in groups():
        if only_group in ("", group):
            _ask_group(catalogue, group, answers, suggested)
    if not only_group:
        _summary(answers)
    return answers


def _suggested(catalogue: Catalogue, options: argparse.Namespace) -> dict[str, Any]:
    """Defaults that depend on the command line: the directory's name, where it is a valid project name."""
    name = Path(options.directory).resolve().name if "directory" in options else ""
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return {"project_name": name} if not _faults(catalogue, "project_name", name) else {}


def _ask_group(catalogue: Catalogue, group: str, answers: dict[str, Any], suggested: Mapping[str, Any]) -> None:
    """Ask what matters of one group; a routine group is first offered whole, with its defaults."""
    if not _pending(catalogue, group, answers):
        return
    console.line(f"\n{groups()[group]}")
    if group in routine_groups() and _keeps_defaults(catalogue, group, answers):
        return
    while pending := _pending(catalogue, group, answers):  # an answer can raise or settle later questions
        question = pending[0]
        if question.key == "approach":
            _show_advice(answers)
        default = suggested.get(question.key, defaults(answers.get("example")).get(question.key, question.default))
        answers[question.key] = ask_one(catalogue, question, default)
        if (
            question.key == "example"
            and question.default != answers["example"]
            and _keeps_defaults(catalogue, group, answers)
        ):
            return


def _pending(catalogue: Catalogue, group: str, answers: Mapping[str, Any]) -> list[Question]:
    """Questions of a group still to be asked; of those that the decision tree asks, only the next on the path."""
    next_on_path, always = decision.next_question(answers), catalog.decision_tree()["also_ask"]
    return [
        question
        for key, question in questions().items()
        if question.group == group and key not in answers and _matters(catalogue, question, answers)
        if key not in decision.asked_keys() or key in always or key == next_on_path
    ]


def _keeps_defaults(catalogue: Catalogue, group: str, answers: dict[str, Any]) -> bool:
    """Show the defaults of what is left of a group; when they are kept, they are its answers."""
    usual = defaults(answers.get("example"))
    pending = [question for question in _pending(catalogue, group, answers) if question.key in usual]
    if len(pending) < 2:
        return False
    rows = [(f"  {question.title}", _one_line(usual[question.key]), question.why) for question in pending]
    console.table(("  question", "default", "why it is asked"), rows)
    if not _answer(questionary.confirm("Keep these?", default=True)):
        return False
    answers.update({question.key: usual[question.key] for question in pending})
    return True


def _one_line(value: Any) -> str:
    words = " ".join(str(value).split()) or "none"
    return words if len(words) <= 40 else words[:37] + "..."


def _matters(catalogue: Catalogue, question: Question, answers: Mapping[str, Any]) -> bool:
    """Planner knobs are never asked; the catalogue's only where the catalogue has no answer."""
    model = catalogue.models.get(answers.get("model", ""))
    known = {**defaults(answers.get("example")), "model_source": model.source if model else None, **answers}
    return question.knob != "planner" and question.applies(known)


def _show_advice(answers: Mapping[str, Any]) -> None:
    advice = advise({**defaults(), **answers})
    console.line(f"Advice: {advice.approach}{' (not yet)' if advice.missing else ''}. {advice.reason}")
    for contradiction in advice.contradictions:
        console.line(f"  contradictory answers: {contradiction}")


def ask_one(catalogue: Catalogue, question: Question, default: Any) -> Any:
    """The user's answer to one question."""
    message = f"{question.title}{f' ({question.unit})' if question.unit else ''}:"
    console.line(f"  {question.description} {question.why}")
    if question.type == "boolean":
        return _answer(questionary.confirm(message, default=default))
    if question.enum:
        return _answer(questionary.select(message, choices=_choices(catalogue, question), default=default))
    initial = "" if question.knob else str(default)
    text = _answer(
        questionary.text(
            message, default=initial, validate=lambda typed: _faults(catalogue, question.key, typed) or True
        )
    )
    return _typed(question, text)


def _choices(catalogue: Catalogue, question: Question) -> list[questionary.Choice]:
    planned = catalog.planned_values(question.key)
    return [
        questionary.Choice(str(value), value=value, disabled="planned, not built yet" if value in planned else None)
        for value in (catalogue.hardware if question.key == "hardware" else question.enum)
    ]


def _typed(question: Question, text: str) -> Any:
    return text if question.type == "string" else flat_yaml.scalar(text)


def _faults(catalogue: Catalogue, key: str, text: str) -> str:
    """What is wrong with an answer, or nothing; the same check that a spec gets."""
    problems = spec.value_problems(catalogue, key, _typed(questions()[key], text))
    return "; ".join(str(problem) for problem in problems)


def _summary(answers: dict[str, Any]) -> None:
    """Show everything, the planner's choices with their reasons, and ask whether to go on."""
    checked = spec.validate(Document("answers", answers))
    console.line("\nSummary")
    console.table(
        ("answer", "value"), [(key, _one_line(value)) for key, value in checked.answers.items() if key in answers]
    )
    console.line("\nPlanned")
    rows = [
        (key, choice.value, choice.reason)
        for key, choice in resolve(checked.catalogue, checked.answers, checked.pins).items()
        if choice.value not in ("", None)
    ]
    console.table(("knob", "value", "because"), [row for row in rows if row[0] not in checked.pins])
    if not _answer(questionary.confirm("Generate the project?", default=True)):
        raise KeyboardInterrupt


def _answer(prompt: questionary.Question) -> Any:
    return prompt.unsafe_ask()  # raises KeyboardInterrupt on Ctrl-C instead of answering None
