"""Every way to fail, as a type that formats its own message: what is wrong, where, and how to fix it."""

import difflib
import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

USAGE = 2
CONFLICT = 3
FINDINGS = 4
AVAILABLE = 5
NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
KEYS = "`tunesmith schema` prints every key with its allowed values"


class TunesmithError(Exception):
    """Base of all expected failures; ``exit_code`` is what the command line returns."""

    exit_code = USAGE

    def details(self) -> dict[str, Any]:
        """The same facts for ``--json``."""
        return {"error": type(self).__name__, "message": str(self)}


@dataclass(frozen=True)
class Problem:
    """One fault of a spec. ``line`` counts from 1; None where the value came from the command line."""

    key: str
    message: str
    line: int | None = None
    allowed: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        key = f"{self.key}: " if self.key else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        nearest = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{where}{key}{self.message}{allowed}{nearest}"


class SpecError(TunesmithError):
    """A spec that cannot be used; holds all of its problems, not only the first."""

    def __init__(self, source: str, problems: Sequence[Problem], hint: str = KEYS) -> None:
        self.source = source
        self.problems = list(problems)
        self.hint = hint
        super().__init__(source, problems)

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{self.source}: {count} problem{'s' if count != 1 else ''}"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems), self.hint])

    def details(self) -> dict[str, Any]:
        return super().details() | {"source": self.source, "problems": [asdict(p) for p in self.problems]}


class MissingAnswers(TunesmithError):
    """No terminal to ask on, and no instruction to take defaults."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = list(keys)
        super().__init__(keys)

    def __str__(self) -> str:
        return (
            f"{len(self.keys)} answers are missing, and there is no terminal to ask on: {', '.join(self.keys)}\n"
            "give them with --spec FILE or --set KEY=VALUE, or take the defaults with --defaults"
        )

    def details(self) -> dict[str, Any]:
        return super().details() | {"missing": self.keys}


class DirectoryInUse(TunesmithError):
    """The target exists and is not empty."""

    exit_code = CONFLICT

    def __init__(self, path: Path, entries: Sequence[str], *, forced: bool) -> None:
        self.path, self.entries, self.forced = path, list(entries), forced
        super().__init__(path)

    def __str__(self) -> str:
        shown = ", ".join(self.entries[:5]) + (", ..." if len(self.entries) > 5 else "")
        if self.forced:
            fix = "move them away first; nothing was written"
            return f"{self.path}: these files already exist and would change: {shown}\n{fix}"
        return f"{self.path}: not empty ({shown})\nname a new directory, or add --force to keep the existing files"


class NestedRepository(TunesmithError):
    """The target lies inside another git repository, and nobody said what that should mean."""

    def __init__(self, path: Path, outer: Path) -> None:
        self.path, self.outer = path, outer
        super().__init__(path, outer)

    def __str__(self) -> str:
        return (
            f"{self.path}: is inside the git repository {self.outer}\n"
            "add --subdir to make the project part of that repository, or name a directory outside it"
        )


class NoRepository(TunesmithError):
    """The project is to be a part of a git repository, and there is none around it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(path)

    def __str__(self) -> str:
        return (
            f"{self.path}: --subdir needs an enclosing git repository, and there is none\n"
            "leave --subdir out to give the project its own repository, or run `git init` in a parent folder first"
        )


class NotADirectory(TunesmithError):
    """The target, or a part of its path, is a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(path)

    def __str__(self) -> str:
        return f"{self.path}: is a file, not a directory\nname another directory"


class WriteFailed(TunesmithError):
    """The disk is full, read-only, or otherwise refuses."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        space = "free some space or " if self.reason in NO_SPACE else ""
        return f"{self.path}: cannot write: {self.reason}\n{space}name another directory; no files are left"


class GitFailed(TunesmithError):
    """git is missing, or a git command returned an error."""

    def __init__(self, arguments: Iterable[str], output: str) -> None:
        self.arguments, self.output = list(arguments), output.strip()
        super().__init__(arguments, output)

    def __str__(self) -> str:
        return f"git {' '.join(self.arguments)} failed: {self.output or 'no output'}"


class GitMissing(TunesmithError):
    """There is no git on PATH."""

    def __str__(self) -> str:
        return "git was not found on PATH\ninstall git 2.28 or newer"


class RenderFailed(TunesmithError):
    """Copier refused the answers or the template."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"the template could not be rendered: {self.reason}\nnothing was written"


class FileProblem(TunesmithError):
    """A file that was named cannot be read or has the wrong content."""

    def __init__(self, path: Path, reason: str, fix: str) -> None:
        self.path, self.reason, self.fix = path, reason, fix
        super().__init__(path, reason, fix)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}\n{self.fix}"


class RunFailed(TunesmithError):
    """A command of the generated project returned an error; its own output says why."""

    exit_code = FINDINGS

    def __init__(self, project: Path, command: Sequence[str], code: int) -> None:
        self.project, self.command, self.code = project, list(command), code
        super().__init__(project, command, code)

    def __str__(self) -> str:
        again = " ".join(self.command)
        return (
            f"{self.project}: `{again}` ended with exit code {self.code}; see its message above\n"
            "fix it and run the same command again; finished stages are kept"
        )


class UnknownTool(TunesmithError):
    """A name that no tool has."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, list(known)
        super().__init__(name, known)

    def __str__(self) -> str:
        close = nearest(self.name, self.known)
        meant = f"; did you mean {close}?" if close else ""
        return f"no tool {self.name}{meant}\n`tunesmith tool` lists them: {', '.join(self.known)}"


class NotAProject(TunesmithError):
    """A directory without recorded answers, or outside any git repository."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.reason}\nname the directory of a project that `tunesmith new` generated and git tracks"
        )


class NewerProject(TunesmithError):
    """Something was made by a newer version than this command line."""

    def __init__(self, what: str, version: str, own: str) -> None:
        self.what, self.version, self.own = what, version, own
        super().__init__(what, version, own)

    def __str__(self) -> str:
        return (
            f"{self.what} is {self.version}, and this tunesmith is {self.own}, which does not know its questions\n"
            f"install tunesmith {self.version} or newer; nothing was changed"
        )


class UnknownVersion(TunesmithError):
    """A version of the template that its source does not have."""

    def __init__(self, version: str, source: str, known: Sequence[str]) -> None:
        self.version, self.source, self.known = version, source, list(known)
        super().__init__(version, source, known)

    def __str__(self) -> str:
        return (
            f"{self.source} has no template {self.version}; it has {', '.join(self.known) or 'no release'}\n"
            "name a source that has it with --source; nothing was changed"
        )


class NotClean(TunesmithError):
    """Tracked files hold changes that no commit has."""

    def __init__(self, path: Path, files: Sequence[str]) -> None:
        self.path, self.files = path, list(files)
        super().__init__(path, files)

    def __str__(self) -> str:
        shown = ", ".join(self.files[:5]) + (", ..." if len(self.files) > 5 else "")
        return f"{self.path}: uncommitted changes: {shown}\ncommit or stash them first; untracked files may stay"


class InTheWay(TunesmithError):
    """Untracked files lie where an update would write."""

    exit_code = CONFLICT

    def __init__(self, path: Path, files: Sequence[str]) -> None:
        self.path, self.files = path, list(files)
        super().__init__(path, files)

    def __str__(self) -> str:
        return (
            f"{self.path}: untracked files are in the way of files that the template adds: {', '.join(self.files)}\n"
            "commit them or move them away; nothing was changed"
        )


class UpdateState(TunesmithError):
    """An update is in progress, or none is."""

    def __init__(self, message: str, fix: str) -> None:
        self.message, self.fix = message, fix
        super().__init__(message, fix)

    def __str__(self) -> str:
        return f"{self.message}\n{self.fix}"


class Unresolved(TunesmithError):
    """Conflicts that nobody has resolved yet."""

    exit_code = CONFLICT

    def __init__(self, files: Sequence[str], reason: str) -> None:
        self.files, self.reason = list(files), reason
        super().__init__(files, reason)

    def __str__(self) -> str:
        listed = "".join(f"\n  {file}" for file in self.files)
        return (
            f"{self.reason}:{listed}\n"
            "resolve them, `git add` each (or `git rm` it), then `tunesmith update --continue`; "
            "`tunesmith update --abort` undoes the update"
        )

    def details(self) -> dict[str, Any]:
        return super().details() | {"files": self.files}


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that is spelt most like ``word``; empty when none is close."""
    known = [str(candidate) for candidate in candidates]
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.65)
    return folded[found[0]] if found else ""
