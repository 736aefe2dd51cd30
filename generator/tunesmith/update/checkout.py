"""Brings files of a work tree from one tree to another, and never over what somebody else wrote meanwhile.

A file is moved aside before it is replaced, and the new one is linked into the free place. So whatever another process
writes at any moment is found: in the file that was moved aside, or in a place that is no longer free. What is replaced
on purpose is kept first, as a commit under a ref of its own.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from tunesmith import git
from tunesmith.update.git_trees import EXECUTABLE, FILE, SYMLINK, Entry, Repository

KEPT = "refs/tunesmith/kept"
# A user's settings that let git trust something else than the content of a file.
_BY_CONTENT = ("-c", "core.ignoreStat=false", "-c", "core.fsmonitor=false", "-c", "core.safecrlf=false")


class Other(Enum):
    """What to do with a file that is neither as it was nor as it will be: somebody wrote it meanwhile."""

    REFUSE = "change nothing"
    LEAVE = "leave it, and bring the others"
    REPLACE = "keep it under a ref, then replace it"


@dataclass(frozen=True)
class Step:
    """A path of the work tree with what git would have there before and after; None is no file."""

    path: str
    before: Entry | None
    after: Entry | None


class _State(Enum):
    BEFORE = "as it was"
    AFTER = "as it will be"
    MISSING = "removed by somebody"
    OTHER = "written by somebody"


@dataclass(frozen=True)
class Checkout:
    """A work tree, and a folder of ours in its .git for files on their way in and out."""

    root: Path
    folder: Path
    kept: list[str] = field(default_factory=list)  # refs that were made
    held: set[tuple[str, Entry]] = field(default_factory=set)  # what they hold

    @property
    def _aside(self) -> Path:
        return self.folder / "aside"

    @property
    def _new(self) -> Path:
        return self.folder / "new"

    @property
    def _moved(self) -> Path:
        """By path the digest of the file when it was last looked at, before it was moved aside."""
        return self.folder / "moved.json"

    def bring(self, steps: Sequence[Step], other: Other, head: str) -> list[str]:
        """Carry out the steps that are not done yet. Returns the paths that stay as somebody wrote them.

        ``head`` is the commit that kept files are put beside. Only with `Other.REFUSE` nothing is changed if a path is
        returned that was written before the call; one that is written during the call stays as it is in any case.
        """
        self.recover(head)
        states = self.look(steps)
        others = [step.path for step in steps if states[step.path] is _State.OTHER]
        if others and other is Other.REFUSE:
            return others
        replaced = [path for path in others if other is Other.REPLACE and not _is_folder(self.root / path)]
        todo = [
            step for step in steps if states[step.path] in (_State.BEFORE, _State.MISSING) or step.path in set(replaced)
        ]
        if not todo:
            return [path for path in others if path not in replaced]
        digests = {step.path: digest(self.root / step.path) for step in todo}
        self.keep({path: self.root / path for path in replaced}, head)
        again = self.look([step for step in todo if step.path not in set(replaced)])
        todo = [step for step in todo if again.get(step.path) is not _State.OTHER]
        late = [path for path, state in again.items() if state is _State.OTHER]
        if late and other is Other.REFUSE:
            return late
        self._stage(todo)
        _write_whole(self._moved, json.dumps(digests))
        late += self._swap(todo, digests)
        late += self._edited_aside(digests, head, replaced)
        self._clear()
        return sorted({*late, *(path for path in others if path not in replaced)})

    def look(self, steps: Iterable[Step]) -> dict[str, _State]:
        """The state of each path, by content and mode."""
        listed = list(steps)
        leaving = {step.path for step in listed if step.before and not step.after}
        as_was = self.unchanged({step.path: step.before for step in listed if step.before})
        as_will_be = self.unchanged({step.path: step.after for step in listed if step.after})

        def state(step: Step) -> _State:
            place = self.root / step.path
            if step.after is None and (not os.path.lexists(place) or _is_folder(place)):
                return _State.AFTER  # a folder in the place of a file is not ours to remove
            if self._beyond(step.path, leaving):
                return _State.OTHER
            if not os.path.lexists(place):
                return _State.BEFORE if step.before is None else _State.MISSING
            if step.path in as_will_be:
                return _State.AFTER
            if step.path in as_was or (step.before is None and self._holds_only(place, leaving)):
                return _State.BEFORE
            return _State.OTHER

        return {step.path: state(step) for step in listed}

    def unchanged(self, wanted: Mapping[str, Entry]) -> set[str]:
        """Paths whose files hold what git would check out. No flag of an index and no time stamp counts."""
        if not wanted:
            return set()
        index = self.folder / "index.look"
        index.unlink(missing_ok=True)
        own = {"GIT_INDEX_FILE": str(index)}
        self._index_entries(wanted, own)
        git.output(*_BY_CONTENT, "update-index", "-q", "--really-refresh", cwd=self.root, extra=own, allowed=(0, 1))
        listed = git.output(*_BY_CONTENT, "diff-files", "-z", "--name-only", "--no-renames", cwd=self.root, extra=own)
        differing = {os.fsdecode(path) for path in listed[1].split(b"\0")[:-1]}
        return {path for path in wanted if path not in differing} | self._equal_bytes(
            {path: wanted[path] for path in differing if path in wanted}
        )

    def _equal_bytes(self, wanted: Mapping[str, Entry]) -> set[str]:
        """Paths whose files are byte for byte what the tree has. A filter can make git call them modified forever."""
        regular = {
            path: entry
            for path, entry in wanted.items()
            if entry.mode in (FILE, EXECUTABLE) and (self.root / path).is_file() and not (self.root / path).is_symlink()
        }
        if not regular:
            return set()
        contents = Repository(self.root, self.folder).blobs(entry.oid for entry in regular.values())
        return {
            path
            for path, entry in regular.items()
            if _bytes(self.root / path) == contents[entry.oid]
            and os.access(self.root / path, os.X_OK) == (entry.mode == EXECUTABLE)
        }

    def _beyond(self, path: str, leaving: set[str]) -> bool:
        """Whether somebody's file or link is where the path needs a folder."""
        parents = [parent for parent in Path(path).parents if parent != Path(".")]
        return any(
            os.path.lexists(self.root / parent)
            and not _is_folder(self.root / parent)
            and parent.as_posix() not in leaving
            for parent in parents
        )

    def _holds_only(self, place: Path, leaving: set[str]) -> bool:
        """Whether a place is a folder of nothing but files that the steps remove."""
        if not _is_folder(place):
            return False
        below = [(Path(folder) / name).relative_to(self.root) for folder, _, names in os.walk(place) for name in names]
        return all(one.as_posix() in leaving for one in below)

    def _stage(self, steps: Sequence[Step]) -> None:
        """Write the new files beside, as git would check them out."""
        shutil.rmtree(self._new, ignore_errors=True)
        wanted = {step.path: step.after for step in steps if step.after}
        if not wanted:
            return
        index = self.folder / "index.new"
        index.unlink(missing_ok=True)
        own = {"GIT_INDEX_FILE": str(index)}
        self._index_entries(wanted, own)
        self._new.mkdir(parents=True)
        options = ("checkout-index", "--all", "--force", "--quiet", f"--prefix={self._new}/")
        git.run(*_BY_CONTENT, *options, cwd=self.root, extra=own)

    def _swap(self, steps: Sequence[Step], digests: Mapping[str, str]) -> list[str]:
        """Move the old files aside and the new ones into place, removals first. Returns places that were taken."""
        taken = []
        for step in sorted(steps, key=lambda step: (step.after is not None, step.path)):
            place, aside = self.root / step.path, self._aside / step.path
            try:
                if digests[step.path]:
                    aside.parent.mkdir(parents=True, exist_ok=True)
                    _move(place, aside)
                if step.after:
                    _drop_empty_folders(place)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    _put(self._new / step.path, place)
                else:
                    self._drop_empty_parents(step.path)
            except (FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
                taken.append(step.path)
        return taken

    def _edited_aside(self, digests: Mapping[str, str], head: str, replaced: Sequence[str]) -> list[str]:
        """Files that changed between the last look and the move go back to their places, or are kept."""
        edited = []
        for path, known in digests.items():
            aside, place = self._aside / path, self.root / path
            if not os.path.lexists(aside):
                continue
            if digest(aside) == known:
                if not os.path.lexists(place) and path not in replaced and (self._new / path).exists():
                    _back(aside, place)  # the new file found no room
                continue
            edited.append(path)
            if path not in replaced and self._taken_back(path, head):
                _back(aside, place)
            if os.path.lexists(aside):
                self.keep({path: aside}, head)
        return edited

    def _taken_back(self, path: str, head: str) -> bool:
        """Free a place if it holds nothing but the file that was linked there. Returns whether it is free now."""
        place, new, trash = self.root / path, self._new / path, self.folder / "trash"
        if not os.path.lexists(place):
            return True
        if not _same(new, place):
            return False
        with suppress(FileNotFoundError):
            _move(place, trash)
            if digest(trash) != digest(new) or trash.lstat().st_ino != new.lstat().st_ino:
                self.keep({path: trash}, head)  # written in this very moment
            trash.unlink()
        return True

    def recover(self, head: str) -> None:
        """Put back, or keep, what a kill left aside."""
        known = json.loads(self._moved.read_text("utf-8")) if self._moved.exists() else {}
        kept = {}
        for aside in sorted(path for path in self._aside.rglob("*") if path.is_symlink() or not path.is_dir()):
            path = aside.relative_to(self._aside).as_posix()
            if not os.path.lexists(self.root / path) and not self._beyond(path, set()):
                _back(aside, self.root / path)
            elif digest(aside) != known.get(path):
                kept[path] = aside
        self.keep(kept, head)
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)
        shutil.rmtree(self._new, ignore_errors=True)
        self._moved.unlink(missing_ok=True)

    def keep(self, files: Mapping[str, Path], head: str, staged: Mapping[str, Entry] | None = None) -> str:
        """Keep files, and entries of an index, as a commit under a new ref; returns the ref, empty for nothing to keep.

        ``files``: by path where the bytes are now. Bytes and mode are kept as they are.
        """
        links = {path: file for path, file in files.items() if file.is_symlink()}
        regular = {path: file for path, file in files.items() if path not in links and file.is_file()}
        entries = {path: entry for path, entry in (staged or {}).items() if (path, entry) not in self.held}
        if not (regular or links or entries):
            return ""
        repository = Repository(self.root, self.folder)
        for path, file in regular.items():
            oid = repository.run("hash-object", "-w", "--no-filters", "--", str(file))
            entries[path] = Entry(EXECUTABLE if os.access(file, os.X_OK) else FILE, oid)
        for path, link in links.items():
            entries[path] = Entry(SYMLINK, repository.blob(os.fsencode(os.readlink(link))))
        tree = repository.changed(repository.run("rev-parse", f"{head}^{{tree}}"), entries)
        message = b"Kept by tunesmith update\n\nFiles that an update, an abort or a continue replaced.\n"
        commit, _ = git.under_a_name(("commit-tree", tree, "-p", head, "-F", "-"), self.root, message)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        taken = set(git.run("for-each-ref", "--format=%(refname)", KEPT, cwd=self.root).split())
        names = (f"{KEPT}/{stamp}-{number}" for number in range(1, len(taken) + 2))
        ref = next(name for name in names if name not in taken)
        git.run("update-ref", ref, commit, "0" * len(commit), cwd=self.root)  # never over another one
        self.kept.append(ref)
        self.held.update(entries.items())
        return ref

    def _index_entries(self, entries: Mapping[str, Entry], own: Mapping[str, str]) -> None:
        lines = b"".join(
            f"{entry.mode} {entry.oid} 0\t".encode() + os.fsencode(path) + b"\0" for path, entry in entries.items()
        )
        options = ("update-index", "--add", "--replace", "-z", "--index-info")
        git.run(*_BY_CONTENT, *options, cwd=self.root, extra=own, data=lines)

    def _drop_empty_parents(self, path: str) -> None:
        for parent in Path(path).parents:
            if parent == Path("."):
                return
            try:
                (self.root / parent).rmdir()
            except OSError:
                return


def digest(place: Path) -> str:
    """What a place holds: kind, mode and content; empty if it holds no file."""
    if place.is_symlink():
        return f"link {os.fsdecode(os.readlink(place))}"
    try:
        with place.open("rb") as file:
            executable = os.fstat(file.fileno()).st_mode & 0o111
            return f"{executable:o} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""


def _bytes(place: Path) -> bytes | None:
    """A file's content; None if somebody has removed it."""
    try:
        return place.read_bytes()
    except OSError:
        return None


def _is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()


def _drop_empty_folders(place: Path) -> None:
    """Remove a folder that holds nothing but empty folders: git knows of none, and nobody wrote there."""
    if _is_folder(place):
        for folder, _, _ in os.walk(place, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()


def _move(source: Path, target: Path) -> None:
    """Move a file, also to another file system; the source is removed last."""
    try:
        source.rename(target)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise
        shutil.copy2(source, target, follow_symlinks=False)
        source.unlink()


def _put(source: Path, place: Path) -> None:
    """Link a file into a free place. Raises `FileExistsError` if it is taken."""
    try:
        os.link(source, place, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise
        if os.path.lexists(place):  # no links here, or another file system
            raise FileExistsError(place) from None
        beside = place.with_name(f".{place.name}.tunesmith")
        shutil.copy2(source, beside, follow_symlinks=False)
        beside.rename(place)


def _back(aside: Path, place: Path) -> None:
    """Move a file back into its free place; one that is taken keeps what it has."""
    with suppress(FileExistsError, NotADirectoryError):
        place.parent.mkdir(parents=True, exist_ok=True)
        _put(aside, place)
        aside.unlink()


def _same(staged: Path, place: Path) -> bool:
    """Whether a place still holds the file that was linked there, unedited."""
    return os.path.lexists(staged) and digest(staged) == digest(place) and staged.lstat().st_ino == place.lstat().st_ino


def _write_whole(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
