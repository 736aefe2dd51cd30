"""A YAML file as one typed value, or an error that tells each fault with its line and what was meant."""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

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
    """A file as it was read."""

    path: Path
    value: Any
    places: list[tuple[Names, yaml.Mark]]  # of every key and item, in order; a key that stands twice is there twice

    @property
    def names(self) -> list[str]:
        """What stands at the top of the file."""
        return list(self.value) if isinstance(self.value, dict) else []


class Fault(NamedTuple):
    """One thing that is wrong."""

    names: Names  # the keys on the way to it
    what: str
    fix: str
    meant: Names = ()  # the key that a misspelt one stands for
    absent: Names = ()  # the key that is missing


def mapping(path: Path) -> Document:
    """The file as plain values. Raises `ProjectError` if it is missing or is not YAML."""
    try:
        loader = _Loader(path.read_text("utf-8"))
        root = loader.get_single_node()
        value = loader.construct_document(root) if root else None
        return Document(path, value, list(_places(root)))
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


def checked(document: Document, kind: type[_Model], top: Sequence[str] = ()) -> _Model:
    """The document as a ``kind``.

    Args:
        top: all names that may stand at the top, if ``kind`` does not look at each.

    Raises:
        ProjectError: it names every key that is unknown, missing, doubled or has a wrong value.
    """
    counts = Counter(names for names, _ in document.places)
    doubled = {names for names, count in counts.items() if count > 1}
    faults = [  # of a doubled group its own keys are not told
        Fault(names, f"`{names[-1]}` stands twice", "remove one of them")
        for names in doubled
        if names[:-1] not in doubled
    ]
    if top:
        faults += [_unknown((), str(name), top) for name in document.names if name not in top]
    value = None
    try:
        value = kind.model_validate(document.value)
    except ValidationError as error:
        distinct = {(*fault.names, fault.what): fault for fault in _in_words(error, kind, document)}
        faults += distinct.values()
    misspelt = {fault.meant for fault in faults if fault.meant}
    faults = [fault for fault in faults if fault.absent not in misspelt]  # one slip is one fault
    if value is None or faults:
        raise _refusal(document, faults)
    return value


def _places(node: Any, names: Names = ()) -> Iterator[tuple[Names, yaml.Mark]]:
    """The place of every key and of every item of a list."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*names, key.value), key.start_mark
            yield from _places(value, (*names, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield (*names, place), value.start_mark
            yield from _places(value, (*names, place))


def _refusal(document: Document, faults: list[Fault]) -> ProjectError:
    """One error for all faults, in the order of the file."""
    marks = dict(document.places)
    placed = [(_mark(marks, fault.names), fault) for fault in faults]
    placed.sort(key=lambda pair: (pair[0].line, pair[0].column) if pair[0] else (-1, -1))
    errors = [ProjectError(fault.what, _where(document.path, mark, fault.names), fault.fix) for mark, fault in placed]
    if len(errors) == 1:
        return errors[0]
    lines = [line for error in errors for line in (f"  {error.where}", f"    {error.what}: {error.fix}")]
    return ProjectError("\n".join([f"{document.path.name} has {len(errors)} faults", *lines]))


def _in_words(error: ValidationError, kind: type[BaseModel], document: Document) -> Iterator[Fault]:
    """The faults that pydantic found, in our words."""
    restore = f"see what changed: `git diff {document.path}`"
    for fault in error.errors(include_url=False):
        given, last = fault["input"], fault["loc"][-1] if fault["loc"] else ""
        names = _keys(document.value, fault["loc"])
        match fault["type"]:
            case "extra_forbidden":
                yield _unknown(names[:-1], str(last), _allowed(kind, names[:-1]))
            case "missing":
                yield Fault(names, f"`{last}` is missing", f"add it; {restore}", absent=(*names, last))
            case "invalid_key":
                yield Fault(
                    _keys(document.value, fault["loc"][:-1]), f"the key {last!r} is no text", "write it in quotes"
                )
            case "literal_error":
                words = sorted(word.strip("'") for word in re.split(", | or ", fault["ctx"]["expected"]))
                close = difflib.get_close_matches(str(given), words, n=1)
                fix = f"one of: {', '.join(words)}" + (f"; did you mean {close[0]}?" if close else "")
                yield Fault(names, f"{given!r} is not allowed", fix)
            case "model_type" | "model_attributes_type":
                yield Fault(names, f"a group of knobs is wanted here, not {_short(given)}", restore)
            case "string_type" if isinstance(given, int | float | None):
                yield Fault(names, f"text is wanted here, not {_short(given)}", "write it in quotes")
            case _:
                yield Fault(names, f"{fault['msg']}, not {_short(given)}", restore)


def _keys(value: Any, place: Names) -> Names:
    """The keys of the file on the way to a fault. pydantic also names the branch of a union there, which is no key."""
    for depth, name in enumerate(place):
        try:
            value = value[name]
        except (KeyError, IndexError, TypeError):
            return place[:depth]
    return place


def _allowed(kind: Any, names: Names) -> tuple[str, ...]:
    """The keys that a type allows at a place in it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _allowed(kind.model_fields[str(names[0])].annotation, names[1:]) if names else tuple(kind.model_fields)
    inside = names[1:] if get_origin(kind) in (list, dict) else names
    return next((keys for inner in get_args(kind) if (keys := _allowed(inner, inside))), ())


def _unknown(names: Names, name: str, allowed: Sequence[str]) -> Fault:
    close = difflib.get_close_matches(name, allowed, n=1)
    fix = f"did you mean {close[0]}?" if close else f"remove it; allowed: {', '.join(allowed)}"
    return Fault((*names, name), f"unknown key `{name}`", fix, meant=(*names, close[0]) if close else ())


def _short(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _where(path: Path, mark: yaml.Mark | None, names: Names) -> str:
    place = ", ".join([str(path), *([_place(mark)] if mark else [])])
    return f"{place}: {'.'.join(map(str, names))}" if names else place


def _place(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _mark(marks: Mapping[Names, yaml.Mark], names: Names) -> yaml.Mark | None:
    """The place of the key at this path, or of its last existing parent; None outside every key."""
    return next((marks[names[:end]] for end in range(len(names), 0, -1) if names[:end] in marks), None)
