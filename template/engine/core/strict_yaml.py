"""A YAML file as one typed value, or an error that tells each fault with its line and what was meant."""

import difflib
import re
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from engine.core.errors import ProjectError

_Model = TypeVar("_Model", bound=BaseModel)
Names = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers: PyYAML's 1.1 rules read ``1e-3`` as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


class Document(NamedTuple):
    """A file as it was read: its value, and the nodes that know their lines."""

    path: Path
    value: Any
    root: Any

    def keys(self) -> Iterable[str]:
        """The names at the top of the file."""
        return self.value.keys() if isinstance(self.value, dict) else ()


class Fault(NamedTuple):
    """One thing that is wrong."""

    names: Names  # the keys on the way to it
    what: str
    fix: str
    mark: Any = None  # its place, if the names do not say it
    meant: Names = ()  # the key that a misspelt one stands for
    absent: Names = ()  # the key that is missing


def read(path: Path, kind: type[_Model]) -> _Model:
    """The file as a ``kind``.

    Raises:
        ProjectError: it is missing, is not YAML, or keys are unknown, missing, doubled or have a wrong value.
    """
    return checked(mapping(path), kind)


def mapping(path: Path) -> Document:
    """The file as plain values. Raises `ProjectError` if it is missing or is not YAML."""
    try:
        loader = _Loader(path.read_text("utf-8"))
        root = loader.get_single_node()
        return Document(path, loader.construct_document(root) if root else None, root)
    except FileNotFoundError:
        fix = "run the command in the project's root, or restore the file from git"
        raise ProjectError(f"{path.name} not found", str(path), fix) from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"not UTF-8: {error.reason}", str(path), "save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        marks = [_place(mark) for mark in (error.context_mark, error.problem_mark) if mark]
        where = " to ".join([f"{path}, {marks[0]}", *marks[1:]])
        raise ProjectError(f"not valid YAML: {error.problem}", where, f"see what changed: `git diff {path}`") from None
    except yaml.YAMLError as error:
        raise ProjectError(f"not valid YAML: {error}", str(path)) from None


def checked(document: Document, kind: type[_Model], top: Iterable[str] = ()) -> _Model:
    """The document as a ``kind``.

    Args:
        top: all names that may stand at the top, if ``kind`` does not look at each.

    Raises:
        ProjectError: it names every key that is unknown, missing, doubled or has a wrong value.
    """
    faults = [*doubled(document.root), *strangers(document, tuple(top))]
    found = None
    try:
        found = kind.model_validate(document.value)
    except ValidationError as error:
        told = {(*fault.names, fault.what): fault for fault in _told(error, kind, document.path)}
        faults += told.values()
    misspelt = {fault.meant for fault in faults if fault.meant}
    faults = [fault for fault in faults if fault.absent not in misspelt]  # one slip is one fault
    if found is None or faults:
        raise refusal(document, faults)
    return found


def doubled(node: Any, names: Names = ()) -> Iterator[Fault]:
    """Keys that stand twice in one mapping: YAML would take the last and say nothing."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield Fault((*names, key.value), f"`{key.value}` stands twice", "remove one of them", key.start_mark)
            seen.add(key.value)
            yield from doubled(value, (*names, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield from doubled(value, (*names, place))


def strangers(document: Document, top: tuple[str, ...]) -> Iterator[Fault]:
    """What may not stand at the top of the file."""
    for name in document.keys() if top else ():
        if name not in top:
            yield _unknown((), str(name), top)


def refusal(document: Document, faults: list[Fault]) -> ProjectError:
    """One error for all faults, in the order of the file."""
    placed = [(_mark(document.root, fault.names) if fault.mark is None else fault.mark, fault) for fault in faults]
    placed.sort(key=lambda pair: (pair[0].line, pair[0].column) if pair[0] else (-1, -1))
    errors = [ProjectError(fault.what, _where(document.path, mark, fault.names), fault.fix) for mark, fault in placed]
    if len(errors) == 1:
        return errors[0]
    lines = [line for error in errors for line in (f"  {error.where}", f"    {error.what}: {error.fix}")]
    return ProjectError("\n".join([f"{document.path.name} has {len(errors)} faults", *lines]))


def _told(error: ValidationError, kind: type[BaseModel], path: Path) -> Iterator[Fault]:
    """The faults that pydantic found, in our words."""
    restore = f"see what changed: `git diff {path}`"
    for fault in error.errors(include_url=False):
        names, model, wanted = _walked(kind, fault["loc"])
        given = fault["input"]
        match fault["type"]:
            case "extra_forbidden":
                name = str(fault["loc"][-1])
                yield _unknown(names, name, model)
            case "missing":
                yield Fault(names[:-1], f"`{names[-1]}` is missing", f"add it; {restore}", absent=names)
            case "invalid_key":
                yield Fault(names, f"the key {fault['loc'][-1]!r} is no text", "write it in quotes")
            case "literal_error":
                words = sorted(map(str, get_args(wanted)))
                close = difflib.get_close_matches(str(given), words, n=1)
                fix = f"one of: {', '.join(words)}" + (f"; did you mean {close[0]}?" if close else "")
                yield Fault(names, f"{given!r} is not allowed", fix)
            case "model_type" | "model_attributes_type":
                yield Fault(names, f"a group of knobs is wanted here, not {_short(given)}", restore)
            case "string_type" if isinstance(given, int | float | None):
                yield Fault(names, f"text is wanted here, not {_short(given)}", "write it in quotes")
            case _:
                yield Fault(names, f"{fault['msg']}, not {_short(given)}", restore)


def _walked(kind: type[BaseModel], place: Names) -> tuple[Names, tuple[str, ...], Any]:
    """The keys of the file on the way to a fault, the keys that are allowed at its end, and the type wanted there.

    pydantic also names the branch of a union on the way: such names are no keys.
    """
    names: list[str | int] = []
    wanted: Any = kind
    for name in place:
        inner = next((found for branch in _branches(wanted) if (found := _inner(branch, name)) is not None), None)
        if inner is None:
            break
        names.append(name)
        wanted = inner
    fields = [
        field
        for branch in _branches(wanted)
        if isinstance(branch, type) and issubclass(branch, BaseModel)
        for field in branch.model_fields
    ]
    literal = next((branch for branch in _branches(wanted) if get_origin(branch) is Literal), wanted)
    return tuple(names), tuple(fields), literal


def _branches(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _inner(kind: Any, name: str | int) -> Any:
    """The type of what a group, a list or a mapping has under a name; None if it has nothing there."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields[str(name)].annotation if name in kind.model_fields else None
    if get_origin(kind) is list and isinstance(name, int):
        return get_args(kind)[0]
    return get_args(kind)[1] if get_origin(kind) is dict else None


def _unknown(names: Names, name: str, allowed: tuple[str, ...]) -> Fault:
    close = difflib.get_close_matches(name, allowed, n=1)
    fix = f"did you mean {close[0]}?" if close else f"remove it; allowed: {', '.join(allowed)}"
    return Fault((*names, name), f"unknown key `{name}`", fix, meant=(*names, close[0]) if close else ())


def _short(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _where(path: Path, mark: Any, names: Names) -> str:
    place = ", ".join([str(path), *([_place(mark)] if mark else [])])
    return f"{place}: {'.'.join(map(str, names))}" if names else place


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _mark(node: Any, names: Names) -> Any:
    """The place of the key at this path, or of its last existing parent; None outside every key."""
    mark = None
    for name in names:
        if isinstance(node, yaml.SequenceNode) and isinstance(name, int) and name < len(node.value):
            node = node.value[name]
            mark = node.start_mark
        elif isinstance(node, yaml.MappingNode) and (pair := [pair for pair in node.value if pair[0].value == name]):
            mark, node = pair[-1][0].start_mark, pair[-1][1]
    return mark
