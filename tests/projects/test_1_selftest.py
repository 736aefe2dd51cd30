"""`tunesmith selftest` runs the engine's tests that fit a project, and sees an edit that breaks the engine."""

import os
import subprocess
import sys

from .conftest import SHARED, Generate, Project


def selftest(made: Project, chosen: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tunesmith", "selftest", str(made.path), "--", "-x", "-k", chosen]
    environment = {**os.environ, "PROJECT_VENV": str(SHARED)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_project_without_training_is_tested_without_it(generate: Generate, project: Project) -> None:
    made = generate("approach=prompting")
    done = selftest(made, "test_cost_arithmetic or test_fingerprint")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out" in done.stdout and "test_checkpoints.py" in done.stdout and "passed" in done.stdout
    made.edit(
        "engine/costing/cost_arithmetic.py",
        "value * (1 - relative_error)",
        "value * (2 - relative_error)",
    )
    done = selftest(made, "test_cost_arithmetic")
    assert done.returncode == 1 and str(made.path) in done.stdout
