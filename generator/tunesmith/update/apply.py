"""Carries out a planned update so that a kill at any step can be continued or aborted.

The commit is made from trees before a file is written. Files are exchanged one by one (`checkout`), then the entries of
the index in one step (`index`); branches move last. What somebody else writes meanwhile stays, or is kept under a ref.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tunesmith import git
from tunesmith.errors import InTheWay, NotClean, Unresolved, UpdateState, WriteFailed
from tunesmith.manifest import ANSWERS
from tunesmith.update import index
from tunesmith.update.checkout import Checkout, Other, Step
from tunesmith.update.git_trees import Entry
from tunesmith.update.merge import THEIRS
from tunesmith.update.plan import Plan
from tunesmith.update.state import CHECKOUT, CONFLICT, State, Store
from tunesmith.update.worktree import (
    MADE,
    TakenBack,
    commit_parts,
    contains,
    differences,
    entries_of,
    holds,
    is_left,
    lay_out,
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
    refuse_two(root)
    if any((git.folder(root) / name).exists() for name in BUSY):
        raise UpdateState("a merge, rebase or cherry-pick is in progress", "finish or abort it first")
    changed = uncommitted(root)
    if changed:
        raise NotClean(root, changed)


def refuse_two(root: Path) -> None:
    """Refuse to start while an update is in progress; one that somebody finished by hand is no longer.

    Raises:
        UpdateState
    """
    store = Store.of(root)
    state = store.read()
    if state and is_finished(root, state):
        store.remove()
    elif state:
        raise UpdateState("an update is in progress", _exit(root, state))


def _exit(root: Path, state: State) -> str:
    """The command that ends an update in progress."""
    head = git.run("rev-parse", "HEAD", cwd=root)
    if state.phase == CHECKOUT:
        return "it was interrupted; `tunesmith update --abort` takes back what it wrote, --continue goes on"
    if holds(root, state, head):
        return "a commit holds it; `tunesmith update --continue` records its version"
    if not is_left(root, state):
        return "nothing of it is left here; `tunesmith update --forget` forgets it and changes no file"
    return "finish it with `tunesmith update --continue`, or undo it with --abort"


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
    """Bring a state into a clean work tree; see `apply`.

    Raises:
        NotClean: a file was written, staged or committed while the update was prepared; nothing was changed.
    """
    _refuse_overwriting(root, state)
    changed = uncommitted(root)
    if changed:
        raise NotClean(root, changed)
    if git.run("rev-parse", "HEAD", cwd=root) != state.head:
        raise UpdateState("a commit was made while the update was prepared", "run the same command again")
    store = Store.of(root)
    store.write(state)
    try:
        return _advance(root, store, state)
    except BaseException as error:  # Ctrl-C too: what was begun is taken back
        with suppress(UpdateState):  # it stays in progress, for `--abort` and `--continue`
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
    if not (state.stages and is_left(root, state)):  # else somebody may be resolving the conflicts already
        lay_out(root, store, state)
    target, head = state.commit or state.head, git.run("rev-parse", "HEAD", cwd=root)
    if head not in (state.head, state.commit):
        raise UpdateState("a commit was made while the update was applied", "run the same command again")
    if state.branch and symbolic_head(root) != state.branch:
        if not git.run("for-each-ref", state.branch, cwd=root):
            new = "0" * len(target)
            git.run("update-ref", "--create-reflog", "-m", MADE, state.branch, target, new, cwd=root)
        before, after = short(state.head_ref) or state.head, short(state.branch)
        moved = f"checkout: moving from {before} to {after}"  # the words in which `git switch -` looks for the way back
        git.run("symbolic-ref", "-m", moved, "HEAD", state.branch, cwd=root)
    elif not state.branch and state.commit and head != state.commit:
        git.run("update-ref", "-m", "tunesmith update", "HEAD", target, state.head, cwd=root)
    if state.stages:
        state = state.at(CONFLICT)
        store.write(state)
    else:
        store.remove()
    return state


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
        NotClean: a file was written since a kill, or the recorded answers were edited.
        Unresolved: conflicts are left.
    """
    store, state = _in_progress(root)
    if is_finished(root, state):
        store.remove()  # the kill came after the last step that mattered, or somebody finished it by hand
        return state
    head = git.run("rev-parse", "HEAD", cwd=root)
    if state.phase == CHECKOUT:
        if head not in (state.head, state.commit) or symbolic_head(root) not in (state.head_ref, state.branch):
            fix = "`tunesmith update --abort` takes back what it wrote; then update again"
            raise UpdateState("a commit or a switch of branches came after the update was interrupted", fix)
        return _advance(root, store, state)
    _refuse_elsewhere(root, state, head)
    _refuse_unresolved(root, state)
    mode, oid, path = state.answers
    recorded = Entry(mode, oid)
    there = entries_of(root, head, [path]).get(path)
    left = Checkout(root, store.folder).bring([Step(path, there, recorded)], Other.REFUSE, head)
    if left:
        raise NotClean(root, left)
    index.rewrite(root, store, lambda now: _with_answers(root, now, path, (there, recorded)))
    tree = git.run("write-tree", cwd=root)
    if tree != git.run("rev-parse", f"{head}^{{tree}}", cwd=root):
        messages = (_engine_message(state.version), state.message)
        commit = commit_parts(root, state.prefix, tree, head, messages)
        git.run("update-ref", "-m", "tunesmith update --continue", "HEAD", commit, head, cwd=root)
    store.remove()
    return state


def _with_answers(
    root: Path, now: index.Index, path: str, sides: tuple[Entry | None, Entry]
) -> dict[str, index.Listed]:
    """The index with the answers recorded, if nobody staged others."""
    listed = now.get(path, index.NOTHING)
    if listed.merged not in sides:
        raise NotClean(root, [path])
    return {path: index.Listed({0: sides[1]}, listed.flags)}


def is_finished(root: Path, state: State) -> bool:
    """Whether HEAD has the update: its commit, or its answers recorded by somebody's hand."""
    if state.commit and contains(root, "HEAD", state.commit):
        return True
    mode, oid, path = state.answers
    return state.phase == CONFLICT and entries_of(root, "HEAD", [path]).get(path) == Entry(mode, oid)


def in_progress(root: Path) -> bool:
    """Whether an update waits to be finished."""
    return Store.of(root).read() is not None


def _in_progress(root: Path) -> tuple[Store, State]:
    store = Store.of(root)
    state = store.read()
    if state is None:
        raise UpdateState("no update is in progress", "start one with `tunesmith update`")
    return store, state


def _refuse_elsewhere(root: Path, state: State, head: str) -> None:
    """The version is recorded only where the update is, on whatever branch: not after it was thrown away."""
    wanted, forget = state.branch or state.head_ref, "`tunesmith update --forget` forgets it and changes no file"
    if holds(root, state, head):
        return
    if head == state.head and symbolic_head(root) != wanted and is_left(root, state):
        if git.run("for-each-ref", wanted, cwd=root):
            raise UpdateState("HEAD is not on the update's branch", f"go back with `git switch {short(wanted)}`")
        return  # its branch was removed, and its files were carried here
    if contains(root, head, state.head) and is_left(root, state):
        return
    holder = next((ref for ref in _branches(root) if holds(root, state, ref)), "")
    if holder:
        raise UpdateState("the update is on another branch", f"`git switch {short(holder)}`, then continue")
    if head == state.head and symbolic_head(root) != wanted:
        raise UpdateState("the update was left for another branch", f"{forget}; so does --abort")
    raise UpdateState("the update's files are gone", f"{forget}; so does --abort. Then start again")


def _branches(root: Path) -> list[str]:
    return git.run("for-each-ref", "--format=%(refname)", "--sort=-committerdate", "refs/heads", cwd=root).split()


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


def abort(root: Path) -> tuple[State, TakenBack]:
    """Undo the update in progress: every file, the index and the branch as they were.

    Raises:
        UpdateState: there is none, or its result was committed already.
    """
    store, state = _in_progress(root)
    if is_finished(root, state) and git.run("rev-parse", "HEAD", cwd=root) != state.commit:
        store.remove()
        raise UpdateState("the update is finished: HEAD holds it", "`git revert` undoes its commits")
    return state, roll_back(root, store, state)


def forget(root: Path) -> State:
    """Forget the update in progress; no file, branch or index changes."""
    store, state = _in_progress(root)
    Checkout(root, store.folder).recover(state.head)
    store.remove()
    return state
