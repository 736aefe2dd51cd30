"""Merges YAML files key by key where lines would clash, as text: comments, order and quoting of the user's file stay.

A file is cut into one piece of text a key, nested mappings likewise. Each key then follows the rule of three; `Policy`
says who wins where the user and the template both gave a key another value.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import yaml

from tunesmith.flat_yaml import FAST
from tunesmith.update import list_merge
from tunesmith.update.list_merge import Clash

LINE = re.compile(r"(\s*[^\s:#]+:[ \t]+)([^\n]*?)([ \t]+#[^\n]*)?\n")  # key, value, comment


class Policy(Enum):
    """Whose value a key keeps that both sides changed."""

    YOURS = "yours"
    TEMPLATE = "template"
    NOBODY = "nobody"  # a conflict


@dataclass(frozen=True)
class Kept:
    """A key at which the two sides differ: the value that stays and the one that does not (None: not there)."""

    key: str
    value: Any
    other: Any


GONE = object()  # the value of a key that leaves only the user's comment behind


@dataclass(frozen=True)
class _Piece:
    """One key: ``lead`` is the blank and comment lines above it, ``body`` the rest. ``inner``: a nested mapping."""

    lead: str
    body: str
    data: Any
    inner: "tuple[str, dict[str, _Piece]] | None"


def merge(old: bytes, user: bytes, new: bytes, policy: Policy) -> tuple[bytes, list[Kept]] | None:
    """The merged file and the keys at which a side was overruled; None where that takes a decision."""
    try:
        (_, before), (_, yours), (tail, theirs) = (_split(side.decode()) for side in (old, user, new))
        kept: list[Kept] = []
        text, data = _Merge(policy, kept).mapping("", before, yours, theirs)
        tail = _split(user.decode())[0] or tail
        merged = text + tail
        if yaml.load(merged, Loader=FAST) != (data or None):
            return None
    except (Clash, yaml.YAMLError, UnicodeDecodeError):
        return None
    return merged.encode(), kept


@dataclass(frozen=True)
class _Merge:
    policy: Policy
    kept: list[Kept]

    def mapping(
        self, path: str, old: dict[str, _Piece], user: dict[str, _Piece], new: dict[str, _Piece]
    ) -> tuple[str, dict[str, Any]]:
        texts: dict[str, str] = {}
        data: dict[str, Any] = {}
        for key in _order(list(user), list(new)):
            merged = self.key(f"{path}{key}", old.get(key), user.get(key), new.get(key))
            if merged is not None:
                texts[key] = merged[0]
                if merged[1] is not GONE:
                    data[key] = merged[1]
        return "".join(texts.values()), data

    def key(self, path: str, old: _Piece | None, user: _Piece | None, new: _Piece | None) -> tuple[str, Any] | None:
        """Text and value of one key in the merged file (GONE: no key, only a comment); None where nothing is left."""
        if user is None or new is None:
            return self.one_sided(path, old, user, new)
        lead = _three(old.lead if old else "", user.lead, new.lead)
        body, data = self.body(path, old, user, new)
        return lead + body, data

    def one_sided(
        self, path: str, old: _Piece | None, user: _Piece | None, new: _Piece | None
    ) -> tuple[str, Any] | None:
        side = user or new
        if side is None or (old and side.body == old.body):
            return self.comments(old, user)  # one side removed it, the other left it alone
        if old is None:
            return side.lead + side.body, side.data
        if self.policy is Policy.NOBODY:
            raise Clash
        self.kept.append(Kept(path, user.data if user else None, new.data if new else None))
        return (user.lead + user.body, user.data) if user else None

    def comments(self, old: _Piece | None, user: _Piece | None) -> tuple[str, Any] | None:
        """What the user had written above a key that the template removes."""
        before = old.lead.splitlines() if old else []
        added = [
            line for line in (user.lead if user else "").splitlines(True) if line.strip() and line[:-1] not in before
        ]
        if added and self.policy is Policy.NOBODY:
            raise Clash
        return ("".join(added), GONE) if added else None

    def body(self, path: str, old: _Piece | None, user: _Piece, new: _Piece) -> tuple[str, Any]:
        if user.body == new.body or (old and new.body == old.body):
            return user.body, user.data
        if old and user.body == old.body:
            return new.body, new.data
        if user.inner and new.inner and (old is None or old.inner):
            before = (old.inner if old else None) or (user.inner[0], {})
            text, data = self.mapping(f"{path}.", before[1], user.inner[1], new.inner[1])
            return _three(before[0], user.inner[0], new.inner[0]) + text, data
        if user.data == new.data or (old and new.data == old.data):
            return user.body, user.data
        if old and isinstance(user.data, list) and isinstance(new.data, list) and self.policy is Policy.NOBODY:
            return _merge_list(old, user, new)
        if old and user.data == old.data and (spliced := _splice(user, new)):
            return spliced, new.data
        return self.clash(path, user, new)

    def clash(self, path: str, user: _Piece, new: _Piece) -> tuple[str, Any]:
        if self.policy is Policy.NOBODY:
            raise Clash
        winner, loser = (user, new) if self.policy is Policy.YOURS else (new, user)
        self.kept.append(Kept(path, winner.data, loser.data))
        return winner.body, winner.data


def _three(old: str, user: str, new: str) -> str:
    """Text beside a value (a comment, a key's own line): the user's where the user touched it."""
    return new if user == old else user


def _splice(user: _Piece, new: _Piece) -> str:
    """The user's line, with its own comment, and the template's value; empty where that is more than a line."""
    yours, theirs = LINE.fullmatch(user.body), LINE.fullmatch(new.body)
    return f"{yours[1]}{theirs[2]}{yours[3] or ''}\n" if yours and theirs else ""


def _merge_list(old: _Piece, user: _Piece, new: _Piece) -> tuple[str, Any]:
    heads, items = zip(*(piece.body.split("\n", 1) for piece in (old, user, new)), strict=True)
    body = _three(*heads) + "\n" + list_merge.merge_items(".yaml", *items)
    data = yaml.load(body, Loader=FAST)
    return body, next(iter(data.values()))


def _order(user: list[str], new: list[str]) -> list[str]:
    """The user's order, with each key that only the template has after the one it follows there."""
    order = list(user)
    for position, key in enumerate(new):
        if key not in order:
            before = next((other for other in reversed(new[:position]) if other in order), None)
            order.insert(order.index(before) + 1 if before is not None else 0, key)
    return order


def _split(text: str) -> tuple[str, dict[str, _Piece]]:
    """What follows the last key, and the pieces of a file.

    Raises:
        Clash: it is no block mapping of plain keys, or uses anchors.
    """
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=FAST)):
        raise Clash
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    node = yaml.compose(text, Loader=FAST)
    if node is None:
        return "".join(lines), {}
    pieces, end = _pieces(node, lines, 0, len(lines))
    return "".join(lines[end:]), pieces


def _pieces(node: yaml.Node, lines: list[str], start: int, stop: int) -> tuple[dict[str, _Piece], int]:
    """Pieces of the block mapping within ``lines[start:stop]``, and the line after the last of them."""
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise Clash
    found: dict[str, _Piece] = {}
    position = start
    for key, value, limit in _with_limits(node, stop):
        first = key.start_mark.line
        if not isinstance(key, yaml.ScalarNode) or key.value in found or first < position:
            raise Clash
        end = _end(value, lines, first, limit)
        inner = None
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            children, _ = _pieces(value, lines, first + 1, end)
            inner = (lines[first], children)
        data = _construct(value)
        found[key.value] = _Piece("".join(lines[position:first]), "".join(lines[first:end]), data, inner)
        position = end
    return found, position


def _with_limits(node: yaml.MappingNode, stop: int) -> Iterator[tuple[yaml.Node, yaml.Node, int]]:
    for number, (key, value) in enumerate(node.value):
        following = node.value[number + 1][0].start_mark.line if number + 1 < len(node.value) else stop
        yield key, value, following


def _end(value: yaml.Node, lines: list[str], first: int, limit: int) -> int:
    """The line after a value, without the blank and comment lines that belong to what follows."""
    literal = isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")
    skipped: Callable[[str], bool] = (
        (lambda line: not line.strip()) if literal else (lambda line: not line.strip() or line.lstrip().startswith("#"))
    )
    end = limit
    while end > first + 1 and skipped(lines[end - 1]):
        end -= 1
    return end


def _construct(node: yaml.Node) -> Any:
    """The value of a node, as `yaml.safe_load` would give it."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()
