"""Runs scripts of this package with the Python of a project's environment, which has packages that this one lacks."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = 60  # limit for the script, the start of Python included


class NoPython(Exception):
    """The project has no Python, or its Python lacks the package too."""


def ask(script: str, question: Mapping[str, Any], environment: Path | None, reason: str) -> Any:
    """The answer of ``script`` to ``question``, both JSON.

    Raises:
        NoPython: ``environment`` cannot run it; the message begins with ``reason``, why this Python could not.
    """
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python") if environment else None
    if python is None or not python.exists():
        raise NoPython(reason)
    try:
        done = subprocess.run(
            [python, "-I", script],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=True,
        )
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise NoPython(f"{reason}, and {python} cannot either") from None
