"""`tunesmith eject`: leaves a project that needs nothing of Tunesmith, as one commit that git can revert."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from tunesmith import git
from tunesmith.errors import FileProblem, NotAProject
from tunesmith.manifest import ANSWERS, NAME
from tunesmith.update import apply

OURS = (ANSWERS, NAME, ".github/workflows/upgrade.yml")
WORD = "tunesmith"


@dataclass(frozen=True)
class Ejected:
    """What went, which workflows lost a step, and where the name is still read (in text, not needed to run)."""

    removed: list[str]
    edited: list[str]
    mentions: list[str]


def eject(path: Path) -> Ejected:
    """Remove what ties the project to the template, and commit.

    Raises:
        NotAProject: no repository, or no recorded answers.
        NotClean, UpdateState: uncommitted work, or an update in progress.
        FileProblem: a workflow that cannot do without a step of ours.
    """
    root = git.repository(path)
    if not (path / ANSWERS).is_file():
        raise NotAProject(path, f"has no {ANSWERS}")
    apply.check_ready(root)
    removed = [name for name in OURS if (path / name).is_file()]
    edits = {name: text for name in _workflows(path, removed) if (text := _without_steps(path, name)) is not None}
    for name, text in edits.items():
        beside = path / f"{name}.new"
        beside.write_text(text, encoding="utf-8")
        beside.replace(path / name)
    git.run("rm", "--quiet", "--", *removed, cwd=path)
    if edits:
        git.run("add", "--", *edits, cwd=path)
    git.commit(path, "Eject from Tunesmith\n\nThe project runs without it. `git revert` undoes this commit.")
    command = ("grep", "-n", "-i", "-I", "--full-name", WORD, "--", ".")
    mentions = git.output(*command, cwd=path, allowed=(0, 1))[1].decode(errors="replace").splitlines()
    return Ejected(removed, sorted(edits), mentions)


def _workflows(path: Path, removed: list[str]) -> list[str]:
    folder = path / ".github" / "workflows"
    names = (file.relative_to(path).as_posix() for file in sorted(folder.glob("*.y*ml")))
    return [name for name in names if name not in removed and WORD in (path / name).read_text("utf-8").lower()]


def _without_steps(path: Path, name: str) -> str | None:
    """A workflow without the steps that name Tunesmith; None where no step does.

    Raises:
        FileProblem: what would be left is no workflow.
    """
    text = (path / name).read_text(encoding="utf-8")
    kept: list[str] = []
    for step in re.split(r"(?m)^(?= *- )", text):
        lines = step.splitlines(keepends=True)
        if not re.match(r" *- ", step) or WORD not in step.lower():
            kept.append(step)
            continue
        indent = len(step) - len(step.lstrip(" "))
        end = next((i for i, one in enumerate(lines[1:], 1) if one.strip() and _indent(one) <= indent), len(lines))
        if WORD in "".join(lines[end:]).lower():
            kept.append(step)  # it is named after the list of steps, which is left alone
        else:
            kept.append("".join(lines[end:]))
    left = "".join(kept)
    if left == text:
        return None
    jobs = (yaml.safe_load(left) or {}).get("jobs", {})
    if not jobs or not all(job.get("steps") or job.get("uses") for job in jobs.values()):
        raise FileProblem(path / name, "has a job whose only steps are Tunesmith's", "remove that job first")
    return left


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
