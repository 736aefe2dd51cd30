"""Changes entries of a repository's index in one step, and only if nobody else changed it meanwhile."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tunesmith import git
from tunesmith.errors import UpdateState
from tunesmith.update.git_trees import Entry
from tunesmith.update.state import Store

ATTEMPTS = 5  # a background `git add` is over by then
SKIP, ASSUMED = "--skip-worktree", "--assume-unchanged"


class Listed(NamedTuple):
    """What an index has of a path: entries by stage (0: it is merged), and the flags that a user gave it."""

    stages: Mapping[int, Entry]
    flags: tuple[str, ...] = ()

    @property
    def merged(self) -> Entry | None:
        """The entry of a path without conflict."""
        return self.stages.get(0)


NOTHING = Listed({})
Index = Mapping[str, Listed]
Change = Callable[[Index], Mapping[str, Listed]]


def read(root: Path, index: Path) -> dict[str, Listed]:
    """Every path of an index."""
    listing = git.output("ls-files", "--stage", "-v", "-z", cwd=root, extra={"GIT_INDEX_FILE": str(index)})[1]
    found: dict[str, Listed] = {}
    for line in listing.split(b"\0")[:-1]:
        facts, name = line.split(b"\t", 1)
        tag, mode, oid, stage = facts.decode().split(" ")
        path = os.fsdecode(name)
        stages = {**found[path].stages} if path in found else {}
        stages[int(stage)] = Entry(mode, oid)
        skip, assumed = tag in "Ss", tag.islower()
        found[path] = Listed(stages, (*((SKIP,) if skip else ()), *((ASSUMED,) if assumed else ())))
    return found


def rewrite(root: Path, store: Store, change: Change) -> None:
    """Give paths other entries. ``change`` gets the index as it is, and is called again if that changed meanwhile.

    Raises:
        UpdateState: another git holds the index, or changes it again and again.
    """
    lock = store.lock
    if lock.exists() and store.index.exists() and lock.samefile(store.index):
        lock.unlink()  # ours, from a kill between the two steps of `_install`
    for _ in range(ATTEMPTS):
        for leftover in (store.index, store.index.with_name("index.lock")):
            leftover.unlink(missing_ok=True)
        shutil.copyfile(store.index_of_user, store.index)
        before = read(root, store.index)
        wanted = change(before)
        if wanted:
            _write(root, store.index, wanted)
        git.output("update-index", "-q", "--refresh", cwd=root, extra=_own(store.index), allowed=(0, 1))
        if _install(root, store, before):
            return
    raise UpdateState("another process keeps changing the index", "stop it, then run the command again")


def _write(root: Path, index: Path, wanted: Mapping[str, Listed]) -> None:
    zero = "0" * len(git.run("rev-parse", "HEAD", cwd=root))
    removed = [f"0 {zero}\t{path}" for path in wanted]
    lines = [
        f"{entry.mode} {entry.oid} {stage}\t{path}"
        for path, listed in wanted.items()
        for stage, entry in sorted(listed.stages.items())
    ]
    _feed(root, index, ("--add", "--replace", "-z", "--index-info"), [*removed, *lines])
    for flag in (SKIP, ASSUMED):
        _feed(
            root,
            index,
            (flag, "-z", "--stdin"),
            [p for p, listed in wanted.items() if flag in listed.flags and listed.merged],
        )


def _feed(root: Path, index: Path, options: tuple[str, ...], lines: Iterable[str]) -> None:
    data = b"".join(os.fsencode(line) + b"\0" for line in lines)
    if data:
        git.run("update-index", *options, cwd=root, extra=_own(index), data=data)


def _install(root: Path, store: Store, before: Index) -> bool:
    """Replace the user's index by ours, as git itself does. Returns whether it was still as ``before``."""
    try:
        os.link(store.index, store.lock)
    except FileExistsError:
        fix = f"wait for it, or remove {store.lock} if none runs; then run `tunesmith update --continue` or --abort"
        raise UpdateState("another git process holds the index", fix) from None
    if read(root, store.index_of_user) != before:
        store.lock.unlink()
        return False
    store.lock.replace(store.index_of_user)
    store.index.unlink()
    return True


def _own(index: Path) -> dict[str, str]:
    return {"GIT_INDEX_FILE": str(index)}
