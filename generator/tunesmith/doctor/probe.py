"""Run by the project's own python: prints installed versions and the fields of library classes as JSON.

It imports nothing of Tunesmith, which that environment does not have.
"""

import contextlib
import importlib
import inspect
import json
import sys
from importlib.metadata import distributions


def fields(name: str) -> list[str] | None:
    """Keyword arguments that ``package:Class`` takes; None where it cannot be imported."""
    package, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(package), attribute)
    except (ImportError, AttributeError):
        return None
    parameters = inspect.signature(found).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return ["**"]
    return [parameter.name for parameter in parameters]


def main() -> None:
    """Print one JSON value; what libraries print goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        found = {name: fields(name) for name in sys.argv[1:]}
        versions = {item.metadata["Name"]: item.version for item in distributions() if item.metadata["Name"]}
    print(json.dumps({"versions": versions, "fields": found, "python": sys.version_info[:2]}))


if __name__ == "__main__":
    main()
