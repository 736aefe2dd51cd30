"""The engine where it lies, and the examples' builders with the stage that reads their data."""

import subprocess

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


def test_the_examples(project: Project) -> None:
    pytest_in(".", "tests/examples")
