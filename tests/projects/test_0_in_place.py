"""The engine where it lies, and the examples' builders with the stage that reads their data."""

import os
import subprocess
from pathlib import Path

from .conftest import ROOT, SHARED, Project


def pytest_in(folder: str, *arguments: str) -> str:
    command = [str(SHARED / "bin" / "python"), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT / folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_engine_in_place(project: Project) -> None:
    """All of its tests: none is left out as one of a component that is not here."""
    printed = pytest_in("template", "-c", "/dev/null", "--rootdir=..", "../tests/engine")
    assert "left out" not in printed


def test_the_tools_are_typed(project: Project, tmp_path: Path) -> None:
    """By the settings of a project, whose environment has the libraries that the engine needs."""
    command = [str(SHARED / "bin" / "python"), "-m", "mypy", "--config-file", str(project.path / "pyproject.toml")]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "template"), "MYPY_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [*command, "-p", "project_tools"], cwd=ROOT, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples(project: Project) -> None:
    pytest_in(".", "tests/examples")
