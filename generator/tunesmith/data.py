"""`tunesmith data add`: a user's file, or folder of files, becomes the raw data of a project, tracked by DVC."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tunesmith import console, git, project_env, spec
from tunesmith.errors import FileProblem, GitFailed, RunFailed, WriteFailed
from tunesmith.questions import questions

NAMED = 5  # unwanted files, in the message
TEMPORARY = ("~", ".tmp", ".temp", ".part", ".partial", ".swp", ".crdownload")


@dataclass(frozen=True)
class Added:
    """Where the data went, how many files and bytes they are, and whether they took the place of earlier data."""

    path: Path
    files: int
    size_bytes: int
    replaced: bool
    staged: bool  # in git's index, for the user to commit: `dvc exp run --temp` sees only what git knows


def add(source: Path, project: Path) -> Added:
    """Copy ``source`` to the project's data path and track it with DVC.

    Raises:
        FileProblem: the source is missing or empty or holds what is no data, the directory is no project, or its
            example builds the data itself.
        WriteFailed: the copy cannot be written.
        RunFailed: DVC refused.
    """
    files = _files(source)
    project_env.check(project)
    answers = _answers(project)
    if answers["example"] != "none":
        raise FileProblem(
            project / answers["data_path"],
            f"is built by the example {answers['example']}",
            "remove the stage `data` from dvc.yaml first, or generate a project with example: none",
        )
    target = project / answers["data_path"]
    if target.exists() and not target.with_name(f"{target.name}.dvc").exists():
        raise FileProblem(target, "already exists and DVC does not track it", "move it away, or `dvc add` it first")
    ours, theirs = target.resolve(), source.resolve()
    if (source.is_dir() and ours.is_relative_to(theirs)) or (target.is_dir() and theirs.is_relative_to(ours)):
        fix = "name data outside it; after edits inside it, run `dvc add` again"
        raise FileProblem(source, f"and the project's own data, {target}, contain one another", fix)
    replaced = target.exists()
    size = _copy(source, files, target)
    making = "" if project_env.python(project) else "; the project's environment is created first, which takes minutes"
    console.note(f"tracking it with DVC{making}")
    command = ("dvc", "add", "--quiet", answers["data_path"])
    if code := project_env.run(project, *command, quiet=True):
        raise RunFailed(project, ["python3", project_env.ENVIRONMENT, *command], code)
    return Added(target, len(files), size, replaced, _staged(target))


def _files(source: Path) -> list[Path]:
    """The files to copy, relative to ``source`` where it is a folder.

    Raises:
        FileProblem: there is none, none has any content, or some are links, hidden or half-written.
    """
    try:
        found = sorted(source.rglob("*")) if source.is_dir() else [source]
        unwanted = [path for path in found if source.is_dir() and _is_unwanted(path)]
        files = [path for path in found if not path.is_dir()]
        filled = [path for path in files if not unwanted and _has_content(path)]
    except OSError as error:
        raise FileProblem(source, error.strerror or str(error), "name a readable file or folder") from None
    if unwanted:
        names = ", ".join(str(path.relative_to(source)) for path in unwanted[:NAMED])
        more = f" and {len(unwanted) - NAMED} more" if len(unwanted) > NAMED else ""
        fix = "remove them, or copy the data files alone into another folder (`cp -L` follows links)"
        raise FileProblem(source, f"holds links, hidden or temporary files: {names}{more}", fix)
    if not filled:
        raise FileProblem(source, "is empty", "name a file with one record a line, or a folder of such files")
    return [path.relative_to(source) for path in files]


def _has_content(path: Path) -> bool:
    with path.open("rb") as handle:
        return bool(handle.read(1))


def _is_unwanted(path: Path) -> bool:
    return path.is_symlink() or path.name.startswith(".") or path.name.lower().endswith(TEMPORARY)


def _staged(target: Path) -> bool:
    """Stage DVC's pointer and the ignore rule that came with it; a project outside git has nothing to stage."""
    try:
        git.run("add", "--", f"{target.name}.dvc", ".gitignore", cwd=target.parent)
    except GitFailed:
        return False
    return True


def _answers(project: Path) -> dict[str, str]:
    written = spec.from_file(project / ".copier-answers.yml").values
    return {key: str(written.get(key, questions()[key].default)) for key in ("example", "data_path")}


def _copy(source: Path, files: list[Path], target: Path) -> int:
    """Put the files where ``target`` is, whole or not at all. Returns their bytes."""
    beside, before = (target.with_name(f".{target.name}.{name}") for name in ("tunesmith", "before"))
    try:
        _remove(beside)
        for file in files:
            (beside / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, beside / file)
        size = sum((beside / file).stat().st_size for file in files)
        if target.is_dir():
            _remove(before)
            target.replace(before)
        elif beside.is_dir():
            target.unlink(missing_ok=True)
        beside.replace(target)
        _remove(before)
    except OSError as error:
        _remove(beside)
        raise WriteFailed(target, error.strerror or str(error)) from error
    return size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
