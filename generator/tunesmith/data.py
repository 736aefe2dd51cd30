"""`tunesmith data add`: a user's file becomes the raw data of a project, tracked by DVC."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tunesmith import console, git, runner, spec
from tunesmith.errors import FileProblem, GitFailed, RunFailed, WriteFailed
from tunesmith.questions import questions


@dataclass(frozen=True)
class Added:
    """Where the data went, how many lines it has, and whether it took the place of earlier data."""

    path: Path
    lines: int
    replaced: bool
    staged: bool  # in git's index, for the user to commit: `dvc exp run --temp` sees only what git knows


def add(source: Path, project: Path) -> Added:
    """Copy ``source`` to the project's data path and track it with DVC.

    Raises:
        FileProblem: the file is missing or empty, the directory is no project, or its example builds the data itself.
        WriteFailed: the copy cannot be written.
        RunFailed: DVC refused.
    """
    lines = _count_lines(source)
    runner.check(project)
    answers = _answers(project)
    if answers["example"] != "none":
        raise FileProblem(
            project / answers["data_path"],
            f"is built by the example {answers['example']}",
            "remove the stage `data` from dvc.yaml first, or generate a project with example: none",
        )
    target = project / answers["data_path"]
    if target.exists() and not target.with_name(f"{target.name}.dvc").exists():
        raise FileProblem(target, "is there already and DVC does not keep it", "move it away, or `dvc add` it first")
    replaced = target.exists()
    _copy(source, target)
    console.note("tracking it with DVC; the first command of a project makes its environment, which takes minutes")
    command = ("dvc", "add", "--quiet", answers["data_path"])
    if code := runner.run(project, *command, quiet=True):
        raise RunFailed(project, ["python3", runner.ENVIRONMENT, *command], code)
    return Added(target, lines, replaced, _staged(target))


def _staged(target: Path) -> bool:
    """Stage DVC's pointer and the ignore rule that came with it; a project outside git has nothing to stage."""
    try:
        git.run("add", "--", f"{target.name}.dvc", ".gitignore", cwd=target.parent)
    except GitFailed:
        return False
    return True


def _count_lines(source: Path) -> int:
    try:
        with source.open("rb") as handle:
            lines = sum(1 for line in handle if line.strip())
    except OSError as error:
        raise FileProblem(source, error.strerror or str(error), "name a data file that can be read") from None
    if not lines:
        raise FileProblem(source, "is empty", "name a file with one record a line")
    return lines


def _answers(project: Path) -> dict[str, str]:
    written = spec.from_file(project / ".copier-answers.yml").values
    return {key: str(written.get(key, questions()[key].default)) for key in ("example", "data_path")}


def _copy(source: Path, target: Path) -> None:
    beside = target.with_name(f".{target.name}.tunesmith")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, beside)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise WriteFailed(target, error.strerror or str(error)) from error
