"""A user's own figures: files below ~/.config/tunesmith overrule the catalogues and are held to the same schemas."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tunesmith import package_data
from tunesmith.errors import FileProblem, nearest


def own_file(name: str) -> Path:
    """Where a user keeps figures that hold for all projects."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "tunesmith" / name


def read(path: Path, sections: Mapping[str, Any], fix: str) -> dict[str, dict[str, Any]]:
    """The sections of a file; what is empty is left out.

    Raises:
        FileProblem: it cannot be read, or has a section that the catalogue has not.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileProblem(path, f"cannot be read: {error}", fix) from None
    if not isinstance(loaded, dict):
        raise FileProblem(path, "holds no sections", fix)
    for key, value in loaded.items():
        if key not in sections:
            close = nearest(str(key), sections)
            raise FileProblem(path, f"has an unknown section: {key}{f' (did you mean {close}?)' if close else ''}", fix)
        if value is not None and not isinstance(value, dict):
            raise FileProblem(path, f"{key}: {value!r} is not a section", fix)
        for name in value or ():
            if not isinstance(name, str):
                raise FileProblem(path, f"{key}: the key {name!r} is not text; put it in quotes", fix)
    return {
        key: {name: row for name, row in value.items() if row is not None} for key, value in loaded.items() if value
    }


def signed(row: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A row of the user's with the user as its source, unless it names one; an undated one stays undated."""
    return {"source": f"yours, {path.name}", "date": "", **row}


def merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """The catalogue with a user's own figures: a list is replaced as a whole, a mapping key by key.

    A price given directly replaces the offers of the same row; ``more_offers`` join them.
    """
    result = dict(base)
    for key, value in override.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    if "offers" in base and "offers" not in override and "usd_per_hour" in override:
        del result["offers"]
    if isinstance(more := override.get("more_offers"), list):
        result["offers"] = [*result.get("offers", []), *more]
        del result["more_offers"]
    return result


def check(catalogue: str, content: Mapping[str, Any], path: Path, fix: str) -> None:
    """Hold the merged content to the catalogue's schema.

    Raises:
        FileProblem: it breaks it; the deepest fault is named with its place.
    """
    from jsonschema import Draft202012Validator  # heavy: only where a user has figures of their own
    from jsonschema.exceptions import best_match

    schema = json.loads(package_data.schema_file("catalog", f"{catalogue}.schema.json").read_text(encoding="utf-8"))
    if place := _endless(content):
        raise FileProblem(path, f"{place} is not a figure", fix)
    plain = json.loads(json.dumps(content, default=str))
    if error := best_match(Draft202012Validator(schema).iter_errors(plain)):
        place = ".".join(map(str, error.absolute_path))
        raise FileProblem(path, f"{place}: {error.message}", fix)


def _endless(content: Any, place: str = "") -> str:
    """Where .inf or .nan stands, which JSON Schema takes for numbers; empty where there is none."""
    if isinstance(content, float) and not math.isfinite(content):
        return f"{place}: {content}"
    parts = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else ()
    found = (_endless(part, f"{place}.{key}" if place else str(key)) for key, part in parts)
    return next(filter(None, found), "")
