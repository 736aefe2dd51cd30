"""Reads one flat mapping of scalars with YAML 1.2 meaning, remembering lines.

PyYAML follows YAML 1.1, where ``1e-3`` is text and ``no`` is false. Only its parser is used here; scalars are given
their meaning by the core schema of YAML 1.2. Aliases are refused, so nothing can be multiplied.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from tunesmith.errors import Problem, SpecError

MAX_BYTES = 256 * 1024
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same YAML, read by libyaml where PyYAML has it

INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
SPECIAL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NULL = {"", "~", "null", "Null", "NULL"}
MAX_DEPTH = 5
MAX_DIGITS = 4300  # what int() reads at most; a longer one stays text


@dataclass
class Document:
    """A flat spec as read. ``lines`` counts from 1; ``problems`` are faults of the text that did not stop reading."""

    source: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read(source: str, data: bytes) -> Document:
    """Read ``data``; ``source`` names it in messages.

    Raises:
        SpecError: the text is too large, not UTF-8, not YAML, or not a mapping.
    """
    node = _compose(source, _decode(source, data))
    document = Document(source)
    if node is None:
        return document
    if not isinstance(node, yaml.MappingNode):
        found = "a list" if isinstance(node, yaml.SequenceNode) else "plain text"
        raise _broken(source, f"a spec is a mapping of `key: value` lines, but this is {found}", _line(node.start_mark))
    for key_node, value_node in node.value:
        _add(document, key_node, value_node)
    return document


def scalar(text: str) -> Any:
    """Meaning of a plain scalar under the core schema of YAML 1.2."""
    if text in NULL:
        return None
    if text in SPECIAL:
        return SPECIAL[text]
    if INTEGER.fullmatch(text) and len(text) <= MAX_DIGITS:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if FLOAT.fullmatch(text) and len(text) <= MAX_DIGITS:
        return float(text)
    return text


def _broken(source: str, message: str, line: int | None = None) -> SpecError:
    return SpecError(source, [Problem("", message, line)])


def _line(mark: Any) -> int | None:
    return mark.line + 1 if mark else None


def _decode(source: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _broken(
            source,
            f"larger than {MAX_BYTES // 1024} KiB, but a spec has about fifty short lines; is this the right file?",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _broken(source, f"not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8", line) from None


def _compose(source: str, text: str) -> yaml.Node | None:
    try:
        _refuse_nesting(source, text)
        composed: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _broken(source, _explain(error), _line(mark)) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise _broken(source, f"the character #x{code:04x} is not allowed in YAML", line) from None
    return composed


def _refuse_nesting(source: str, text: str) -> None:
    """Stop at the first alias or at deep nesting: PyYAML's time grows with the square of the depth."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _broken(source, "YAML aliases (*name) are not allowed; write the value out", _line(event.start_mark))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _broken(
                source, "nested too deeply; a spec is flat, with one `key: value` per line", _line(event.start_mark)
            )


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not valid YAML"
    if "'\\t'" in problem:
        return "tabs cannot indent YAML; use spaces"
    if "expected a single document" in str(error):
        return "more than one YAML document (a second ---); a spec has one"
    return f"not valid YAML: {problem}"


def _add(document: Document, key_node: yaml.Node, value_node: yaml.Node) -> None:
    line = _line(key_node.start_mark)
    if not isinstance(key_node, yaml.ScalarNode):
        document.problems.append(Problem("", "a key must be plain text", line))
        return
    key = key_node.value
    if key in document.values:
        first = document.lines[key]
        document.problems.append(Problem(key, f"written twice (first on line {first}); keep one", line))
        return
    document.lines[key] = line or 0
    if isinstance(value_node, yaml.ScalarNode):
        plain = value_node.style is None  # quoted and block scalars are text whatever they look like
        document.values[key] = scalar(value_node.value) if plain else value_node.value
    else:
        document.values[key] = [] if isinstance(value_node, yaml.SequenceNode) else {}
