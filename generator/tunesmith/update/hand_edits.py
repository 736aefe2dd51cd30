"""Answers that somebody edited by hand: `tunesmith update` would take them for those that the project was made from."""

import hashlib
import re
from pathlib import Path
from typing import Any

import yaml

from tunesmith import git
from tunesmith.errors import FileProblem, GitFailed
from tunesmith.manifest import ANSWERS

_LINE = re.compile(rb"(?m)^# sha256 of the answers: ([0-9a-f]*)\r?$")
_RECORDS = ("_", "#", "plan_estimates:", "plan_machine:")  # copier's own keys, comments, and what is no answer
_LOOKED_AT = 100  # commits


def is_edited(content: bytes) -> bool:
    """Whether the answers differ from what was recorded. Up to 0.2.0 nothing was recorded, and nothing differs."""
    found = _LINE.search(content)
    return found is not None and found[1].decode() != _sha256(content)


def signed(content: bytes) -> bytes:
    """The file with the hash of the answers that it has."""
    return _LINE.sub(f"# sha256 of the answers: {_sha256(content)}".encode(), content)


def _sha256(content: bytes) -> str:
    lines = content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    kept = [line for line in lines if line and not line.startswith(_RECORDS)]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()


def refuse(root: Path, prefix: str, content: bytes) -> None:
    """Stop where the answers were edited, with what was edited and the commands that do what was meant.

    Raises:
        FileProblem
    """
    if not is_edited(content):
        return
    path = f"{prefix}{ANSWERS}"
    for commit in git.run("log", f"-{_LOOKED_AT}", "--format=%h", "HEAD", "--", path, cwd=root).split():
        try:
            before = git.output("cat-file", "blob", f"{commit}:{path}", cwd=root)[1]
        except GitFailed:
            continue
        if _LINE.search(before) and not is_edited(before):
            changed = _changes(before, content)
            told = ", ".join(f"{key}: {_shown(old)} -> {_shown(new)}" for key, (old, new) in changed.items())
            meant = {key.removeprefix("pin_"): new for key, (old, new) in changed.items() if None not in (old, new)}
            settings = " ".join(f"--set {key}={new}" for key, new in meant.items() if not key.startswith("plan_"))
            fix = f"`git checkout {commit} -- {path}` and a commit put them back"
            fix += f"; then `tunesmith update {settings}` changes them" if settings else ""
            raise FileProblem(root / path, f"the answers were edited by hand ({told})", fix)
    fix = "put back what tunesmith wrote, from the file's history, and commit; `tunesmith update --set` changes answers"
    raise FileProblem(root / path, "the answers were edited by hand", fix)


def _changes(before: bytes, after: bytes) -> dict[str, tuple[Any, Any]]:
    old, new = (_answers(content) for content in (before, after))
    return {
        key: (old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) and not f"{key}:".startswith(_RECORDS)
    }


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _answers(content: bytes) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(content)
    except yaml.YAMLError:
        return {}
    return loaded if isinstance(loaded, dict) else {}
