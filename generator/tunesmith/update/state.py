"""An update in progress, on disk: written before the first change to the project, removed after the last."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tunesmith import git
from tunesmith.errors import UpdateState

FORMAT = 1
CHECKOUT, CONFLICT = "checkout", "conflict"


@dataclass(frozen=True)
class State:
    """What it takes to finish an update or to undo it, whatever step was the last to complete.

    ``tree`` is the repository's whole tree as the work tree shall have it; ``stages`` are index lines of its conflicts.
    ``commit`` is the finished commit, empty while there are conflicts. ``answers``: (mode, blob, path) to record last.
    """

    prefix: str
    head_ref: str  # the branch that was checked out; empty when HEAD was detached
    head: str
    tree: str
    stages: tuple[str, ...]
    commit: str
    branch: str  # full name of the branch made for the update; empty: commit where HEAD is
    answers: tuple[str, str, str]
    version: str
    message: str
    keep: tuple[str, ...] = ()  # stages whose results are accepted after the commit
    phase: str = CHECKOUT
    format: int = FORMAT

    def at(self, phase: str) -> "State":
        """The same update, one phase on."""
        return replace(self, phase=phase)


@dataclass(frozen=True)
class Store:
    """The folder in the repository's .git that holds the state, and files on their way in and out."""

    folder: Path

    @classmethod
    def of(cls, root: Path) -> "Store":
        """The store of a repository (of this work tree, where it has several)."""
        return cls(git.folder(root) / "tunesmith-update")

    @property
    def index_of_user(self) -> Path:
        """The repository's index."""
        return self.folder.with_name("index")

    @property
    def lock(self) -> Path:
        """What git holds while it changes the index."""
        return self.folder.with_name("index.lock")

    @property
    def notes(self) -> Path:
        """What the index said of paths before the update: files that a sparse checkout leaves out, and flags."""
        return self.folder / "notes.json"

    @property
    def index(self) -> Path:
        """The index that the update prepares."""
        return self.folder / "index"

    def read(self) -> State | None:
        """The update in progress, or None.

        Raises:
            UpdateState: another version of Tunesmith began it.
        """
        try:
            loaded = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if loaded.get("format") != FORMAT:
            raise UpdateState("another version of tunesmith started this update", "finish it with that version")
        loaded |= {name: tuple(loaded.get(name, ())) for name in ("stages", "answers", "keep")}
        return State(**loaded)

    def write(self, state: State) -> None:
        """Record the state so that a crash leaves the old one or the new one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_beside(self.folder / "state.json", json.dumps(asdict(state)))

    def write_beside(self, path: Path, text: str) -> None:
        """Write a file of the folder so that a crash leaves all of it or none."""
        beside = path.with_name(f"{path.name}.new")
        with beside.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        beside.replace(path)

    def remove(self) -> None:
        """Forget the update: the state first, so that a crash in between leaves no half of one."""
        (self.folder / "state.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
