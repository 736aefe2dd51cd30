"""Scripts of this package that another Python runs: the one of the project's environment, which has what this lacks."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = 60  # it may take, and it has to start first


class NoPython(Exception):
    """There is none, or it lacks the package too."""


def asked(script: str, question: Mapping[str, Any], environment: Path | None, reason: str) -> Any:
    """What ``script`` answers; both speak JSON.

    Raises:
        NoPython: with ``reason``, and what else was tried.
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
