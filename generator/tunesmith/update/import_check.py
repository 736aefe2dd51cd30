"""Finds imports of the project's own modules that name nothing: no such module, or no such name in it."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress

from tunesmith.package_data import TOOLS
from tunesmith.update.git_trees import EXECUTABLE, FILE, Entry, Repository
from tunesmith.update.import_rewrite import absolute
from tunesmith.update.moves import existing, paths_of

PACKAGES = ("pipeline", "engine")
ANYTHING = "*"


def broken_imports(repository: Repository, tree: str, paths: Iterable[str]) -> list[tuple[str, str]]:
    """(path, what is wrong) for each import of ``paths`` that a tree cannot satisfy; files that do not parse aside."""
    files = _Modules(repository, repository.entries(tree))
    found = []
    for path in dict.fromkeys(paths):
        parsed = files.parsed(path) if path.endswith(".py") else None
        for node in ast.walk(parsed) if parsed else ():
            found += [(path, f"line {getattr(node, 'lineno', 0)}: {what}") for what in files.faults(path, node)]
    return found


class _Modules:
    """The modules of a tree, each parsed once."""

    def __init__(self, repository: Repository, entries: dict[str, Entry]) -> None:
        self.repository, self.entries = repository, entries
        self.folders = {
            "/".join(path.split("/")[:depth]) for path in entries for depth in range(1, path.count("/") + 1)
        }
        self.known: dict[str, ast.Module | None] = {}

    def parsed(self, path: str) -> ast.Module | None:
        if path not in self.known:
            entry = self.entries.get(path)
            self.known[path] = None
            if entry and entry.mode in (FILE, EXECUTABLE):
                with suppress(SyntaxError, ValueError):
                    self.known[path] = ast.parse(self.repository.blobs([entry.oid])[entry.oid])
        return self.known[path]

    def faults(self, path: str, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from self.absent(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node.module, node.level)
            yield from self.absent(module)
            if module.split(".")[0] not in PACKAGES or not self.exists(module):
                return
            names = self.names(module)
            for alias in node.names:
                if (
                    not names & {ANYTHING, alias.name}
                    and alias.name != "*"
                    and not self.exists(f"{module}.{alias.name}")
                ):
                    yield f"{module} has no {alias.name}"

    def absent(self, module: str) -> Iterator[str]:
        """What is wrong with a module of ours that is not in the project."""
        package = module.split(".")[0]
        if package == TOOLS:
            yield f"{module} is in the package tunesmith and not in the project"
        elif package in PACKAGES and not self.exists(module):
            yield f"there is no module {module}"

    def exists(self, module: str) -> bool:
        return bool(existing(paths_of(module), self.entries)) or module.replace(".", "/") in self.folders

    def names(self, module: str) -> set[str]:
        """Names that a module binds; a module that cannot be read, or that binds by a star, has every name."""
        paths = existing(paths_of(module), self.entries)
        if not paths:
            return set()
        tree = self.parsed(paths[0])
        return set(_bound(tree.body)) if tree else {ANYTHING}


def _bound(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield ANYTHING if name == "__getattr__" else name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
            case _:
                yield from (
                    part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
                )
                nested = (part for part in ast.walk(node) if isinstance(part, ast.stmt) and part is not node)
                yield from _bound(nested)
