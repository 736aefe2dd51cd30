"""Prepares three trees for a merge in which code moved: imports name the new homes, and edits lie beside them.

git follows a renamed file while its content is alike. What it cannot follow (a module that shrank to a recipe while its
code went elsewhere, a small module) is settled here by the table of moves, or noted, so that no edit goes unsaid.
"""

import difflib
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tunesmith import git
from tunesmith.package_data import TOOLS
from tunesmith.update.git_trees import EXECUTABLE, FILE, Entry, Repository
from tunesmith.update.import_rewrite import rewrite
from tunesmith.update.moves import Table, existing

PIPELINE = "dvc.yaml"
TESTS = "tests/"
SIDES = ("old", "user", "new")
LONGEST = 1_000_000  # bytes; a longer file is no code
ALIKE = 0.3  # share of common lines from which a file's edit is merged into another
MOST_HUNKS = 20


@dataclass
class Relocated:
    """The trees to merge, and what was done to get them."""

    old: str
    user: str
    new: str
    rewritten: list[str] = field(default_factory=list)  # the owner's files whose imports changed
    left: list[tuple[str, str]] = field(default_factory=list)  # (path, what its owner has to look at)
    followed: dict[str, str] = field(default_factory=dict)  # new path by the old one whose edit it received
    kept_tests: list[str] = field(default_factory=list)
    kept_tools: dict[str, str] = field(
        default_factory=dict
    )  # the module of the tools by the edited file it was made of
    homes: dict[str, list[str]] = field(default_factory=dict)  # of edited files whose code is elsewhere
    edited: list[str] = field(default_factory=list)  # files that are the owner's, or not as they were rendered


@dataclass
class _Work:
    """What differs from the trees so far, by side."""

    repository: Repository
    entries: Mapping[str, Mapping[str, Entry]]
    changes: dict[str, dict[str, Entry | None]] = field(default_factory=lambda: {side: {} for side in SIDES})

    def entry(self, side: str, path: str) -> Entry | None:
        found = self.changes[side].get(path, self.entries[side].get(path))
        return found if found and found.mode in (FILE, EXECUTABLE) else None

    def has(self, side: str, path: str) -> bool:
        return path in self.entries[side] if path not in self.changes[side] else self.changes[side][path] is not None

    def content(self, side: str, path: str) -> bytes:
        found = self.entry(side, path)
        assert found
        return self.repository.blobs([found.oid])[found.oid]

    def put(self, side: str, path: str, content: bytes) -> None:
        found = self.entry(side, path)
        mode = found.mode if found else FILE
        self.changes[side][path] = Entry(mode, self.repository.blob(content))


def relocate(repository: Repository, old: str, user: str, new: str, table: Table) -> Relocated:
    """The trees ``old``, ``user`` and ``new`` with the owner's edits where the table says that their code is now."""
    work = _Work(
        repository, {side: repository.entries(tree) for side, tree in zip(SIDES, (old, user, new), strict=True)}
    )
    found = Relocated(old, user, new)
    edited = _edited(work)
    if table.steps:
        _rewrite_imports(work, edited, table, found)
        _rewrite_stages(work, table, found)
    for path in edited:
        if path in work.entries["old"] and work.entry("old", path):
            _settle(work, path, table, found)
    found.edited = edited
    for side, tree in zip(SIDES, (old, user, new), strict=True):
        setattr(found, side, repository.changed(tree, work.changes[side]))
    return found


def _edited(work: _Work) -> list[str]:
    """Regular files that the owner has and that are not as they were rendered."""
    old = work.entries["old"]
    return [
        path
        for path in work.entries["user"]
        if work.entry("user", path) and work.entries["user"][path] != old.get(path)
    ]


def _rewrite_imports(work: _Work, edited: Iterable[str], table: Table, found: Relocated) -> None:
    """In the owner's files, and in what they were made from: an import that both name alike is no difference."""
    for path in edited:
        if not path.endswith(".py"):
            continue
        for side in ("user", "old"):
            if not work.entry(side, path):
                continue
            before = content = work.content(side, path)
            left: list[str] = []
            for step in table.steps if len(content) <= LONGEST else ():
                done = rewrite(path, content, step)
                content, left = done.content, [*left, *done.left]
            if content != before:
                work.put(side, path, content)
            if side == "user":
                found.left += [(path, text) for text in dict.fromkeys(left)]
                found.rewritten += [path] if content != before else []


def _rewrite_stages(work: _Work, table: Table, found: Relocated) -> None:
    """Paths and modules in the stages of dvc.yaml that the owner added."""
    if not work.entry("user", PIPELINE):
        return
    text = work.content("user", PIPELINE).decode(errors="surrogateescape")
    rendered = work.content("old", PIPELINE).decode(errors="surrogateescape") if work.entry("old", PIPELINE) else ""
    known = {name for name, _, _ in _stage_nodes(rendered)}
    edits = []
    for name, part, node in _stage_nodes(text):
        changed, doubt = _moved_words(work, table, part, node.value) if name not in known else (node.value, "")
        start, end = node.start_mark.index, node.end_mark.index
        if changed != node.value and text[start:end].count(node.value) == 1:
            edits.append((start, end, text[start:end].replace(node.value, changed)))
        if doubt:
            found.left.append((PIPELINE, f"stage {name}: {doubt}"))
    for start, end, piece in sorted(edits, reverse=True):
        text = text[:start] + piece + text[end:]
    if edits:
        work.put("user", PIPELINE, text.encode(errors="surrogateescape"))
        found.rewritten.append(PIPELINE)


def _stage_nodes(text: str) -> list[tuple[str, str, yaml.ScalarNode]]:
    """(stage, part, node) of every command and dependency in a dvc.yaml."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return []
    found = []
    for name, stage in _pairs(dict(_pairs(root)).get("stages")):
        for part, value in _pairs(stage):
            items = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if part in ("cmd", "deps"):
                found += [(name, part, item) for item in items if isinstance(item, yaml.ScalarNode)]
    return found


def _pairs(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    """Keys and values of a mapping's node; nothing for another."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return [(str(key.value), value) for key, value in pairs]


def _moved_words(work: _Work, table: Table, part: str, text: str) -> tuple[str, str]:
    """A command or dependency with what moved renamed, and what cannot be told."""
    if part == "cmd":
        command = table.command(text)
        return (text, f"`{text}` is now `tunesmith tool`") if f"-m {TOOLS}." in command else (command, "")
    if tool := table.tool(text):
        return text, f"{text} is {left_for(tool)}"
    homes = existing(table.homes(text), work.entries["new"])
    if not homes:
        return text, ""
    others = f"its code is now in {', '.join(homes)}" if len(homes) > 1 or work.has("new", text) else ""
    return (text if work.has("new", text) else homes[0]), f"{text} was split; {others}" if others else ""


def left_for(tool: str) -> str:
    """What is said of code that left the project."""
    return f"now {tool} of the package tunesmith; `tunesmith tool` lists the tools"


def _settle(work: _Work, path: str, table: Table, found: Relocated) -> None:
    """An edited file of the template: its edit goes where the code is now, if that can be told."""
    homes = existing(table.homes(path), work.entries["new"])
    stays = work.has("new", path)
    old, user = work.content("old", path), work.content("user", path)
    tool = table.tool(path)
    if not homes or tool:
        if not stays and _plain(user) == _plain(old):
            work.changes["user"][path] = work.entry("old", path)  # only its line ends are the owner's
        elif not stays and (path.startswith(TESTS) or tool):
            work.changes["old"][path] = None  # as if the owner had added it
            if tool:
                found.kept_tools[path] = tool
            else:
                found.kept_tests.append(path)
        return
    found.homes[path] = homes
    if stays:
        if _merged(old, user, work.content("new", path)) is None:
            _land(work, path, [path, *homes], found)
        return
    home, likeness = max(((home, _likeness(work, path, home)) for home in homes), key=lambda pair: pair[1])
    free = home not in found.followed and not work.has("user", home) and not work.has("old", home)
    alike = free and (likeness >= ALIKE or _plain(user) == _plain(old))
    landed = not (alike and len(homes) == 1) and _land(work, path, homes, found)
    if alike and not landed:
        _move(work, path, home, found)


def _move(work: _Work, path: str, home: str, found: Relocated) -> None:
    """The old file and the owner's at the path that the code has now: an ordinary merge of three files follows."""
    for side in ("old", "user"):
        work.changes[side][home] = work.entry(side, path)
        work.changes[side][path] = None
    found.followed[home] = path


def _land(work: _Work, path: str, targets: Sequence[str], found: Relocated) -> bool:
    """Make each part of an edit in the file that has its lines now; False, and nothing done, if one has no place."""
    old, user = (_plain(work.content(side, path)).splitlines(keepends=True) for side in ("old", "user"))
    matcher = difflib.SequenceMatcher(None, old, user, autojunk=False)
    hunks = [
        (first, last, user[start:end]) for kind, first, last, start, end in matcher.get_opcodes() if kind != "equal"
    ]
    contents = {target: _plain(work.content("new", target)) for target in targets if work.entry("new", target)}
    if not 0 < len(hunks) <= MOST_HUNKS:
        return False
    parts: dict[str, list[_Hunk]] = {}
    for hunk in hunks:
        edited = _with(old, [hunk])
        places = [one for one, new in contents.items() if _merged(b"".join(old), edited, new) not in (None, new)]
        if not places:
            return False
        for place in places:
            parts.setdefault(place, []).append(hunk)
    merged = {place: _merged(b"".join(old), _with(old, part), contents[place]) for place, part in parts.items()}
    windows = b"\r\n" in work.content("user", path)
    if None in merged.values():
        return False
    for place, content in merged.items():
        assert content is not None
        work.put("new", place, content.replace(b"\n", b"\r\n") if windows else content)
        found.followed[place] = path
    work.changes["user"][path] = work.entry("old", path)
    return True


_Hunk = tuple[int, int, list[bytes]]  # lines first:last of the old file become these


def _with(old: Sequence[bytes], hunks: Iterable[_Hunk]) -> bytes:
    lines = list(old)
    for first, last, new in sorted(hunks, key=lambda hunk: hunk[0], reverse=True):
        lines[first:last] = new
    return b"".join(lines)


def _plain(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _likeness(work: _Work, path: str, home: str) -> float:
    """Share of the lines of two files that both have, blank ones aside."""
    if not work.entry("new", home):
        return 0.0
    lines = [
        Counter(filter(None, map(bytes.strip, text.splitlines())))
        for text in (work.content("old", path), work.content("new", home))
    ]
    total = sum(map(Counter.total, lines))
    return 2 * (lines[0] & lines[1]).total() / total if total else 0.0


def _merged(old: bytes, user: bytes, new: bytes) -> bytes | None:
    """git's merge of three texts, line ends aside; None if there is a conflict."""
    with tempfile.TemporaryDirectory(prefix="tunesmith.") as folder:
        names = ("user", "old", "new")
        for name, content in zip(names, (user, old, new), strict=True):
            (Path(folder) / name).write_bytes(_plain(content))
        code, merged = git.output("merge-file", "-p", "-q", *names, cwd=Path(folder), allowed=range(128))
    return None if code else merged
