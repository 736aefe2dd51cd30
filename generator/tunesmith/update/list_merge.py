"""Merges lists of one item a line, where git sees a conflict: dependencies, locks, ignore files, lists in YAML.

git merges all it can; then each conflict whose lines are all items is merged as a set: the new list, and what the user
added, without what the user removed. An item that both sides changed differently stays a conflict.
"""

import json
import re
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunesmith import git

MARKER = 31  # longer than any marker that a file holds itself
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?\s*([=<>!~@;].*)?")
OURS, BASE, THEIRS, END = (sign * MARKER for sign in "<|=>")

ARRAY = re.compile(r"(\s*[\w.\"-]+\s*=\s*)(\[[^\[\]]*\])\s*")  # on one line
ITEM = re.compile(r"(\s*([\"'])(?P<text>.+?)\2),?(?P<comment>[ \t]+#.*)?\s*")
COMMENTED = re.compile(r"(?P<item>[^#]*[^#\s])(?P<comment>\s+#.*)\s*")
IGNORES = (".gitignore", ".dvcignore", ".dockerignore", ".gitattributes")

Lines = list[str]
Item = tuple[str, str]  # a line in two parts that each follow the rule of three: the item, the comment after it
ABSENT: Item = ("", "")


def merge(path: str, old: bytes, user: bytes, new: bytes) -> bytes | None:
    """The merged file, or None where a conflict is left that no set merge resolves."""
    merged: Lines = []
    try:
        for part in _parts(_diff3(old, user, new)):
            if isinstance(part, str):
                merged.append(part)
                continue
            merged += (
                _merge_arrays(*part) if path.endswith(".toml") and all(map(_is_array, part)) else _merged(path, part)
            )
    except (Clash, UnicodeDecodeError):
        return None
    return "".join(merged).encode()


class Clash(Exception):
    """No merge without a decision by somebody."""


def merge_items(path: str, old: str, user: str, new: str) -> str:
    """Set merge of three texts that hold nothing but items.

    Raises:
        Clash
    """
    return "".join(_merged(path, [side.splitlines(keepends=True) for side in (old, user, new)]))


def _diff3(old: bytes, user: bytes, new: bytes) -> str:
    with tempfile.TemporaryDirectory(prefix="tunesmith.") as folder:
        names = ("user", "old", "new")
        for name, content in zip(names, (user, old, new), strict=True):
            (Path(folder) / name).write_bytes(content)
        options = ("-p", "-q", "--diff3", f"--marker-size={MARKER}")
        _, merged = git.output("merge-file", *options, *names, cwd=Path(folder), allowed=range(128))
    return merged.decode()


def _parts(text: str) -> Iterator[str | tuple[Lines, Lines, Lines]]:
    """Plain lines, and each conflict as (old, user, new)."""
    sides: dict[str, Lines] = {}
    current: Lines | None = None
    for line in text.splitlines(keepends=True):
        sign = next((sign for sign in (OURS, BASE, THEIRS, END) if line.startswith(sign)), "")
        if sign == END:
            yield sides[BASE], sides[OURS], sides[THEIRS]
            current, sides = None, {}
        elif sign:
            current = sides[sign] = []
        elif current is None:
            yield line
        else:
            current.append(line)


def _merged(path: str, sides: Sequence[Lines]) -> Lines:
    old, user, new = (_keyed(path, side) for side in sides)
    return [f"{item}{comment}\n" for item, comment in _merge_items(old, user, new)]


def _is_array(lines: Lines) -> bool:
    return len(lines) == 1 and ARRAY.fullmatch(lines[0]) is not None


def _merge_arrays(old: Lines, user: Lines, new: Lines) -> Lines:
    """An array on one line, merged as if each item had its own."""
    found = [ARRAY.fullmatch(line) for line in (*old, *user, *new)]
    heads = {match[1] for match in found if match}
    arrays = [tomllib.loads(f"items = {match[2]}")["items"] for match in found if match]
    if len(heads) != 1 or not all(isinstance(item, str) for array in arrays for item in array):
        raise Clash
    lines = [[f"{json.dumps(item)},\n" for item in array] for array in arrays]
    items = [line.strip().removesuffix(",") for line in _merged(".toml", lines)]
    return [f"{heads.pop()}[{', '.join(items)}]\n"]


def _keyed(path: str, lines: Sequence[str]) -> dict[str, Item]:
    """Lines by what they name.

    Raises:
        Clash: a line is no item, or names what another names.
    """
    keyed: dict[str, Item] = {}
    for line in lines:
        key, item = _item_of(path, line)
        if not key or key in keyed or not line.endswith("\n"):
            raise Clash
        keyed[key] = item
    return keyed


def _item_of(path: str, line: str) -> tuple[str, Item]:
    """What a line names (empty: it is no item), and its parts. A line that is a comment names itself."""
    text, whole = line.strip(), line.removesuffix("\n")
    if text.startswith("#") or path.rpartition("/")[2] in IGNORES:
        return text, (whole, "")
    if path.endswith((".yaml", ".yml")):
        return (text if re.fullmatch(r"- [^\s:{\[&*][^:]*", text) else ""), (whole, "")
    if path.endswith(".toml"):
        found = ITEM.fullmatch(line)  # the comma that the last item may lack is added
        return (_name(found["text"]), (f"{found[1]},", found["comment"] or "")) if found else ("", ABSENT)
    split = COMMENTED.fullmatch(line)
    return _name(split["item"] if split else text), (split["item"], split["comment"]) if split else (whole, "")


def _name(requirement: str) -> str:
    found = REQUIREMENT.fullmatch(requirement.strip())
    return found[1].lower().replace("_", "-") if found else ""


def _merge_items(old: dict[str, Item], user: dict[str, Item], new: dict[str, Item]) -> list[Item]:
    merged = {key: item for key, item in ((key, _item(key, old, user, new)) for key in new) if item != ABSENT}
    previous = ""
    for key in user:
        if key not in merged and (item := _item(key, old, user, new)) != ABSENT:
            position = list(merged).index(previous) + 1 if previous in merged else 0 if not previous else len(merged)
            merged = dict([*list(merged.items())[:position], (key, item), *list(merged.items())[position:]])
        previous = key
    return list(merged.values())


def _item(key: str, old: dict[str, Item], user: dict[str, Item], new: dict[str, Item]) -> Item:
    """One item by the rule of three: whoever changed it wins, both equally win too."""
    before, yours, theirs = old.get(key, ABSENT), user.get(key, ABSENT), new.get(key, ABSENT)
    if yours in (before, theirs):
        return theirs
    if theirs == before:
        return yours
    if ABSENT in (yours, theirs):
        raise Clash
    return _part(before[0], yours[0], theirs[0]), _part(before[1], yours[1], theirs[1])


def _part(before: str, yours: str, theirs: str) -> str:
    if yours in (before, theirs):
        return theirs
    if theirs == before:
        return yours
    raise Clash
