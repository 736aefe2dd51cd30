"""Steps on a repository's work tree, index and branches that an update is made of, and the way back."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from tunesmith import git
from tunesmith.errors import GitFailed, UpdateState
from tunesmith.update.git_trees import Repository
from tunesmith.update.state import CONFLICT, State, Store

ENGINE = ("engine/", "locks/")
FORMER_ENGINE = ("pipeline/", "tests/")  # until 0.3.0
ABORTED = "refs/tunesmith/aborted"
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


def begin_index(store: Store) -> None:
    """Our own index, begun from the user's as it was when the update began."""
    if not store.index_before.exists():
        beside = store.folder / "index.copy"
        shutil.copyfile(store.index_of_user, beside)
        beside.replace(store.index_before)
    lock = store.lock
    if lock.exists() and store.index.exists() and lock.samefile(store.index):
        lock.unlink()  # ours, from a kill between the two steps of `install_index`
    for leftover in (store.index, store.index.with_name("index.lock")):
        leftover.unlink(missing_ok=True)
    shutil.copyfile(store.index_before, store.index)


def install_index(store: Store) -> None:
    """Replace the user's index by ours, as git itself does.

    Raises:
        UpdateState: another git holds the lock.
    """
    lock = store.lock
    try:
        os.link(store.index, lock)
    except FileExistsError:
        fix = f"wait for it to end, or remove {lock} if none runs; then run `tunesmith update --continue` or --abort"
        raise UpdateState("another git process holds the index", fix) from None
    lock.replace(store.index_of_user)
    store.index.unlink()


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


def roll_back(root: Path, store: Store, state: State, *, forget: bool = True) -> None:
    """The repository as it was before the update.

    Raises:
        UpdateState: commits were made since.
    """
    head = git.run("rev-parse", "HEAD", cwd=root)
    stayed = state.branch == symbolic_head(root) and head == state.head
    if state.phase == CONFLICT and not stayed and not is_left(root, state):
        _forget(root, store, state)
        return
    if head not in (state.head, state.commit):
        fix = f"`git switch {short(state.head_ref) or state.head}` leaves it; `--continue` finishes it"
        raise UpdateState("commits were made since the update began, and an abort would hide them", fix)
    _keep_resolutions(root, store, state)
    begin_index(store)
    own = {"GIT_INDEX_FILE": str(store.index)}
    removed, written = differences(root, state)
    before = set(paths_of("ls-tree", "-r", "-z", "--name-only", state.head, root=root))
    for path in written:
        if path not in before:
            _remove(root, path)
    restored = b"".join(os.fsencode(path) + b"\0" for path in [*removed, *(path for path in written if path in before)])
    git.run("checkout-index", "-f", "-u", "-q", "-z", "--stdin", cwd=root, extra=own, data=restored)
    install_index(store)
    _move_back(root, state)
    if forget:
        store.remove()


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


def _move_back(root: Path, state: State) -> None:
    """HEAD on the branch and commit that it was on; the branch of the update gone."""
    reason = ("-m", "tunesmith update --abort")
    if state.head_ref and state.branch:
        git.run("symbolic-ref", *reason, "HEAD", state.head_ref, cwd=root)
    elif state.head_ref:
        git.run("update-ref", *reason, "HEAD", state.head, cwd=root)
    else:
        git.run("update-ref", "--no-deref", *reason, "HEAD", state.head, cwd=root)
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


def _remove(root: Path, path: str) -> None:
    """Remove a file that the update added, and the folders that this leaves empty."""
    (root / path).unlink(missing_ok=True)
    for parent in Path(path).parents:
        if parent == Path(".") or not (root / parent).is_dir() or any((root / parent).iterdir()):
            return
        (root / parent).rmdir()


def _keep_resolutions(root: Path, store: Store, state: State) -> None:
    """What the user made of the conflicts so far stays reachable as a commit, refs/tunesmith/aborted."""
    if state.phase != CONFLICT:
        return
    removed, written = differences(root, state)
    lines = [line.split("\t", 1)[1] for line in state.stages]
    touched = [path for path in dict.fromkeys([*removed, *written, *lines]) if "\n" not in path]
    present = [path for path in touched if (root / path).is_file()]
    repository = Repository(root, store.folder)
    listing = "".join(f"{path}\n" for path in present).encode(errors="surrogateescape")
    oids = repository.run("hash-object", "-w", "--stdin-paths", data=listing).split() if present else []
    index = {"GIT_INDEX_FILE": str(store.folder / "index.aborted")}
    repository.run("read-tree", state.head, extra=index)
    entries = (f"100644 {oid} 0\t{path}" for oid, path in zip(oids, present, strict=True))
    data = b"".join(os.fsencode(entry) + b"\0" for entry in entries)
    repository.run("update-index", "--add", "--replace", "-z", "--index-info", data=data, extra=index)
    commit = commit_tree(
        root, repository.run("write-tree", extra=index), state.head, "Resolutions of an aborted update"
    )
    git.run("update-ref", ABORTED, commit, cwd=root)
