"""The schema that editors read: the spec's own, with the support matrix as rules that give their reason."""

from collections.abc import Mapping
from typing import Any

from tunesmith import catalog
from tunesmith.questions import defaults, schema

ADDRESS = "https://raw.githubusercontent.com/tunesmith/tunesmith/main/docs/spec.schema.json"


def published_schema() -> dict[str, Any]:
    """JSON Schema of the specs that can be generated; docs/spec.schema.json and `tunesmith schema` are this."""
    rules = [
        _rule(catalog.refusal(state, row), row["when"])
        for state in ("impossible", "planned")
        for row in catalog.support_rules()[state]
    ]
    return {**schema(), "$id": ADDRESS, "allOf": [*schema()["allOf"], *rules]}


def _rule(refusal: catalog.Refusal, when: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Refuses a combination at the first of its keys that a spec has to write, for the default is not in it.

    A knob has no default: the planner chooses it.
    """
    written = [key for key, values in when.items() if defaults().get(key) not in values]
    refused = {"not": {"enum": when[written[0]]}, "errorMessage": str(refusal)}  # VS Code's keyword for a message
    return {
        "$comment": str(refusal),
        "if": {"properties": {key: {"enum": values} for key, values in when.items()}, "required": written},
        "then": {"properties": {written[0]: refused}},
    }
