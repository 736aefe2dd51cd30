"""Merges lists of one item a line, where git sees a conflict: dependencies, locks, ignore files, lists in YAML.

git merges all it can; then each conflict whose lines are all items is merged as a set: the new list, and what the user
added, without what the user removed. An item that both sides changed differently stays a conflict.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunesmith import git

MARKER = 31  # longer than any marker that a file holds itself
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?\s*([=<>!~@;].*)?")
OURS, BASE, THEIRS, END = (sign * MARKER for sign in "<|=>")

Lines = list[str]


def merge(path: str, old: bytes, user: bytes, new: bytes) -> bytes | None:
    """The merged file, or None where a conflict is left that no set merge resolves."""
    merged: Lines = []
    try:
        for part in _parts(_diff3(old, user, new)):
            if isinstance(part, str):
                merged.append(part)
                continue
            items = _merge_items(*(_keyed(path, side) for side in part))
            merged += items
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
    sides = (_keyed(path, side.splitlines(keepends=True)) for side in (old, user, new))
    return "".join(_merge_items(*sides))


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


def _keyed(path: str, lines: Sequence[str]) -> dict[str, str]:
    """Lines by what they name.

    Raises:
        Clash: a line is no item, or names what another names.
    """
    keyed: dict[str, str] = {}
    for line in lines:
        key = _key(path, line.strip())
        if not key or key in keyed or not line.endswith("\n"):
            raise Clash
        keyed[key] = line
    return keyed


def _key(path: str, text: str) -> str:
    if path.endswith((".yaml", ".yml")):
        return text if re.fullmatch(r"- [^\s:{\[&*][^:]*", text) else ""
    if path.endswith(".toml"):
        quoted = re.fullmatch(r"([\"'])(.+)\1,", text)
        text = quoted[2] if quoted else ""
    elif path.rpartition("/")[2] in (".gitignore", ".dvcignore", ".dockerignore", ".gitattributes"):
        return text
    found = REQUIREMENT.fullmatch(text)
    return found[1].lower().replace("_", "-") if found else ""


def _merge_items(old: dict[str, str], user: dict[str, str], new: dict[str, str]) -> Lines:
    merged = {key: line for key, line in ((key, _item(key, old, user, new)) for key in new) if line}
    previous = ""
    for key in user:
        if key not in merged and (line := _item(key, old, user, new)):
            position = list(merged).index(previous) + 1 if previous in merged else 0 if not previous else len(merged)
            merged = dict([*list(merged.items())[:position], (key, line), *list(merged.items())[position:]])
        previous = key
    return list(merged.values())


def _item(key: str, old: dict[str, str], user: dict[str, str], new: dict[str, str]) -> str:
    """One item by the rule of three: whoever changed it wins, both equally win too."""
    before, yours, theirs = old.get(key, ""), user.get(key, ""), new.get(key, "")
    if yours in (before, theirs):
        return theirs
    if theirs == before:
        return yours
    raise Clash
