"""The emitted code where it lies, and the examples' builders with the stage that reads their data."""

import subprocess

from .conftest import ROOT, SHARED, Project

RENDERED_ONLY = ("tests/test_graph.py", "tests/test_settings.py")  # they read dvc.yaml and params.yaml of a project


def pytest_in(folder: str, *arguments: str) -> None:
    command = [str(SHARED / "bin" / "python"), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT / folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_the_pipeline_in_place(project: Project) -> None:
    ignored = [f"--ignore={name}" for name in RENDERED_ONLY]
    pytest_in("template", "-c", "/dev/null", "--rootdir=.", "-o", "pythonpath=.", *ignored, "tests")


def test_the_examples(project: Project) -> None:
    pytest_in(".", "tests/examples")
