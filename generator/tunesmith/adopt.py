"""`tunesmith adopt`: brings an existing repository under the template, on a branch, overwriting nothing."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from tunesmith import __version__, git
from tunesmith.errors import GitFailed, NotAProject, UpdateState
from tunesmith.manifest import ANSWERS
from tunesmith.render import render
from tunesmith.update import apply, list_merge
from tunesmith.update.git_trees import Entry, Repository
from tunesmith.update.state import State
from tunesmith.update.tree_diff import declared
from tunesmith.update.worktree import commit_tree, free_branch, symbolic_head

RENDERED = "refs/tunesmith/adopted"  # the whole render as a commit: the template's side of every collision


@dataclass(frozen=True)
class Adopted:
    """What came of it. ``collisions``: files that stay as they are, of which the template has another version.

    ``missing``: by such a file, the dependencies or ignored paths that the template counts on and it lacks.
    """

    branch: str
    added: list[str]
    equal: list[str]
    collisions: list[str]
    missing: dict[str, list[str]]


def adopt(path: Path, answers: Mapping[str, Any], branch: str) -> Adopted:
    """Add what the template has and the repository lacks, as one commit on a new branch.

    ``answers`` are the copier answers to render.

    Raises:
        NotAProject: there is no repository with a commit.
        UpdateState: it already uses the template.
        NotClean, InTheWay: uncommitted work, or untracked files where the template would write.
    """
    root = git.repository(path)
    try:
        head = git.run("rev-parse", "--verify", "HEAD^{commit}", cwd=root)
    except GitFailed:
        raise NotAProject(path, "has no commit yet") from None
    prefix = git.run("rev-parse", "--show-prefix", cwd=path)
    apply.check_ready(root)
    branch = free_branch(root, branch)
    if (path / ANSWERS).exists():
        raise UpdateState(f"{path} already uses the template", "`tunesmith update` updates it")
    with tempfile.TemporaryDirectory(prefix="tunesmith.") as name:
        scratch = Path(name)
        render(answers, scratch / "render", scratch)
        repository = Repository(root, scratch)
        rendered = repository.snapshot(scratch / "render")
        state, adopted = _plan(repository, rendered, (root, prefix, head), branch)
    apply.begin(root, state)
    git.run("update-ref", RENDERED, commit_tree(root, rendered, head, f"Template {__version__}"), cwd=root)
    return adopted


def _plan(repository: Repository, rendered: str, place: tuple[Path, str, str], branch: str) -> tuple[State, Adopted]:
    root, prefix, head = place
    try:
        tree = repository.run("rev-parse", "--verify", f"{head}:{prefix.rstrip('/')}")
    except GitFailed:
        tree = repository.run("mktree", data=b"")  # a folder without tracked files
    theirs, ours = repository.entries(rendered), repository.entries(tree)
    folders = {parent.as_posix() for path in ours for parent in Path(path).parents}
    free = {path: entry for path, entry in theirs.items() if path not in ours and path not in folders}
    added = {path: entry for path, entry in free.items() if not any(str(one) in ours for one in Path(path).parents)}
    whole = repository.graft(
        repository.run("rev-parse", f"{head}^{{tree}}"), prefix, repository.changed(tree, dict(added))
    )
    equal = sorted(path for path, entry in theirs.items() if ours.get(path) == entry)
    collisions = sorted(set(theirs) - set(added) - set(equal))
    lacking = {path: _missing(repository, path, ours.get(path), theirs[path]) for path in collisions}
    missing = {path: lines for path, lines in lacking.items() if lines}
    message = f"Adopt Tunesmith {__version__}\n\n{len(added)} files added, nothing overwritten.\n"
    if collisions:
        message += "Kept unchanged; the template has these files too:\n" + "".join(f"- {one}\n" for one in collisions)
    entry = theirs[ANSWERS]
    state = State(
        prefix,
        symbolic_head(root),
        head,
        whole,
        (),
        commit_tree(root, whole, head, message),
        f"refs/heads/{branch}",
        (entry.mode, entry.oid, f"{prefix}{ANSWERS}"),
        __version__,
        message,
    )
    return state, Adopted(branch, sorted(added), equal, collisions, missing)


def _missing(repository: Repository, path: str, ours: Entry | None, theirs: Entry) -> list[str]:
    """Dependencies of pyproject.toml, or paths of an ignore file, that only the template names."""
    if ours is None or path.rpartition("/")[2] not in ("pyproject.toml", *list_merge.IGNORES):
        return []
    blobs = repository.blobs([ours.oid, theirs.oid])
    mine, other = (blobs[entry.oid].decode(errors="replace") for entry in (ours, theirs))
    if path.endswith(".toml"):
        names = {_package(item) for item in declared(mine)}
        return [item for item in declared(other) if _package(item) not in names]
    present = {line.strip() for line in mine.splitlines()}
    wanted = (line.strip() for line in other.splitlines())
    return [line for line in wanted if line and not line.startswith("#") and line not in present]


def _package(requirement: str) -> str:
    return canonicalize_name(re.split(r"[^\w.-]", requirement.strip())[0])
