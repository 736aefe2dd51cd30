"""What a merge does to each file, to the parameters, to the dependencies."""

import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tunesmith.flat_yaml import FAST
from tunesmith.update.git_trees import Entry, Repository
from tunesmith.update.merge import Merged, conflicts
from tunesmith.update.relocate import Relocated, left_for

KINDS = {
    "imports": "yours: imports of moved modules rewritten",
    "updated": "updated (you did not edit them)",
    "merged": "merged (your edits and the template's)",
    "added": "added by the template",
    "removed": "removed by the template (you did not edit them)",
    "moved": "moved",
    "kept_test": "kept: tests that you edited and the template no longer has",
    "kept_tool": "kept: files that you edited and that left the project for `tunesmith tool`",
    "kept": "kept as yours, although the template changed them",
    "conflict": "CONFLICT: both sides changed the same lines",
    "dropped": "CONFLICT: you edited a file that the template removed",
}


@dataclass(frozen=True)
class Change:
    """A file and what happens to it. ``previous``: the path that it moves from."""

    kind: str
    path: str
    previous: str = ""
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """A parameter or dependency that changes; None or empty: it is not there."""

    name: str
    before: Any
    after: Any


def of_files(repository: Repository, trees: Mapping[str, str], merged: Merged) -> list[Change]:
    """Every file that the merge changes, keeps against the template, or cannot decide."""
    old, user, new = (repository.entries(trees[side]) for side in ("old", "user", "new"))
    open_paths = conflicts(merged)
    moved = merged.relocated
    changes = [
        Change("dropped" if set(numbers) == {1, 2} else "conflict", path, note=_conflict_note(path, numbers, moved))
        for path, numbers in open_paths.items()
    ]
    if moved:
        changes += [Change("kept_test", path) for path in moved.kept_tests]
        changes += [Change("kept_tool", path, note=left_for(tool)) for path, tool in moved.kept_tools.items()]
    changes += [
        Change("kept", path, note="you deleted it; the template changed it") for path in merged.deleted if path in old
    ]
    result = repository.entries(merged.tree)
    changes += [
        Change("kept", path)
        for path, entry in result.items()
        if path not in open_paths and entry == user.get(path)
        if path in old and path in new and old[path] != new[path] and entry not in (old[path], new[path])
    ]
    changes += [
        _change(kind, previous, path, (old, user, new, result), moved)
        for kind, previous, path in _differences(repository, trees["user"], merged.tree)
        if path not in open_paths and previous not in open_paths
        if not moved or (path not in moved.kept_tests and path not in moved.kept_tools)
    ]
    order = list(KINDS)
    return sorted(changes, key=lambda change: (order.index(change.kind), change.path))


def _conflict_note(path: str, numbers: Iterable[int], moved: Relocated | None) -> str:
    """What a conflict is about; the new home of the code, if it has one."""
    if moved and path in moved.followed:
        return f"your edit of {moved.followed[path]}, which moved here"
    if moved and path in moved.homes:
        return f"the code of {path} is now in {', '.join(moved.homes[path])}"
    present = set(numbers)
    if present == {2, 3}:
        return "you and the template both added it"
    return "" if present in ({1, 2, 3}, {1, 2}) else "renamed or retyped on both sides"


def _differences(repository: Repository, before: str, after: str) -> list[tuple[str, str, str]]:
    """(status letter, previous path or empty, path) of what differs between two trees, renames found."""
    words = repository.raw("diff-tree", "-r", "-M", "-z", "--name-status", before, after).split(b"\0")[:-1]
    found = []
    while words:
        status = words.pop(0).decode()[0]
        previous = words.pop(0).decode(errors="surrogateescape") if status == "R" else ""
        found.append((status, previous, words.pop(0).decode(errors="surrogateescape")))
    return found


_Entries = Mapping[str, Entry]


def _change(
    status: str,
    previous: str,
    path: str,
    entries: tuple[_Entries, _Entries, _Entries, _Entries],
    moved: Relocated | None,
) -> Change:
    old, user, new, result = entries
    origin = moved.followed.get(path, "") if moved else ""
    if origin:  # the table says more than git's own detection of renames
        return Change("merged" if status == "M" else "moved", path, origin, "with your edits")
    if status == "R":
        edited = user[previous] != old.get(previous)
        return Change("moved", path, previous, "with your edits" if edited else "")
    if status in "AD":
        return Change({"A": "added", "D": "removed"}[status], path)
    rewritten = moved is not None and path in moved.rewritten
    if path not in old and rewritten:
        return Change("imports", path)
    untouched = user[path] == old.get(path) or result[path] == new.get(path)
    return Change("updated" if untouched else "merged", path, note="imports rewritten" if rewritten else "")


def of_parameters(before: str, after: str) -> list[Difference]:
    """Parameters that differ between two versions of params.yaml."""
    return differing(flattened(before), flattened(after))


def flattened(text: str) -> dict[str, Any]:
    """Parameters by dotted name; nothing where the text is no mapping."""
    try:
        loaded = yaml.load(text, Loader=FAST)
    except yaml.YAMLError:  # a conflict's markers
        return {}
    return dict(_flat("", loaded)) if isinstance(loaded, dict) else {}


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value


def of_dependencies(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    """Dependencies that differ: those of pyproject.toml, and exact versions of locks/, each text by its path."""
    return differing(_requirements(before), _requirements(after))


def _requirements(files: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, text in files.items():
        for line in declared(text) if path.endswith(".toml") else text.splitlines():
            name, equals, version = line.strip().partition("==")
            if name and not name.startswith("#") and (equals or path.endswith(".toml")):
                found[f"{path}: {name}"] = version if equals else "any"
    return found


def declared(text: str, groups: Container[str] | None = None) -> list[str]:
    """Requirements of a pyproject.toml, optional ones too (those of ``groups`` only); none if it cannot be read."""
    try:
        loaded = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a conflict's markers
        return []
    project = loaded.get("project", {})
    optional = project.get("optional-dependencies", {})
    for name, entries in loaded.get("dependency-groups", {}).items():  # up to 0.2.0 `dev` was an optional dependency
        optional.setdefault(name, []).extend(entry for entry in entries if isinstance(entry, str))
    wanted = optional if groups is None else [name for name in optional if name in groups]
    return [*project.get("dependencies", []), *(item for name in wanted for item in optional[name])]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs between two mappings."""
    names = dict.fromkeys([*before, *after])
    return [
        Difference(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]


def is_pinned_or_declared(path: str) -> bool:
    """Whether a file lists dependencies."""
    return path == "pyproject.toml" or (path.startswith("locks/") and path.endswith(".txt"))
