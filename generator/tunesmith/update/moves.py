"""The shipped table of moves: where the modules, files and stages of an older version are now."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from tunesmith.errors import FileProblem
from tunesmith.package_data import TOOLS
from tunesmith.update.source import Source, parse

TABLE = "schemas/moves.yaml"
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
REST = "*"
RUN = re.compile(r"(?<=-m )([A-Za-z_][\w.]*)")
PARTS = ("modules", "files", "stages")


@dataclass(frozen=True)
class Place:
    """Where an import finds a name now; ``module`` is empty if the name is that of a module beside all packages."""

    module: str
    name: str


@dataclass(frozen=True)
class Moves:
    """What one version moved. ``modules`` went whole, except for their ``names`` that have another home.

    A module that has names but is not among ``modules`` is still where it was.
    """

    modules: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, Place]] = field(default_factory=dict)
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)

    def successors(self, path: str) -> list[str]:
        """Paths that may hold the code of a file now: the path itself if it did not move as a whole."""
        found = list(self.files.get(path, ()))
        module = module_of(path)
        if module in self.modules:
            found += paths_of(self.modules[module])
        found += [home for place in self.names.get(module, {}).values() for home in paths_of(place.module)]
        stays = module not in self.modules and (module in self.names or not found)
        return list(dict.fromkeys([path, *found] if stays else found))

    def place(self, module: str, name: str) -> Place | None:
        """Where ``from module import name`` finds it now; None if it stayed."""
        whole = f"{module}.{name}"
        if whole in self.modules:  # a module of a package
            parent, _, called = self.modules[whole].rpartition(".")
            return Place(parent, called)
        if name in self.names.get(module, {}):
            return self.names[module][name]
        return Place(self.modules[module], name) if module in self.modules else None

    def started(self, module: str) -> str:
        """The module that ``python -m module`` names now."""
        place = self.names.get(module, {}).get("main")
        return place.module if place else self.modules.get(module, module)


@dataclass(frozen=True)
class Table:
    """The moves of every version between two, oldest first."""

    steps: Sequence[Moves] = ()

    def homes(self, path: str) -> list[str]:
        """Paths that may hold the code of an old file in the newest version."""
        places = [path]
        for step in self.steps:
            places = list(dict.fromkeys(chain.from_iterable(step.successors(place) for place in places)))
        return [place for place in places if place != path]

    def tool(self, path: str) -> str:
        """The module beside the projects, for `tunesmith tool`, that an old file became; empty for any other file."""
        homes = self.homes(path)
        return module_of(homes[0]) if homes and homes[0].startswith(f"{TOOLS}/") else ""

    def started(self, module: str) -> str:
        """The module that ``python -m module`` of the old version names in the newest one."""
        for step in self.steps:
            module = step.started(module)
        return module

    def command(self, text: str) -> str:
        """A command with the modules that it starts as the newest version names them."""
        return RUN.sub(lambda match: self.started(match[1]), text)

    def stage(self, name: str) -> str:
        """The name of an old stage in the newest version."""
        for step in self.steps:
            name = step.stages.get(name, name)
        return name


def between(source: Source, before: Version, after: Version) -> Table:
    """The moves after ``before``, up to and with ``after``, as the version ``after`` tells them.

    Raises:
        FileProblem: the table is broken.
    """
    found = read(source.read(after, TABLE), Path(source.shown) / TABLE)
    return Table([moves for version, moves in sorted(found.items()) if before < version <= after])


def read(text: str, shown: Path) -> dict[Version, Moves]:
    """The table by version; nothing for an empty text. ``shown`` is named in errors.

    Raises:
        FileProblem: it says something that is no move.
    """
    try:
        loaded: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise _broken(shown, str(error).replace("\n", " ")) from None
    found: dict[Version, Moves] = {}
    for key, value in _mapping(loaded, "the table", shown).items():
        version = parse(str(key))
        if version is None:
            raise _broken(shown, f"{key!r} is no version")
        found[version] = _moves(_mapping(value, str(key), shown), shown)
    return found


def _moves(value: Mapping[Any, Any], shown: Path) -> Moves:
    if unknown := [key for key in value if key not in PARTS]:
        raise _broken(shown, f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    parts = {part: _mapping(value.get(part, {}), part, shown) for part in PARTS}
    modules: dict[str, str] = {}
    names: dict[str, dict[str, Place]] = {}
    for old, new in parts["modules"].items():
        if isinstance(new, dict):
            found = dict(new)
            if REST in found:
                modules[_module(old, shown)] = _module(found.pop(REST), shown)
            names[_module(old, shown)] = {str(name): _place(str(name), place, shown) for name, place in found.items()}
        else:
            modules[_module(old, shown)] = _module(new, shown)
    return Moves(
        modules,
        names,
        {str(old): _paths(new, shown) for old, new in parts["files"].items()},
        {str(old): str(new) for old, new in parts["stages"].items()},
    )


def _mapping(value: Any, what: str, shown: Path) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise _broken(shown, f"{what} is no mapping")
    return value


def _module(value: Any, shown: Path) -> str:
    if not isinstance(value, str) or not MODULE.fullmatch(value):
        raise _broken(shown, f"{value!r} is no module")
    return value


def _place(name: str, value: Any, shown: Path) -> Place:
    module, _, called = str(value).partition(":")
    return Place(_module(module, shown), _module(called or name, shown))


def _paths(value: Any, shown: Path) -> Sequence[str]:
    paths = value if isinstance(value, list) else [value]
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise _broken(shown, f"{value!r} is no path, and no list of paths")
    return tuple(paths)


def _broken(shown: Path, reason: str) -> FileProblem:
    return FileProblem(shown, f"is no table of moves: {reason}", "take another release of the template with --to")


def module_of(path: str) -> str:
    """The module that a file is; empty for a file that is none."""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return name if path.endswith(".py") and MODULE.fullmatch(name) else ""


def paths_of(module: str) -> list[str]:
    """The files that a module may be."""
    folder = module.replace(".", "/")
    return [f"{folder}.py", f"{folder}/__init__.py"]


def existing(paths: Iterable[str], tree: Mapping[str, object]) -> list[str]:
    """Those of the paths that a tree has."""
    return [path for path in paths if path in tree]
