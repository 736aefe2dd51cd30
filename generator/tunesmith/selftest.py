"""`tunesmith selftest`: the engine's tests against a project's own engine, in the project's environment.

They tell whether the engine works with the versions that are installed there and with the edits that the project made.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from tunesmith import package_data, project_env
from tunesmith.errors import FileProblem

TESTS = ("tests", "engine")
ENGINE = Path("engine", "core")


def selftest(project: Path, arguments: Sequence[str] = ()) -> int:
    """Exit code of pytest. Tests of components that the project was generated without are left out, and named.

    Args:
        project: a generated project whose environment was made.
        arguments: passed on to pytest, as ``-k statistics``.

    Raises:
        FileProblem: no generated project of 0.3.0 or newer.
    """
    project_env.check(project)
    if not (project / ENGINE).is_dir():
        fix = "run `tunesmith update`, or the project's own pytest"
        raise FileProblem(project, "has no engine/; projects have one from 0.3.0 on", fix)
    tests = package_data.root().joinpath(*TESTS)
    options = ["-q", "-c", os.devnull, f"--rootdir={tests}", "-p", "no:cacheprovider"]
    # `python -m` puts the current folder first on the path: that is the engine which the tests import.
    return project_env.run(project, "python", "-m", "pytest", *options, str(tests), *arguments)
