"""`tunesmith demo`: an example project, generated and run to its verdict."""

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import Any

from tunesmith import console, git, package_data, project, project_env, spec
from tunesmith.copier_answers import answers_for
from tunesmith.errors import FINDINGS, FileProblem, RunFailed
from tunesmith.manifest import ANSWERS
from tunesmith.planner.plan import plan
from tunesmith.spec_input import target

REPRODUCE = ("dvc", "repro")
SMOKE = ("dvc", "exp", "run", "--temp", "-S", "smoke=true")


def run(options: argparse.Namespace) -> int:
    """Generate, run every stage, show the verdict, commit the results. A demo that was cut off goes on.

    Raises:
        RunFailed: a stage stopped before there was a verdict.
    """
    path = options.directory.resolve()
    if _begun(path, options.example):
        console.note(f"{path}: continues; finished stages are kept")
    else:
        where = target(options)
        project.check(where)
        project.create(_answers(options.example), where)
        console.note(f"{path}: generated; running every stage")
    own_repository = git.toplevel(path) == path
    if own_repository:
        git.lend_identity(path)
    command = SMOKE if options.smoke else REPRODUCE
    code = project_env.run(path, *command, quiet=options.json)
    verdict = None if options.smoke else _verdict(path)
    if verdict is None:
        if code:
            raise RunFailed(path, ["python3", project_env.ENVIRONMENT, *command], code)
        _finish_smoke(path, as_json=options.json)
        return 0
    if own_repository:
        git.commit_all(path, "Run every stage")
    if options.json:
        console.as_json(verdict | {"path": str(path)})
    else:
        show(verdict, path)
    return FINDINGS if code else 0


def _begun(path: Path, example: str) -> bool:
    """Whether ``path`` is a project of this example already."""
    answers = path / ANSWERS
    return answers.is_file() and spec.from_file(answers).values.get("example") == example


def _answers(name: str) -> dict[str, Any]:
    """The copier answers of an example."""
    path = package_data.examples().get(name)
    if path is None:
        raise FileProblem(
            package_data.root() / "examples" / name, "this example has no spec.yaml", "install tunesmith again"
        )
    example = spec.validate(spec.from_file(path))
    return answers_for(example, plan(example.catalogue, example.answers, example.pins, prices={}))


def _verdict(path: Path) -> dict[str, Any] | None:
    written = path / "reports" / "verdict.json"
    if not written.is_file():
        return None
    verdict: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return verdict


def _finish_smoke(path: Path, *, as_json: bool) -> None:
    """A smoke run leaves the workspace as it was; its gate has printed the verdict."""
    if as_json:
        console.as_json({"path": str(path), "smoke": True})
    else:
        console.line(f"{path}: every stage works. For real numbers:  {_again(path)}")


def show(verdict: dict[str, Any], path: Path) -> None:
    """What stays on the screen: the gate has just printed arms, intervals, the paired test and money."""
    console.line()
    console.line(f"{verdict['decision']}; ship: {verdict['ship'] or 'nothing yet'}")
    console.line(f"report: {path / verdict['report']}")
    console.line(f"change a line in params.yaml, and run it again:  {_again(path)}")


def _again(path: Path) -> str:
    shared = ((name, os.environ.get(name)) for name in ("PROJECT_VENV", "PROJECT_CACHE"))
    prefix = "".join(f"{name}={shlex.quote(folder)} " for name, folder in shared if folder)  # else both are made anew
    return f"cd {shlex.quote(str(path))}  &&  {prefix}python3 environment.py dvc repro"
