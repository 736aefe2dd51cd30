"""Random lives of a project as trees: any edits, any two releases; nothing that the user wrote may be lost.

Used by the tests (hundreds of lives) and by benchmarks/update_lives.py (thousands).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from history import MOVES, RELEASES
from hypothesis import strategies as st
from packaging.version import Version

from tunesmith.manifest import ANSWERS, PARAMETERS, Manifest
from tunesmith.update.git_trees import EXECUTABLE, Entry, Repository
from tunesmith.update.merge import Merged, merge
from tunesmith.update.moves import Table, read

VERSIONS = list(RELEASES)
OPERATIONS = ("edit", "insert", "append", "cut", "rewrite", "delete", "move", "crlf", "mode", "add", "tune", "link")


@dataclass(frozen=True)
class Act:
    """One thing that a user does: to which file (by number), where in it (0 to 1), with which word."""

    operation: str
    file: int
    place: float
    word: str


acts = st.builds(
    Act,
    st.sampled_from(OPERATIONS),
    st.integers(0, 10_000),
    st.floats(0, 1, allow_nan=False),
    st.text("abcdefghij", min_size=6, max_size=6).map(lambda text: f"mine_{text}"),
)
lives = st.tuples(
    st.integers(0, len(VERSIONS) - 2), st.integers(1, len(VERSIONS) - 1), st.lists(acts, min_size=1, max_size=8)
).map(lambda life: (min(life[0], life[1] - 1), life[1], life[2]))


@dataclass(frozen=True)
class Lived:
    """A project's tree after a life, and what must still be there after an update."""

    tree: str
    entries: Mapping[str, Entry]
    words: frozenset[str]  # what the user typed
    deleted: frozenset[str]
    tuned: Mapping[str, str]


class Trees:
    """The releases as trees of one repository."""

    def __init__(self, root: Path, scratch: Path, templates: Mapping[str, Path]) -> None:
        self.repository = Repository(root, scratch)
        self.release = {version: self.repository.snapshot(folder) for version, folder in templates.items()}
        self.contents = {
            version: self.repository.blobs(entry.oid for entry in self.repository.entries(tree).values())
            for version, tree in self.release.items()
        }

    def live(self, version: str, todo: list[Act]) -> Lived:
        """Do what the acts say to a project of a release."""
        before = self.repository.entries(self.release[version])
        files = dict(before)
        contents = self.contents[version]
        texts = {path: contents[entry.oid] for path, entry in files.items()}
        tuned: dict[str, str] = {}
        for act in todo:
            path = sorted(texts)[act.file % len(texts)]
            _do(act, path, texts, files, tuned)
        changes: dict[str, Entry | None] = {path: None for path in before if path not in texts}
        for path, text in texts.items():
            entry = files[path]
            if contents.get(entry.oid) != text:
                entry = Entry(entry.mode, self.repository.blob(text))
            if before.get(path) != entry:
                changes[path] = entry
        tree = self.repository.changed(self.release[version], changes)
        typed = frozenset(word for text in texts.values() for word in re.findall(r"mine_[a-j]{6}", text.decode()))
        gone = frozenset(path for path in before if path not in texts)
        return Lived(tree, self.repository.entries(tree), typed, gone, tuned)

    def update(self, lived: Lived, old: str, new: str) -> Merged:
        """What an update makes of it."""
        steps = read(MOVES, Path("moves.yaml")).items()
        table = Table([moves for version, moves in steps if Version(old) < version <= Version(new)])
        return merge(self.repository, self.release[old], lived.tree, self.release[new], self.manifest(new), new, table)

    def manifest(self, version: str) -> Manifest:
        """Owners, as a release sees them."""
        entry = self.repository.entries(self.release[version])[".tunesmith.yaml"]
        return Manifest.read(self.repository.blobs([entry.oid])[entry.oid].decode())


def _do(act: Act, path: str, texts: dict[str, bytes], files: dict[str, Entry], tuned: dict[str, str]) -> None:
    """One act on files in memory. The answers file is not a user's to edit, and a link has no lines."""
    if act.operation == "add" or path == ANSWERS or files[path].mode == "120000":
        name = f"own/{act.word}.py" if act.place < 0.7 else ("pipeline/trend.py", "pipeline/notes.py")[act.file % 2]
        texts[name], files[name] = f"# {act.word}\n".encode(), Entry("100644", "")
        return
    lines = texts[path].splitlines(keepends=True)
    at = int(act.place * len(lines))
    comment = f"# {act.word}\n".encode()
    if act.operation == "edit" and lines:
        at = min(at, len(lines) - 1)
        lines[at] = lines[at].rstrip(b"\r\n") + b" " + comment
    elif act.operation in ("insert", "edit"):
        lines.insert(at, comment)
    elif act.operation == "append":
        lines.append((b"" if not lines or lines[-1].endswith(b"\n") else b"\n") + comment)
    elif act.operation == "cut":
        del lines[at : at + 5]
    elif act.operation == "rewrite":
        lines = [comment] * 3
    texts[path] = b"".join(lines)
    if act.operation == "crlf":
        texts[path] = texts[path].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    elif act.operation == "mode":
        files[path] = Entry(EXECUTABLE, files[path].oid)
    elif act.operation == "delete":
        del texts[path], files[path]
    elif act.operation in ("move", "link"):
        name = f"moved/{act.word}/{path}"
        texts[name], files[name] = texts.pop(path), files.pop(path)
        if act.operation == "link":
            texts[path], files[path] = f"../{name}".encode(), Entry("120000", "")
    elif act.operation == "tune" and PARAMETERS in texts:
        _tune(act, texts, tuned)


def _tune(act: Act, texts: dict[str, bytes], tuned: dict[str, str]) -> None:
    """Give a parameter another value, where it can be found on a line of its own."""
    key = ("weight_decay", "batch_size", "parity_items", "alpha", "shots", "lora_rank", "warm_restarts")[act.file % 7]
    value = str(1000 + act.file)
    text, count = re.subn(rf"(?m)^(  {key}: )[0-9.]+", rf"\g<1>{value}", texts[PARAMETERS].decode(), count=1)
    if count:
        texts[PARAMETERS] = text.encode()
        tuned[key] = value


def losses(trees: Trees, old: str, new: str, lived: Lived, merged: Merged) -> list[str]:
    """What an update lost or failed to bring; an empty list is what must come out."""
    repository = trees.repository
    after = repository.entries(merged.tree)
    base, fresh = repository.entries(trees.release[old]), repository.entries(trees.release[new])
    stages = {stage.path for stage in merged.stages}
    known = {entry.oid for entry in (*base.values(), *fresh.values())}  # what no user typed
    kept = [entry.oid for entry in after.values()] + [s.entry.oid for s in merged.stages if s.number == 2]
    kept = [oid for oid in kept if oid not in known]
    everything = b"\n".join(repository.blobs(kept).values())
    lost = [f"the word {word}" for word in lived.words if word.encode() not in everything]
    for path, entry in lived.entries.items():
        if path in stages or path in base:
            continue
        if path in after and after[path] != entry and path in fresh and path not in stages:
            lost.append(f"{path}, the user's own, was replaced")
    for path, entry in base.items():
        if lived.entries.get(path) == entry and path not in stages and after.get(path) != fresh.get(path):
            lost.append(f"{path} was not edited and is not as fresh")
    lost += [f"{path} was deleted and is back" for path in lived.deleted if path in after and path not in stages]
    if PARAMETERS in after and PARAMETERS in lived.entries and PARAMETERS not in stages:
        oids = after[PARAMETERS].oid, lived.entries[PARAMETERS].oid
        contents = repository.blobs(oids)
        lost += _lost_values(contents[oids[0]], contents[oids[1]], lived.tuned)
    return lost


def _lost_values(content: bytes, before: bytes, tuned: Mapping[str, str]) -> list[str]:
    """Values that the user gave and still had before the update, and that are others or gone after it."""
    found, had = _values(content), _values(before)
    return [f"{key}: {value}" for key, value in tuned.items() if had.get(key) == value != found.get(key)]


def _values(content: bytes) -> dict[str, str]:
    try:
        loaded = yaml.safe_load(content)
    except yaml.YAMLError:
        return {}  # the user broke it
    groups = loaded.values() if isinstance(loaded, dict) else ()
    return {key: str(value) for group in groups if isinstance(group, dict) for key, value in group.items()}
