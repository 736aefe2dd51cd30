"""Carries out a planned update so that a kill at any step can be continued or aborted.

The commit is made from trees before a file is written. The work tree is changed with an index of our own, which then
replaces the user's by git's own protocol (index.lock, rename); branches move last.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from tunesmith import git
from tunesmith.errors import InTheWay, NotClean, Unresolved, UpdateState, WriteFailed
from tunesmith.manifest import ANSWERS
from tunesmith.update.merge import THEIRS
from tunesmith.update.plan import Plan
from tunesmith.update.state import CHECKOUT, CONFLICT, State, Store
from tunesmith.update.worktree import (
    MADE,
    begin_index,
    commit_parts,
    differences,
    install_index,
    is_left,
    paths_of,
    roll_back,
    short,
    symbolic_head,
)

BUSY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


def check_ready(root: Path) -> None:
    """Refuse to start where tracked files hold uncommitted work, or something else is in progress.

    Raises:
        NotClean, UpdateState
    """
    store = Store.of(root)
    if store.read():
        raise UpdateState(
            "an update is in progress", "finish it with `tunesmith update --continue`, or undo it with --abort"
        )
    if any(store.folder.with_name(name).exists() for name in BUSY):
        raise UpdateState("a merge, rebase or cherry-pick is in progress", "finish or abort it first")
    changed = uncommitted(root)
    if changed:
        raise NotClean(root, changed)


def uncommitted(root: Path) -> list[str]:
    """Tracked files that differ from the last commit."""
    options = ("--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=dirty", "--no-renames")
    listed = git.output("--no-optional-locks", "status", *options, cwd=root)[1].split(b"\0")[:-1]
    return [os.fsdecode(line[3:]) for line in listed]


def apply(plan: Plan, branch: str, message: str, keep: Sequence[str] = ()) -> State:
    """Bring the update into the work tree; conflicts stay in the index for the user.

    ``branch`` is made for it; empty means the branch that is checked out. ``keep``: see `State`.

    Raises:
        InTheWay: untracked files lie where files would be written; nothing was changed.
    """
    return begin(plan.project.root, _state(plan, branch, message, keep))


def begin(root: Path, state: State) -> State:
    """Bring a state into a clean work tree; see `apply`."""
    _refuse_overwriting(root, state)
    store = Store.of(root)
    store.write(state)
    try:
        return _advance(root, store, state)
    except BaseException as error:  # Ctrl-C too: what was begun is taken back
        roll_back(root, store, state)
        if isinstance(error, OSError):
            raise WriteFailed(root, error.strerror or str(error)) from error
        raise


def _state(plan: Plan, branch: str, message: str, keep: Sequence[str]) -> State:
    project, repository = plan.project, plan.repository
    merged = plan.merged
    entry = repository.entries(merged.tree)[ANSWERS]
    part = merged.tree
    if merged.stages:  # the recorded version advances last
        part = repository.changed(part, {ANSWERS: repository.entries(plan.trees["user"])[ANSWERS]})
    tree = repository.graft(repository.run("rev-parse", f"{project.head}^{{tree}}"), project.prefix, part)
    messages = (_engine_message(str(plan.after)), message)
    commit = "" if merged.stages else commit_parts(project.root, project.prefix, tree, project.head, messages)
    lines = [f"{one.entry.mode} {one.entry.oid} {one.number}\t{project.prefix}{one.path}" for one in merged.stages]
    return State(
        project.prefix,
        symbolic_head(project.root),
        project.head,
        tree,
        tuple(lines),
        commit,
        f"refs/heads/{branch}" if branch else "",
        (entry.mode, entry.oid, f"{project.prefix}{ANSWERS}"),
        str(plan.after),
        message,
        tuple(keep),
    )


def _engine_message(version: str) -> str:
    return f"Engine: template {version}\n\nThe engine and the locks. What is left to review is in the next commit.\n"


def _advance(root: Path, store: Store, state: State) -> State:
    """From a clean work tree at the old commit to the update; every step may be the last one before a kill."""
    begin_index(store)
    own = {"GIT_INDEX_FILE": str(store.index)}
    quiet = ("-c", "submodule.recurse=false", "-c", "core.safecrlf=false")
    git.output("update-index", "-q", "--refresh", cwd=root, extra=own, allowed=(0, 1))
    git.run(*quiet, "read-tree", "-m", "-u", state.head, state.tree, cwd=root, extra=own)
    if state.stages:
        _write_stages(root, state, own)
    install_index(store)
    target = state.commit or state.head
    if state.branch:
        git.run("update-ref", "--create-reflog", "-m", MADE, state.branch, target, cwd=root)
        before, after = short(state.head_ref) or state.head, short(state.branch)
        moved = f"checkout: moving from {before} to {after}"  # the words in which `git switch -` looks for the way back
        git.run("symbolic-ref", "-m", moved, "HEAD", state.branch, cwd=root)
    elif state.commit:
        git.run("update-ref", "-m", "tunesmith update", "HEAD", target, state.head, cwd=root)
    if state.stages:
        state = state.at(CONFLICT)
        store.write(state)
    else:
        store.remove()
    return state


def _write_stages(root: Path, state: State, own: dict[str, str]) -> None:
    paths = dict.fromkeys(line.split("\t", 1)[1] for line in state.stages)
    removed = [f"0 {'0' * len(state.head)}\t{path}" for path in paths]
    lines = b"".join(os.fsencode(line) + b"\0" for line in [*removed, *state.stages])
    git.run("update-index", "-z", "--index-info", cwd=root, extra=own, data=lines)


def _refuse_overwriting(root: Path, state: State) -> None:
    """Stop before a file that git does not track would be overwritten."""
    _, written = differences(root, state)
    tracked = set(paths_of("ls-tree", "-r", "-z", "--name-only", state.head, root=root))
    blocked = []
    for path in written:
        if path in tracked:
            continue
        parents = [parent for parent in Path(path).parents if parent != Path(".")]
        foreign = [
            str(parent)
            for parent in parents
            if ((root / parent).is_symlink() or (root / parent).is_file()) and str(parent) not in tracked
        ]
        blocked += foreign or _foreign_at(root, path, tracked)
    if blocked:
        raise InTheWay(root, sorted(set(blocked)))


def _foreign_at(root: Path, path: str, tracked: set[str]) -> list[str]:
    """What git does not track at a path, or below it if that is a folder."""
    place = root / path
    if place.is_dir() and not place.is_symlink():
        below = [(Path(folder) / name).relative_to(root) for folder, _, names in os.walk(place) for name in names]
        return [one.as_posix() for one in below if one.as_posix() not in tracked]
    return [path] if os.path.lexists(place) else []


def resume(root: Path) -> State:
    """Finish the update in progress; returns its state (with conflicts, if a kill came before they were laid out).

    Raises:
        UpdateState: there is none, HEAD is elsewhere, or nothing of it is left.
        Unresolved: conflicts are left.
    """
    store, state = _in_progress(root)
    if state.commit and _contains(root, state.commit):
        store.remove()  # the kill came after the last step that mattered
        return state
    if state.phase == CHECKOUT:
        roll_back(root, store, state, forget=False)
        return _advance(root, store, state)
    _refuse_elsewhere(root, state)
    _refuse_unresolved(root, state)
    mode, oid, path = state.answers
    git.run("update-index", "--add", "--cacheinfo", f"{mode},{oid},{path}", cwd=root)
    git.run("checkout-index", "-f", "-q", "--", path, cwd=root)
    tree, head = git.run("write-tree", cwd=root), git.run("rev-parse", "HEAD", cwd=root)
    if tree != git.run("rev-parse", f"{head}^{{tree}}", cwd=root):
        messages = (_engine_message(state.version), state.message)
        commit = commit_parts(root, state.prefix, tree, head, messages)
        git.run("update-ref", "-m", "tunesmith update --continue", "HEAD", commit, head, cwd=root)
    store.remove()
    return state


def in_progress(root: Path) -> bool:
    """Whether an update waits to be finished."""
    return Store.of(root).read() is not None


def _in_progress(root: Path) -> tuple[Store, State]:
    store = Store.of(root)
    state = store.read()
    if state is None:
        raise UpdateState("no update is in progress", "start one with `tunesmith update`")
    return store, state


def _contains(root: Path, commit: str) -> bool:
    return git.output("merge-base", "--is-ancestor", commit, "HEAD", cwd=root, allowed=(0, 1))[0] == 0


def _refuse_elsewhere(root: Path, state: State) -> None:
    """The version is recorded only where the update is: not on another branch, not after `git reset --hard`."""
    wanted = state.branch or state.head_ref
    if symbolic_head(root) != wanted or not _contains(root, state.head):
        place = short(wanted) or state.head
        raise UpdateState(
            "HEAD is not on the update's branch",
            f"go back with `git switch {place}`, or forget the update with --abort",
        )
    if not is_left(root, state):
        raise UpdateState("the update's files are gone", "run `tunesmith update --abort` and start again")


def _refuse_unresolved(root: Path, state: State) -> None:
    unmerged = paths_of("diff", "--name-only", "--diff-filter=U", "-z", root=root)
    if unmerged:
        raise Unresolved(unmerged, "conflicts are left")
    paths = [line.split("\t", 1)[1] for line in state.stages]
    marker = f"^(<<<<<<< |>>>>>>> {THEIRS} )"
    command = (
        "grep",
        "--cached",
        "-l",
        "-z",
        "-E",
        marker,
        "--",
        *(f":(literal){path}" for path in dict.fromkeys(paths)),
    )
    marked = git.output(*command, cwd=root, allowed=(0, 1))[1].split(b"\0")[:-1]
    if marked:
        raise Unresolved([os.fsdecode(path) for path in marked], "conflict markers are left")
    unstaged = paths_of("diff", "--name-only", "-z", "--ignore-submodules=dirty", root=root)
    if unstaged:
        raise Unresolved(unstaged, "edited but not added")


def abort(root: Path) -> State:
    """Undo the update in progress: every file, the index and the branch as they were.

    Raises:
        UpdateState: there is none, or its result was committed already.
    """
    store, state = _in_progress(root)
    roll_back(root, store, state)
    return state
