"""A YAML file as one typed value, or an error with the line of the slip and what was meant."""

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from engine.core.errors import ProjectError

_T = TypeVar("_T")


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


def read(path: Path, kind: type[_T]) -> _T:
    """The file as a ``kind``.

    Raises:
        ProjectError: it is missing, is not YAML, or a key is unknown, missing or has a wrong value.
    """
    try:
        loader = _Loader(path.read_text("utf-8"))
        root = loader.get_single_node()
        value = loader.construct_document(root) if root else None
    except FileNotFoundError:
        fix = "run from the project's root, or restore it from git"
        raise ProjectError(f"{path.name} not found", str(path), fix) from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"not UTF-8: {error.reason}", str(path), "save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        marks = [_place(mark) for mark in (error.context_mark, error.problem_mark) if mark]
        where = " to ".join([f"{path}, {marks[0]}", *marks[1:]])
        raise ProjectError(f"not valid YAML: {error.problem}", where, f"`git diff {path}` shows what changed") from None
    except yaml.YAMLError as error:
        raise ProjectError(f"not valid YAML: {error}", str(path)) from None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at ")
        what += " as a key" if at.startswith("`key`") else ""
        names = re.findall(r"[.\[](\w+)", at)  # `$.train.lora_rank`, `$.evaluate.shots[1]`
        fix = _fix(what, inspect.type_info(kind), names) or f"`git diff {path}` shows what changed"
        if unknown := _UNKNOWN.match(what):
            names.append(unknown[1])
        mark = _mark(root, names)
        where = ", ".join([str(path), *([_place(mark)] if mark else [])])
        raise ProjectError(what, f"{where}: {'.'.join(names)}" if names else where, fix) from None


_UNKNOWN = re.compile("Object contains unknown field `(.+)`")
_WRONG = re.compile("Invalid enum value '(.*)'")
_UNQUOTED = re.compile(r"Expected `[^`]*\bstr\b[^`]*`(, got `(int|float|bool|null)`| as a key)")


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _mark(node: Any, names: list[str]) -> Any:
    """Where the key at this path stands, or the last one on the way to it that is there; None outside every key."""
    mark = None
    for name in names:
        if isinstance(node, yaml.SequenceNode) and name.isdigit():
            node = node.value[int(name)]
            mark = node.start_mark
        elif isinstance(node, yaml.MappingNode) and (pair := [pair for pair in node.value if pair[0].value == name]):
            mark, node = pair[-1][0].start_mark, pair[-1][1]
    return mark


def _fix(what: str, kind: inspect.Type, names: list[str]) -> str:
    """What was most likely meant, and what is allowed there."""
    for name in names:
        kind = next((found for part in _parts(kind) if (found := _inner(part, name))), kind)
    if unknown := _UNKNOWN.match(what):
        fields = [field.encode_name for part in _parts(kind) for field in getattr(part, "fields", ())]
        close = difflib.get_close_matches(unknown[1], fields, n=1)
        return f"did you mean {close[0]}?" if close else f"remove it; here may stand: {', '.join(fields)}"
    if wrong := _WRONG.match(what):
        words = [str(word) for part in _parts(kind) if isinstance(part, inspect.LiteralType) for word in part.values]
        close = difflib.get_close_matches(wrong[1], words, n=1)
        return f"one of: {', '.join(words)}" + (f"; did you mean {close[0]}?" if close else "")
    return "write it in quotes" if _UNQUOTED.match(what) else ""


def _parts(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _inner(kind: inspect.Type, name: str) -> inspect.Type | None:
    """The type of what a mapping or a list has under a name."""
    if isinstance(kind, inspect.StructType):
        return next((field.type for field in kind.fields if field.encode_name == name), None)
    return getattr(kind, "value_type", None) or getattr(kind, "item_type", None)
