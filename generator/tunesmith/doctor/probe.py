"""Run by the project's own python: prints installed versions, the fields of library classes, and torch's build as JSON.

It imports nothing of Tunesmith, which that environment does not have.
"""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import json
import sys
from importlib.metadata import distributions
from typing import Any

TORCH = "--torch"


def fields(name: str) -> list[str] | None:
    """Keyword arguments that ``package:Class`` or ``package:Class.method`` takes; None where it cannot be imported."""
    package, _, path = name.partition(":")
    try:
        found: Any = functools.reduce(getattr, path.split("."), importlib.import_module(package))
    except (ImportError, AttributeError):
        return None
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # written in C
        return ["**"]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return ["**"]
    return [parameter.name for parameter in parameters]


def torch_build() -> dict[str, object]:
    """What the installed torch was built for, and whether it sees a device."""
    torch: Any = importlib.import_module("torch")

    return {"cuda": torch.version.cuda, "hip": torch.version.hip, "device": torch.cuda.is_available()}


def main() -> None:
    """Print one JSON value; what libraries print goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        found = {name: fields(name) for name in sys.argv[1:] if name != TORCH}
        build = torch_build() if TORCH in sys.argv and importlib.util.find_spec("torch") else None
        versions = {item.metadata["Name"]: item.version for item in distributions() if item.metadata["Name"]}
    print(json.dumps({"versions": versions, "fields": found, "torch": build, "python": sys.version_info[:2]}))


if __name__ == "__main__":
    main()
