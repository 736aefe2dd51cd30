"""Turns the options of a command into a valid spec: from a file, from --set, from defaults, or by asking."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith import catalog, console, decision, git
from tunesmith import spec as specs
from tunesmith.decision import advise
from tunesmith.errors import MissingAnswers, WriteFailed
from tunesmith.flat_yaml import Document
from tunesmith.json_schema import ADDRESS
from tunesmith.project import Target
from tunesmith.questions import questions
from tunesmith.spec import Spec


def target(options: argparse.Namespace) -> Target:
    """Where to write; asks what a surrounding repository means when there is a terminal."""
    wanted = Target(options.directory, options.subdir, options.force)
    outer = git.toplevel(wanted.path.resolve())
    if outer and not wanted.subdir and outer != wanted.path.resolve() and console.interactive():
        from tunesmith import wizard

        return Target(wanted.path, wizard.confirm_subdir(wanted.path, outer), wanted.force)
    return wanted


def obtain(options: argparse.Namespace, only_group: str = "", *, estimate: bool = False) -> Spec:
    """The spec that the options describe. ``only_group``: what is asked, of one group; ``estimate``: see `estimated`.

    Raises:
        SpecError: with every problem of the file and of --set.
        MissingAnswers: there is neither a spec nor a terminal.
    """
    document = specs.from_file(options.spec) if options.spec else Document("--set" if options.set else "defaults")
    document = specs.with_settings(document, options.set)
    if estimate:
        document.values.setdefault("model_revision", "0" * 40)
    if options.spec or options.defaults:
        return specs.validate(document)
    if not console.interactive():
        known = specs.validate(document).combined()
        raise MissingAnswers([key for key in asked(known, only_group) if key not in document.values])
    from tunesmith import wizard

    given = specs.validate(document)
    preset = {key: value for key, value in given.combined().items() if key in given.given}
    return specs.validate(Document("answers", wizard.ask(options, preset, only_group)))


def estimated(options: argparse.Namespace, only_group: str = "") -> Spec:
    """`obtain` for what is only estimated: no commit of a hub model is needed."""
    return obtain(options, only_group, estimate=True)


def data_folders(options: argparse.Namespace) -> list[Path]:
    """Where the data path of a spec leads before there is a project: beside the spec, and here."""
    return [options.spec.parent, Path()] if options.spec else [Path()]


def asked(answers: Mapping[str, Any], only_group: str = "") -> list[str]:
    """Keys that the wizard would ask, given what is known."""
    on_path = {step.key for step in advise(answers).path} | set(catalog.decision_tree()["also_ask"])
    return [
        key
        for key, question in questions().items()
        if (key not in decision.asked_keys() or key in on_path)
        and question.knob != "planner"
        and question.applies(answers)
        and only_group in ("", question.group)
        if not question.knob or answers.get("model") == "custom" or key == "model_revision"
    ]


def without_effect(spec: Spec) -> list[str]:
    """Keys that were given, differ from their default, and do not matter with the other answers."""
    known = spec.combined()
    return [
        key
        for key in sorted(spec.given & spec.answers.keys())
        if not questions()[key].applies(known) and spec.answers[key] != questions()[key].default
    ]


def save(spec: Spec, path: Path) -> None:
    """Write the answers as a spec file, beside and renamed."""
    import yaml

    text = f"# yaml-language-server: $schema={ADDRESS}\n# A Tunesmith spec; `tunesmith schema` describes every key.\n"
    text += yaml.safe_dump(spec.combined(), sort_keys=False, allow_unicode=True, width=10**6)
    beside = path.with_name(f".{path.name}.tunesmith")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise WriteFailed(path, error.strerror or str(error)) from error
