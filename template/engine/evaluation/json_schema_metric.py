"""The project's own JSON Schema of its answers, if it has rules: draft 2020-12, unless it names another."""

import json
from collections.abc import Sequence
from typing import Any

from engine.core.artifacts import ANSWER_SCHEMA
from engine.core.errors import ProjectError
from engine.evaluation.item_metrics import MISSING, parse_json
from engine.inference.results import Answered

_NO_RULES = {"$schema", "$id", "$comment", "title", "description"}


def read_schema() -> Any | None:
    """A validator of answers; None if there are no rules.

    Raises:
        ProjectError: the file is not JSON Schema.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from jsonschema_specifications import REGISTRY  # without it a `$ref` to an address would be fetched

    try:
        schema = json.loads(ANSWER_SCHEMA.read_bytes())
        if isinstance(schema, dict) and schema.keys() <= _NO_RULES:
            return None
        draft = validator_for(schema, Draft202012Validator)
        draft.check_schema(schema, draft.FORMAT_CHECKER)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ProjectError(
            f"not valid JSON: {error}", str(ANSWER_SCHEMA), "fix it; an empty schema {} allows every answer"
        ) from None
    except SchemaError as error:
        raise ProjectError(
            f"not a JSON Schema: {error.message}", f"{ANSWER_SCHEMA}: {error.json_path}", "fix it"
        ) from None
    return draft(schema, registry=REGISTRY)


def schema_failures(items: Sequence[Answered], validator: Any) -> list[float]:
    """1 for each answer that is not JSON or breaks the schema.

    Raises:
        ProjectError: an expected answer does, so that to be right would be a failure; or a `$ref` leads nowhere.
    """
    from referencing.exceptions import Unresolvable

    def fault(text: str) -> str | None:
        value = parse_json(text)
        if value is MISSING:
            return "it is not JSON"
        try:
            error = next(validator.iter_errors(value), None)
        except RecursionError:
            return "it, or the schema, is infinitely nested"
        return error and f"{error.message} (at {error.json_path})"

    try:
        wrong = {item.id: told for item in items if (told := fault(item.expected))}
        if wrong:
            first, told = next(iter(wrong.items()))
            what = f"{len(wrong)} of {len(items)} expected answers break the schema; of item {first}: {told}"
            raise ProjectError(what, str(ANSWER_SCHEMA), "fix the schema, or the records, and run `dvc repro`")
        return [float(fault(item.answer) is not None) for item in items]
    except Unresolvable as error:
        fix = "put the target under $defs of the same file; nothing is fetched"
        raise ProjectError(f"a $ref has no target: {error}", str(ANSWER_SCHEMA), fix) from None
