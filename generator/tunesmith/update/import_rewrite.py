"""Rewrites imports of modules that moved, byte for byte the same elsewhere: comments, line ends, encoding, layout."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunesmith.update.moves import Moves, Place

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
FROM = re.compile(r"from[ \t\f\\\r\n]*([\w.]+)[ \t\f\\\r\n]*import\b")


@dataclass(frozen=True)
class Rewritten:
    """A file's new content, and what in it only its owner can decide, each with its line."""

    content: bytes
    left: Sequence[str] = ()


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def rewrite(path: str, content: bytes, moves: Moves) -> Rewritten:
    """A Python file with the imports of one version's moves; a file that does not parse stays as it is.

    ``path`` resolves relative imports. Imports of names that a split module handed on are divided.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
        tree = ast.parse(text)
    except (SyntaxError, UnicodeDecodeError, LookupError, ValueError):
        return Rewritten(content)
    found = _Rewriter(path, text, moves)
    found.read(tree)
    for edit in sorted(found.edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return Rewritten(text.encode(encoding) if found.edits else content, tuple(found.left))


def package_of(path: str) -> list[str]:
    """The parts of the package that a file's relative imports start from."""
    return path.split("/")[:-1]


def absolute(path: str, module: str | None, level: int) -> str:
    """The full name of the module that ``from MODULE import`` names in a file; empty if it leads out of the project."""
    if not level:
        return module or ""
    package = package_of(path)
    if level - 1 > len(package):
        return ""
    base = package[: len(package) - (level - 1)]
    return ".".join([*base, *([module] if module else [])])


class _Rewriter:
    """The edits that one file needs."""

    def __init__(self, path: str, text: str, moves: Moves) -> None:
        self.path, self.text, self.moves = path, text, moves
        self.lines = LINE.findall(text)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.edits: list[_Edit] = []
        self.left: list[str] = []

    def read(self, tree: ast.Module) -> None:
        """Collect the edits."""
        dotted: set[str] = set()  # modules that `import a.b` binds by their full name
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                self.from_import(node)
            elif isinstance(node, ast.Import):
                dotted |= {alias.name for alias in node.names if self.is_moved(alias.name) and not alias.asname}
        used = self.uses(tree, dotted)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.plain_import(node, used)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and self.names_moved(node.value):
                self.left.append(f"line {node.lineno}: the text {node.value!r} names a module that moved")

    def is_moved(self, module: str) -> bool:
        return module in self.moves.modules or module in self.moves.names

    def names_moved(self, text: str) -> bool:
        """Whether a text is a moved module, or a moved name as `monkeypatch` and `importlib` take it."""
        if text in self.moves.modules:
            return True
        module, _, name = text.rpartition(".")
        return module in self.moves.modules or name in self.moves.names.get(module, ())

    def from_import(self, node: ast.ImportFrom) -> None:
        module = absolute(self.path, node.module, node.level)
        for alias in node.names:
            self.split(node, f"{module}.{alias.name}", alias.asname or alias.name)
        if node.names[0].name == "*":
            if module in self.moves.names:
                self.left.append(f"line {node.lineno}: {module} was split; import the names that this file uses")
            target = self.moves.modules.get(module)
            places = [Place(target, "*")] if target else []
        else:
            places = [place for alias in node.names if (place := self.moves.place(module, alias.name))]
        if not places:
            return
        start, end = self.span(node)
        source = self.text[start:end]
        head = FROM.match(source)
        same = len(places) == len(node.names) and len({place.module for place in places}) == 1
        called_alike = all(place.name == alias.name for place, alias in zip(places, node.names, strict=False))
        if same and called_alike and head and places[0].module:
            self.edits.append(_Edit(start + head.start(1), start + head.end(1), places[0].module))
        else:
            self.edits.append(_Edit(start, end, self.divided(node, module, source)))

    def split(self, node: ast.stmt, module: str, bound: str) -> None:
        """Say which names of a module bound as a whole have another home than the rest of it."""
        for name, place in self.moves.names.get(module, {}).items():
            if re.search(rf"\b{re.escape(bound)}\.{name}\b", self.text):
                now = f"{place.module}.{place.name}"
                self.left.append(f"line {node.lineno}: {bound}.{name} is now {now}; import it from there")

    def divided(self, node: ast.ImportFrom, module: str, source: str) -> str:
        """One statement a module, in the order in which they come up."""
        groups: dict[str, list[str]] = defaultdict(list)
        stayed = ("." * node.level) + (node.module or "")
        for alias in node.names:
            place = self.moves.place(module, alias.name)
            name = place.name if place else alias.name
            bound = alias.asname or alias.name
            item = name if name == bound and not alias.asname else f"{name} as {bound}"
            groups[place.module if place else stayed].append(item)
        statements = [
            f"from {target} import {', '.join(items)}" if target else f"import {', '.join(items)}"
            for target, items in groups.items()
        ]
        line = self.lines[node.lineno - 1]
        indent = line[: len(line) - len(line.lstrip(" \t\f"))]
        start, end = self.span(node)
        before = self.text[self.starts[node.lineno - 1] : start]
        after = self.text[end : self.starts[(node.end_lineno or node.lineno)]]
        if before.strip() or after.lstrip().startswith(";"):
            return "; ".join(statements)
        comments = [token.string for token in _tokens(source) if token.type == tokenize.COMMENT]
        return f"{self.newline}{indent}".join([*comments, *statements])

    def uses(self, tree: ast.Module, dotted: set[str]) -> dict[str, set[str]]:
        """Rewrite ``a.b.name`` of modules imported as ``import a.b``; by old module, what has to be imported now."""
        needed: dict[str, set[str]] = defaultdict(set)
        whole: set[str] = set()
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not (module := _dotted(node.value)) or module not in dotted:
                continue
            start, end = self.span(node.value)
            moved = self.moves.names.get(module, {}).get(node.attr)
            if not moved and module in self.moves.modules:
                self.edits.append(_Edit(start, end, self.moves.modules[module]))
                needed[module].add(self.moves.modules[module])
            elif moved:
                self.edits.append(_Edit(start, self.span(node)[1], f"{moved.module}.{moved.name}"))
                needed[module].add(moved.module)
            else:
                whole.add(module)
        for module in whole:
            needed[module].add(module)
        return needed

    def plain_import(self, node: ast.Import, used: dict[str, set[str]]) -> None:
        for alias in node.names:
            start, end = self.span(alias)
            target = self.moves.modules.get(alias.name)
            if alias.asname:
                self.split(node, alias.name, alias.asname)
            if alias.asname and target:
                self.edits.append(_Edit(start, start + len(alias.name), target))
            elif target or used[alias.name] - {alias.name}:
                self.edits.append(_Edit(start, end, ", ".join(sorted(used[alias.name])) or target or alias.name))

    def span(self, node: ast.expr | ast.stmt | ast.alias) -> tuple[int, int]:
        """Where a node begins and ends in the text."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def offset(self, line: int, column: int) -> int:
        """ast counts bytes of UTF-8 within a line."""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) and parts else ""


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    yield from tokenize.generate_tokens(io.StringIO(source).readline)
