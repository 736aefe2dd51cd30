"""Merges a project with a newer render of its template: git's merge, and what the kind of a file allows on top.

Files that git would merge badly are settled before it, those that it cannot merge after it. What is settled is always
settled in favour of keeping what the user wrote; the rest becomes a conflict with all of its sides in the index.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

import yaml

from tunesmith.manifest import ANSWERS, PARAMETERS, Manifest, Owner
from tunesmith.update import hand_edits, list_merge, yaml_merge
from tunesmith.update.git_trees import EXECUTABLE, FILE, Entry, Repository, Stage, TextMerge
from tunesmith.update.import_check import broken_imports
from tunesmith.update.moves import Table
from tunesmith.update.relocate import Relocated, relocate
from tunesmith.update.yaml_merge import Kept, Policy

REGULAR = (FILE, EXECUTABLE)
NO_MOVES = Table()
OURS, THEIRS = "yours", "template"
MARKER = re.compile(rb"(<<<<<<< |>>>>>>> )([0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")  # as git names our commits


@dataclass(frozen=True)
class Merged:
    """The project's tree after a merge. ``stages`` are its conflicts; ``tree`` holds those files with markers.

    ``deleted``: files that stay deleted though the template changed them. ``kept``: parameters that stay as they are.
    ``relocated``: what was done beforehand because code moved. ``to_check``: (path, what its owner has to look at).
    """

    tree: str
    stages: tuple[Stage, ...] = ()
    deleted: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    relocated: Relocated | None = None
    to_check: tuple[tuple[str, str], ...] = ()


@dataclass
class _Sides:
    """The three trees, and what differs from them for the sake of a better merge."""

    repository: Repository
    trees: dict[str, str]
    entries: dict[str, dict[str, Entry]]
    kept: list[Kept] = field(default_factory=list)

    def at(self, path: str) -> tuple[Entry, Entry, Entry] | None:
        """The file's old, user's and new entry where all three are regular files."""
        found = [self.entries[side].get(path) for side in ("old", "user", "new")]
        regular = [entry for entry in found if entry and entry.mode in REGULAR]
        return (regular[0], regular[1], regular[2]) if len(regular) == 3 else None


def merge(
    repository: Repository, old: str, user: str, new: str, manifest: Manifest, version: str, table: Table = NO_MOVES
) -> Merged:
    """Merge the trees ``old`` (the recorded render), ``user`` (the project) and ``new``; ``version`` is a label.

    ``table`` says what moved from the old version to the new one.
    """
    moved = relocate(repository, old, user, new, table)
    trees = {"old": moved.old, "user": moved.user, "new": moved.new}
    sides = _Sides(repository, trees, {side: repository.entries(tree) for side, tree in trees.items()})
    settled = _settle(sides, manifest)
    base = repository.changed(moved.old, {path: entry[0] for path, entry in settled.items()})
    target = repository.changed(moved.new, {path: entry[1] for path, entry in settled.items()})
    text = repository.merge(base, moved.user, target)
    merged = _resolve(sides, text, manifest, version)
    broken = broken_imports(repository, merged.tree, [*moved.edited, *moved.followed]) if old != new else []
    return replace(merged, relocated=moved, to_check=(*moved.left, *broken))


def _settle(sides: _Sides, manifest: Manifest) -> dict[str, tuple[Entry, Entry]]:
    """Files whose old and new sides are replaced before git merges: by path, (old, new)."""
    both = [
        path
        for path in sides.entries["user"]
        if (three := sides.at(path)) and three[1].oid not in (three[0].oid, three[2].oid)
    ]
    contents = _contents(sides, (entry for path in both for entry in sides.at(path) or ()))
    settled = {}
    for path in both:
        sides_at = sides.at(path)
        assert sides_at  # `both` holds no other
        before, yours, theirs = sides_at
        old, user, new = contents[before.oid], contents[yours.oid], contents[theirs.oid]
        if _only_crlf(user) and b"\r" not in old:
            old, new = _with_crlf(old), _with_crlf(new)
            settled[path] = (_stored(sides, before, old), _stored(sides, theirs, new))
        if before.oid == theirs.oid:
            continue
        if path == PARAMETERS and (merged := yaml_merge.merge(old, user, new, Policy.YOURS)):
            sides.kept += merged[1]
            settled[path] = (yours, _stored(sides, _mode(*sides_at), merged[0]))
        elif path == ANSWERS and (merged := yaml_merge.merge(old, user, new, Policy.TEMPLATE)):
            settled[path] = (yours, _stored(sides, _mode(*sides_at), hand_edits.signed(merged[0])))
        elif _is_seed(manifest, path):
            settled[path] = (yours, yours)
    return settled


def _resolve(sides: _Sides, text: TextMerge, manifest: Manifest, version: str) -> Merged:
    """Settle the conflicts that need no decision, and label the rest."""
    by_path: dict[str, dict[int, Stage]] = defaultdict(dict)
    for stage in text.stages:
        by_path[stage.path][stage.number] = stage
    changes: dict[str, Entry | None] = {}
    deleted = []
    for path, stages in by_path.items():
        if set(stages) == {1, 3} and _user_deleted(sides, path, stages[1].entry):
            changes[path] = None  # and the template changed it
            deleted.append(path)
        elif set(stages) == {1, 2} and stages[2].entry == sides.entries["user"].get(path) and _is_seed(manifest, path):
            changes[path] = stages[2].entry  # the template dropped it, the user had made it theirs
        elif resolved := _merged_by_kind(sides, path, stages):
            changes[path] = resolved
    left = tuple(stage for stage in text.stages if stage.path not in changes)
    marked = sides.repository.entries(text.tree) if left else {}
    changes |= _labelled(sides, {stage.path for stage in left} & marked.keys(), marked, version)
    return Merged(sides.repository.changed(text.tree, changes), left, tuple(deleted), tuple(sides.kept))


def _user_deleted(sides: _Sides, path: str, before: Entry) -> bool:
    """Whether the user deleted a file that the template changed, perhaps at another path. One that the user made a link
    or a folder of is not deleted.
    """
    old, new, user = (sides.entries[side] for side in ("old", "new", "user"))
    if path in old:
        return path not in user
    gone = [one for one, entry in old.items() if entry == before and new.get(one) != entry]
    return not any(one in user for one in gone)


def _is_seed(manifest: Manifest, path: str) -> bool:
    return path != PARAMETERS and manifest.owner(path) is Owner.SEED


def _merged_by_kind(sides: _Sides, path: str, stages: Mapping[int, Stage]) -> Entry | None:
    """A conflicted file merged by what it is made of, or None."""
    entries = [stages[number].entry for number in (1, 2, 3) if number in stages]
    if len(entries) < 3 or any(entry.mode not in REGULAR for entry in entries):
        return None
    contents = _contents(sides, entries)
    old, user, new = (contents[entry.oid] for entry in entries)
    merged = None
    if path.endswith((".yaml", ".yml")) and (by_key := yaml_merge.merge(old, user, new, Policy.NOBODY)):
        merged = by_key[0]
    if merged is None:
        merged = list_merge.merge(path, old, user, new)
    if merged is None or not _parses(path, merged):
        return None
    return _stored(sides, _mode(*entries), merged)


def _mode(old: Entry, user: Entry, new: Entry) -> Entry:
    """An entry with the mode that a merge gives: whoever changed it wins."""
    return new if user.mode == old.mode else user


def _parses(path: str, content: bytes) -> bool:
    try:
        if path.endswith(".toml"):
            tomllib.loads(content.decode())
        elif path.endswith((".yaml", ".yml")):
            yaml.safe_load(content)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError):
        return False
    return True


def _labelled(
    sides: _Sides, paths: Iterable[str], marked: Mapping[str, Entry], version: str
) -> dict[str, Entry | None]:
    """Conflicted files with markers that name the sides instead of commits."""
    wanted = [path for path in sorted(paths) if marked[path].mode in REGULAR]
    contents = _contents(sides, (marked[path] for path in wanted))
    labelled: dict[str, Entry | None] = {}
    for path in wanted:
        content = contents[marked[path].oid]
        lines = [_label(line, version) for line in content.split(b"\n")]
        if (named := b"\n".join(lines)) != content:
            labelled[path] = _stored(sides, marked[path], named)
    return labelled


def _label(line: bytes, version: str) -> bytes:
    found = MARKER.match(line)
    if found is None:
        return line
    name = OURS if found[1] == b"<<<<<<< " else f"{THEIRS} {version}"
    return found[1] + name.encode() + line[found.end() :]


def _contents(sides: _Sides, entries: Iterable[Entry]) -> dict[str, bytes]:
    return sides.repository.blobs(entry.oid for entry in entries)


def _stored(sides: _Sides, like: Entry, content: bytes) -> Entry:
    return Entry(like.mode, sides.repository.blob(content))


def _only_crlf(content: bytes) -> bool:
    return b"\r\n" in content and content.count(b"\n") == content.count(b"\r\n")


def _with_crlf(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def conflicts(merged: Merged) -> dict[str, list[int]]:
    """The sides that each conflicted path has."""
    found: dict[str, list[int]] = defaultdict(list)
    for path, number in chain((stage.path, stage.number) for stage in merged.stages):
        found[path].append(number)
    return dict(found)
