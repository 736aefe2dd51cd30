"""Makes a project directory from copier answers: rendered beside, committed, and only then moved into place."""

import errno
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tunesmith import __version__, git
from tunesmith.errors import (
    DirectoryInUse,
    GitFailed,
    NestedRepository,
    NoRepository,
    NotADirectory,
    RenderFailed,
    WriteFailed,
)
from tunesmith.render import render

FULL = 2**20  # bytes free, below which git and copier cannot write a project
STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True)
class Target:
    """Where a project goes. ``subdir``: a part of the repository around it; ``force``: beside files that are there."""

    path: Path
    subdir: bool = False
    force: bool = False


@dataclass(frozen=True)
class Created:
    """What came of it. ``own_identity`` is False when git had no name to commit under.

    ``repository`` is the root of the git repository that the files belong to; ``committed`` says that it was made here.
    """

    path: Path
    files: int
    repository: Path
    committed: bool
    own_identity: bool


def check(target: Target) -> None:
    """Refuse a target before anything is asked or rendered.

    Raises:
        NotADirectory, DirectoryInUse, NestedRepository, NoRepository
    """
    path = target.path
    blocking = next((part for part in (path, *path.parents) if part.exists() and not part.is_dir()), None)
    if blocking:
        raise NotADirectory(blocking)
    entries = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    if entries and not target.force:
        raise DirectoryInUse(path, entries, forced=False)
    outer = git.toplevel(path)
    if outer and not target.subdir and outer != path.resolve():
        raise NestedRepository(path, outer)
    if target.subdir and outer is None:
        raise NoRepository(path)


def create(answers: Mapping[str, Any], target: Target) -> Created:
    """Render these copier answers, commit and move into place; whatever stops it, the target is as it was.

    Raises:
        TunesmithError: see `check` and `render`.
        WriteFailed: the disk is full or read-only.
    """
    check(target)
    path = target.path.resolve()
    try:
        with _stopped_by_signals() as stop_if_asked, _beside(path) as scratch:
            staged = scratch / "project"
            outer = git.toplevel(path)
            with _full_disk_is_told(scratch):
                render(answers, staged, scratch)
                files = sum(1 for entry in staged.rglob("*") if entry.is_file())
                identity = (
                    git.start_repository(staged, f"Generate the project with Tunesmith {__version__}")
                    if outer is None
                    else True
                )
            stop_if_asked()
            _put(staged, path)
    except OSError as error:
        raise WriteFailed(path, error.strerror or str(error)) from error
    return Created(path, files, outer or path, outer is None, identity)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A scratch folder on the same file system as ``path``, removed in every case with the parents made for it."""
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".tunesmith.", dir=path if path.is_mount() else path.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for parent in made:
            if not any(parent.iterdir()):
                parent.rmdir()


@contextmanager
def _full_disk_is_told(folder: Path) -> Iterator[None]:
    """git and copier report a full disk in many words; an error with nothing free is this one."""
    try:
        yield
    except (GitFailed, RenderFailed) as error:
        if shutil.disk_usage(folder).free < FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


@contextmanager
def _stopped_by_signals() -> Iterator[Callable[[], None]]:
    """SIGINT, SIGTERM and SIGHUP unwind, so scratch folders are removed. Yields a check for the last moment to stop.

    Python drops an exception that a signal raises inside a destructor or a callback; the check raises it again.
    """
    received: list[int] = []

    def raise_for(number: int) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise_for(number)

    def check() -> None:
        if received:
            raise_for(received[0])

    try:
        previous = {number: signal.signal(number, stop) for number in STOPPING}
    except ValueError:  # not the main thread: the caller deals with signals
        yield check
        return
    try:
        yield check
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _put(staged: Path, path: Path) -> None:
    """Move the project into place: by one rename, or into a directory that is there already.

    Such a directory itself stays: it can be where a shell stands, or where a volume is mounted.
    """
    if not path.exists():
        staged.replace(path)
        return
    differing = sorted(_differing(staged, path))
    if differing:
        raise DirectoryInUse(path, differing, forced=True)
    placed: list[Path] = []
    try:
        _move_entries(staged, path, placed)
    except BaseException:
        for entry in placed:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        raise


def _differing(staged: Path, path: Path) -> Iterator[str]:
    """Files of ``path`` that stand where the project has something else."""
    for entry in staged.rglob("*"):
        there = path / entry.relative_to(staged)
        same_kind = there.is_dir() if entry.is_dir() else there.is_file()
        if there.exists() and not (same_kind and (entry.is_dir() or there.read_bytes() == entry.read_bytes())):
            yield str(there.relative_to(path))


def _move_entries(source: Path, target: Path, placed: list[Path]) -> None:
    """Move what ``target`` has not; folders that both have are merged. The repository comes last."""
    for entry in sorted(source.iterdir(), key=lambda entry: (entry.name == ".git", entry.name)):
        there = target / entry.name
        if not there.exists():
            placed.append(there)
            entry.replace(there)
        elif entry.is_dir():
            _move_entries(entry, there, placed)
