"""Runs a command of a generated project, in the project's own environment, with its output shown as it comes."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tunesmith.errors import FileProblem

ENVIRONMENT = "environment.py"


def run(project: Path, *command: str, quiet: bool = False, variables: Mapping[str, str] | None = None) -> int:
    """Exit code of ``python3 environment.py COMMAND`` in ``project``; the first call makes the environment.

    ``quiet`` sends the output to stderr, so that stdout stays one JSON value. ``variables`` are set for the command.

    Raises:
        FileProblem: ``project`` is no generated project.
    """
    check(project)
    arguments = [sys.executable, ENVIRONMENT, *command]
    environment = {**os.environ, **(variables or {})}
    stdout = sys.stderr if quiet else None
    return subprocess.run(arguments, cwd=project, env=environment, stdout=stdout, check=False).returncode


def check(project: Path) -> None:
    """Refuse a directory that `tunesmith new` did not make.

    Raises:
        FileProblem: it has no environment.py.
    """
    if not (project / ENVIRONMENT).is_file():
        raise FileProblem(
            project,
            f"has no {ENVIRONMENT}, so it is not a generated project",
            "name the directory that `tunesmith new` made",
        )


def python(project: Path) -> Path | None:
    """The python of the project's environment; None where none was made."""
    folder = Path(os.environ.get("PROJECT_VENV") or project / ".venv")
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return found.absolute() if found.exists() else None


def environment(project: Path) -> dict[str, str]:
    """The process environment with the project's python first on PATH; as it is where there is none."""
    found = python(project)
    path = os.environ.get("PATH", "")
    return {**os.environ, **({"PATH": f"{found.parent}{os.pathsep}{path}"} if found else {})}
