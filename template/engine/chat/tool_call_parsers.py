"""The words in which models call tools, read as calls. `template_coverage` refuses what is not read here.

- ``<tool_call>{"name": ..., "arguments": ...}</tool_call>``: Hermes, Qwen 2.5 and 3
- ``{"name": ..., "parameters": ...}``, one after the other or in a list, alone or in a fence: Llama 3, and bare JSON
- ``[TOOL_CALLS][{"name": ..., "arguments": ...}]``, ``[TOOL_CALLS]name[ARGS]{...}``: Mistral
- ``<function=name><parameter=key>value</parameter></function>``: Qwen 3.5, Qwen Coder, Nemotron 3

Marks that are special tokens (``[TOOL_CALLS]``, ``<|python_tag|>``) are dropped where answers are decoded.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Call: TypeAlias = dict[str, Any]  # name, and arguments as an object
Tools: TypeAlias = Sequence[Mapping[str, Any]]
_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FENCE = re.compile(r"\A```[a-zA-Z]*\s*\n(.*?)\n?```\Z", re.DOTALL)
_LEAD = re.compile(r"[\s;,]*(?:\[TOOL_CALLS\]|<\|python_tag\|>)?\s*([\w.-]*)(?:\[ARGS\])?\s*")  # before a call's JSON
_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_KEYS = {"name", "arguments", "parameters", "id", "type", "function"}
_PYTHONS = {"True": "true", "False": "false", "None": "null"}  # a template that writes a value as Python does


def read_calls(text: str, tools: Tools = ()) -> tuple[str, list[Call]]:
    """The text before an answer's calls, and the calls; the whole text and no calls if the rest is not only calls.

    Of a value that is written bare, the ``tools`` say whether it is a text or a number.
    """
    tagged = _TAGGED.findall(text)
    fenced = _FENCE.match(text.strip())
    bodies = tagged or [fenced.group(1) if fenced else text]
    try:
        found = [call for body in bodies for call in _calls(body.strip(), tools)]
    except (ValueError, RecursionError):
        return text, []
    return (text.partition("<tool_call>")[0].strip() if tagged else "", found) if found else (text, [])


def _calls(text: str, tools: Tools) -> Iterator[Call]:
    if text.startswith("<function="):
        yield from (_written_out(name, inner, tools) for name, inner in _FUNCTION.findall(text))
        return
    decoder, place = json.JSONDecoder(parse_constant=_refuse), 0
    while place < len(text):
        lead = _LEAD.match(text, place)
        assert lead is not None  # it matches nothing, too
        value, place = decoder.raw_decode(text, lead.end())
        for one in value if isinstance(value, list) and not lead.group(1) else [value]:
            yield _call({"name": lead.group(1), "arguments": one} if lead.group(1) else one)


def _call(value: Any) -> Call:
    """A call in any of JSON's spellings. Raises ValueError if it is none."""
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict) or not {*value, *function} <= _KEYS:
        raise ValueError("not a call")
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    if not isinstance(function.get("name"), str) or not isinstance(arguments, dict):
        raise ValueError("not a call")
    return {"name": function["name"], "arguments": arguments}


def _written_out(name: str, inner: str, tools: Tools) -> Call:
    listed = (tool.get("function", {}) for tool in tools)
    schema = next((one.get("parameters") for one in listed if one.get("name") == name), None)
    fields = (schema or {}).get("properties") or {}
    kinds = {key: field.get("type") for key, field in fields.items() if isinstance(field, dict)}
    return {"name": name, "arguments": {key: _typed(text, kinds.get(key)) for key, text in _PARAMETER.findall(inner)}}


def _typed(text: str, kind: Any) -> Any:
    if kind == "string":
        return text
    try:
        return json.loads(_PYTHONS.get(text, text), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
