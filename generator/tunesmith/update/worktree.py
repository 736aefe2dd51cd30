"""Steps on a repository's work tree, index and branches that an update is made of, and the way back."""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tunesmith import git
from tunesmith.errors import GitFailed, NotClean, UpdateState
from tunesmith.update import index
from tunesmith.update.checkout import Checkout, Other, Step
from tunesmith.update.git_trees import Entry
from tunesmith.update.state import CONFLICT, State, Store

ENGINE = ("engine/", "locks/")
FORMER_ENGINE = ("pipeline/", "tests/")  # until 0.3.0
MADE = "tunesmith update: a branch of its own"  # in the reflog: who made a branch


def commit_tree(root: Path, tree: str, parent: str, message: str) -> str:
    """Id of a new commit; no branch has it yet."""
    return git.under_a_name(("commit-tree", tree, "-p", parent, "-F", "-"), root, message.encode())[0]


def commit_parts(root: Path, prefix: str, tree: str, parent: str, messages: tuple[str, str]) -> str:
    """Id of the newest of the commits that lead from ``parent`` to ``tree``: the engine first, so that a reviewer can
    read the rest alone. One commit if only one part differs. ``messages``: of the engine's commit, of the other.
    """
    before = git.run("rev-parse", f"{parent}^{{tree}}", cwd=root)
    differing = git.output("diff-tree", "-r", "-z", "--no-renames", before, tree, cwd=root)[1].split(b"\0")[:-1]
    lines = []
    for facts, path in zip(differing[::2], differing[1::2], strict=True):
        _, mode, _, oid, status = facts.decode().split(" ")
        if is_engine(os.fsdecode(path).removeprefix(prefix), removed=status == "D"):
            lines.append(f"{mode} {oid} 0\t".encode() + path if status != "D" else f"0 {oid}\t".encode() + path)
    if not 0 < len(lines) < len(differing) // 2:
        return commit_tree(root, tree, parent, messages[1])
    with tempfile.TemporaryDirectory(prefix="tunesmith.") as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.run("read-tree", before, cwd=root, extra=own)
        data = b"".join(line + b"\0" for line in lines)
        git.run("update-index", "--add", "--replace", "-z", "--index-info", cwd=root, extra=own, data=data)
        engine = git.run("write-tree", cwd=root, extra=own)
    return commit_tree(root, tree, commit_tree(root, engine, parent, messages[0]), messages[1])


def is_engine(path: str, *, removed: bool = False) -> bool:
    """Whether a file of a project comes with the engine; also what an older layout kept elsewhere, if it goes."""
    return path.startswith(ENGINE) or (removed and path.startswith(FORMER_ENGINE))


def free_branch(root: Path, name: str) -> str:
    """``name``, or with a number after it where that branch exists.

    Raises:
        UpdateState: git has no room for it beside a branch that is a part of its name, or that its name is a part of.
    """
    taken = set(git.run("for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=root).split())
    blocking = [one for one in sorted(taken) if f"{name}/".startswith(f"{one}/") or f"{one}/".startswith(f"{name}/")]
    if blocking and blocking != [name]:
        other = next(one for one in blocking if one != name)
        raise UpdateState(
            f"the branch {name} cannot exist next to the branch {other}", "name another with --branch NAME"
        )
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
    return next(candidate for candidate in numbered if candidate not in taken)


@dataclass(frozen=True)
class Touched:
    """A path that an update changes, in the tree before and after it. ``open``: it is in conflict."""

    path: str
    before: Entry | None
    after: Entry | None
    open: Mapping[int, Entry]


def touched(root: Path, state: State) -> list[Touched]:
    """Every path that the update changes on disk or in the index."""
    stages: dict[str, dict[int, Entry]] = {}
    for line in state.stages:
        facts, path = line.split("\t", 1)
        mode, oid, number = facts.split(" ")
        stages.setdefault(path, {})[int(number)] = Entry(mode, oid)
    found = {}
    listing = git.output("diff-tree", "-r", "-z", "--no-renames", state.head, state.tree, cwd=root)[1].split(b"\0")[:-1]
    for differing, name in zip(listing[::2], listing[1::2], strict=True):
        old, new, before, after, status = differing.decode().lstrip(":").split(" ")
        path = os.fsdecode(name)
        first = None if status == "A" else Entry(old, before)
        second = None if status == "D" else Entry(new, after)
        found[path] = Touched(path, first, second, stages.get(path, {}))
    for path in stages.keys() - found.keys():
        same = entries_of(root, state.head, [path]).get(path)
        found[path] = Touched(path, same, same, stages[path])
    return sorted(found.values(), key=lambda one: one.path)


def entries_of(root: Path, commit: str, paths: Iterable[str]) -> dict[str, Entry]:
    """The entries of a commit's tree at some paths."""
    wanted, found = set(paths), {}
    for line in git.output("ls-tree", "-r", "-z", "--full-tree", commit, cwd=root)[1].split(b"\0")[:-1]:
        facts, name = line.split(b"\t", 1)
        if (path := os.fsdecode(name)) in wanted:
            mode, _, oid = facts.decode().split(" ")
            found[path] = Entry(mode, oid)
    return found


def note_flags(root: Path, store: Store, state: State) -> None:
    """Write down, once, what the user's index says of the touched paths."""
    if store.notes.exists():
        return
    listed = index.read(root, store.index_of_user)
    flags = {one.path: listed[one.path].flags for one in touched(root, state) if one.path in listed}
    sparse = [path for path, given in flags.items() if index.SKIP in given and not os.path.lexists(root / path)]
    notes = {"flags": {path: given for path, given in flags.items() if given}, "sparse": sparse}
    store.write_beside(store.notes, json.dumps(notes))


def lay_out(root: Path, store: Store, state: State) -> None:
    """The files and the index of the update, from whatever step is done.

    Raises:
        NotClean: somebody wrote a file, or staged one, since the update began.
    """
    note_flags(root, store, state)
    notes, paths = json.loads(store.notes.read_text("utf-8")), touched(root, state)
    left = Checkout(root, store.folder).bring(_steps(paths, notes["sparse"]), Other.REFUSE, state.head)
    if left:
        raise NotClean(root, left)

    def change(now: index.Index) -> dict[str, index.Listed]:
        foreign = [one.path for one in paths if not _is_ours(one, now.get(one.path, index.NOTHING))]
        if foreign:
            raise NotClean(root, foreign)
        return {
            one.path: index.Listed(one.open)
            if one.open
            else index.Listed({0: one.after} if one.after else {}, tuple(notes["flags"].get(one.path, ())))
            for one in paths
        }

    index.rewrite(root, store, change)


def _steps(paths: Sequence[Touched], sparse: Sequence[str]) -> list[Step]:
    """What changes on disk. What a sparse checkout leaves out is there before and after the update only in conflict."""
    absent = set(sparse)
    return [
        Step(one.path, None if one.path in absent else one.before, one.after)
        for one in paths
        if one.path not in absent or one.open
    ]


def _is_ours(one: Touched, listed: index.Listed) -> bool:
    """Whether an index has of a path what it had before the update, or what the update wrote."""
    if one.open and listed.stages == one.open:
        return True
    return set(listed.stages) <= {0} and listed.merged in (one.before, one.after)


@dataclass(frozen=True)
class TakenBack:
    """What an abort did: paths that stay as somebody wrote them, and refs of what it replaced."""

    left: Sequence[str] = ()
    kept: Sequence[str] = ()


def roll_back(root: Path, store: Store, state: State) -> TakenBack:
    """The repository as it was before the update; what was committed since stays.

    Files that were written since the update began stay as they are, unless they resolve its conflicts: those are kept
    under a ref and replaced.

    Raises:
        UpdateState: a commit holds the update.
    """
    head = git.run("rev-parse", "HEAD", cwd=root)
    stayed = state.branch == symbolic_head(root) and head == state.head
    moved = head not in (state.head, state.commit)
    if state.phase == CONFLICT and not stayed and not is_left(root, state):
        if moved and holds(root, state, head):
            fix = "`tunesmith update --continue` records its version; `--forget` leaves everything as it is"
            raise UpdateState("a commit of yours holds the update, and an abort would hide it", fix)
        _forget(root, store, state)
        return TakenBack()
    if moved and holds(root, state, head):
        fix = "`tunesmith update --continue` records its version; `--forget` leaves everything as it is"
        raise UpdateState("a commit of yours holds the update, and an abort would hide it", fix)
    note_flags(root, store, state)
    notes, paths = json.loads(store.notes.read_text("utf-8")), touched(root, state)
    if moved:
        there = entries_of(root, head, [one.path for one in paths])
        paths = [one for one in paths if there.get(one.path) == one.before]
    checkout = Checkout(root, store.folder)
    resolving = state.phase == CONFLICT
    backwards = [Step(step.path, step.after, step.before) for step in _steps(paths, notes["sparse"])]
    left = checkout.bring(backwards, Other.REPLACE if resolving else Other.LEAVE, state.head)

    def change(now: index.Index) -> dict[str, index.Listed]:
        listed = [(one, now.get(one.path, index.NOTHING)) for one in paths]
        foreign = {one.path for one, there in listed if not _is_ours(one, there)}
        if resolving:
            staged = {one.path: there.merged for one, there in listed if one.path in foreign and there.merged}
            checkout.keep({}, state.head, staged)
            foreign = set()
        return {
            one.path: index.Listed({0: one.before} if one.before else {}, tuple(notes["flags"].get(one.path, ())))
            for one in paths
            if one.path not in foreign
        }

    index.rewrite(root, store, change)
    if moved:
        if state.branch != symbolic_head(root):
            _remove_branch(root, state)
    else:
        _move_back(root, state, head)
    store.remove()
    return TakenBack(left, checkout.kept)


def holds(root: Path, state: State, commit: str) -> bool:
    """Whether a commit's tree has most of what the update changes without conflict; of one that is nothing but
    conflicts, whether the commit comes after the one that the update began from and changed one of its files.
    """
    paths = [one for one in touched(root, state) if one.path != state.answers[2]]
    there = entries_of(root, commit, [one.path for one in paths])
    merged = [one for one in paths if not one.open]
    if merged:
        return 2 * sum(there.get(one.path) == one.after for one in merged) > len(merged)
    return contains(root, commit, state.head) and any(there.get(one.path) != one.before for one in paths)


def contains(root: Path, commit: str, ancestor: str) -> bool:
    """Whether a commit is another one, or comes after it."""
    return git.output("merge-base", "--is-ancestor", ancestor, commit, cwd=root, allowed=(0, 1))[0] == 0


def differences(root: Path, state: State) -> tuple[list[str], list[str]]:
    """Paths that the update removes, and paths that it writes."""
    options = ("diff-tree", "-r", "-z", "--no-renames", "--name-only")
    removed = paths_of(*options, "--diff-filter=D", state.head, state.tree, root=root)
    return removed, paths_of(*options, "--diff-filter=d", state.head, state.tree, root=root)


def paths_of(*arguments: str, root: Path) -> list[str]:
    """Paths that a git command lists with ``-z``."""
    return [os.fsdecode(path) for path in git.output(*arguments, cwd=root)[1].split(b"\0")[:-1]]


def is_left(root: Path, state: State) -> bool:
    """Whether the index holds anything of an update whose conflicts were laid out."""
    removed, written = differences(root, state)
    open_paths = {line.split("\t", 1)[1] for line in state.stages}
    differing = paths_of("diff-index", "--cached", "-z", "--no-renames", "--name-only", state.tree, root=root)
    if {*removed, *written} - open_paths - set(differing):
        return True
    # A conflict may be resolved to what was there; git remembers that until a reset or a switch of branches.
    return bool(paths_of("ls-files", "-z", "--unmerged", "--resolve-undo", root=root))


def _forget(root: Path, store: Store, state: State) -> None:
    """The user threw the update away or left it for another commit, whose files are not ours to touch.

    The update's branch goes, unless it is checked out or somebody committed to it.
    """
    if state.branch != symbolic_head(root):
        _remove_branch(root, state)
    store.remove()


def _remove_branch(root: Path, state: State) -> None:
    """Remove the branch that the update made, if nothing else was committed there."""
    if state.branch:
        tip = git.run("for-each-ref", "--format=%(objectname)", state.branch, cwd=root)
        if tip in (state.head, state.commit):
            git.output("update-ref", "-d", state.branch, tip, cwd=root, allowed=(0, 1))


def remove_merged(root: Path) -> list[str]:
    """Remove the branches of earlier updates that the commit checked out contains whole. Returns their names.

    The reflog tells which ones an update made; git itself refuses those that other work trees have checked out, and
    those that are ahead of their upstream.
    """
    removed = []
    for ref in git.run("for-each-ref", "--merged=HEAD", "--format=%(refname)", "refs/heads", cwd=root).split():
        made = git.run("log", "--walk-reflogs", "--format=%gs", ref, "--", cwd=root).splitlines()
        if ref != symbolic_head(root) and made[-1:] == [MADE]:
            with suppress(GitFailed):
                git.run("branch", "-d", short(ref), cwd=root)
                removed.append(short(ref))
    return removed


def _move_back(root: Path, state: State, head: str) -> None:
    """HEAD on the branch and commit that it was on, if nobody moved it from ``head``; the update's branch gone."""
    reason, there = ("-m", "tunesmith update --abort"), symbolic_head(root)
    if state.branch and there == state.branch:
        if state.head_ref:
            git.run("symbolic-ref", *reason, "HEAD", state.head_ref, cwd=root)
        else:
            git.run("update-ref", "--no-deref", *reason, "HEAD", state.head, head, cwd=root)
    elif there == state.head_ref and head != state.head:
        git.run("update-ref", *reason, "HEAD", state.head, head, cwd=root)
    _remove_branch(root, state)


def symbolic_head(root: Path) -> str:
    """Full name of the branch that is checked out, empty for a detached HEAD."""
    try:
        return git.run("symbolic-ref", "--quiet", "HEAD", cwd=root)
    except GitFailed:
        return ""


def short(ref: str) -> str:
    """A branch's name without the folder that git keeps branches in."""
    return ref.removeprefix("refs/heads/")
