"""`tunesmith tool`: commands that no stage runs, on a project's own engine, in the project's environment."""

import os
from collections.abc import Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version

from tunesmith import __version__, package_data, project_env
from tunesmith.errors import FileProblem, UnknownTool

TOOLS = {
    "convert": "write a data file in another format: IN OUT [--from FORMAT] [--to FORMAT]",
    "label": "label answers, so that the judge can qualify: [grades]",
    "ladder": "run the rungs of evals/ladder.yaml and name the smallest that reaches the bar",
    "plots": "draw DVC's plots without a network: [REVISION ...]",
    "quantise": "measure memory, speed and quality of the served model at 16, 8 and 4 bits",
}
VERSION = Path("engine", "VERSION")
JUDGE = Path("engine", "evaluation", "judge")


def run(project: Path, name: str, arguments: Sequence[str] = ()) -> int:
    """Exit code of a tool, which runs in the project's folder.

    Raises:
        UnknownTool: there is no tool of that name.
        FileProblem: no generated project, another version of the engine, or an engine without what the tool needs.
    """
    if name not in TOOLS:
        raise UnknownTool(name, TOOLS)
    project_env.check(project)
    _check_engine(project)
    if name == "label" and not (project / JUDGE).is_dir():
        raise FileProblem(project, "has no judge", "`tunesmith update --set judge=true` adds one")
    # `python -m` puts the current folder, the project, before PYTHONPATH; -B leaves the wheel as it was installed.
    folders = filter(None, [os.environ.get("PYTHONPATH"), str(package_data.root())])
    variables = {"PYTHONPATH": os.pathsep.join(folders)}
    return project_env.run(
        project, "python", "-B", "-m", f"{package_data.TOOLS}.{name}", *arguments, variables=variables
    )


def _check_engine(project: Path) -> None:
    """The tools fit the engine of their own minor version.

    Raises:
        FileProblem: the project has another one, or none.
    """
    path, own = project / VERSION, Version(__version__)
    try:
        found = Version(path.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        fix = "run `tunesmith update`; projects have an engine from 0.3.0 on"
        raise FileProblem(project, f"has no {VERSION.as_posix()}", fix) from None
    except InvalidVersion as error:
        raise FileProblem(path, f"is no version: {error}", "restore the file from git") from None
    if found.release[:2] == own.release[:2]:
        return
    fix = f"install tunesmith {found}" + (", or run `tunesmith update`" if found < own else "")
    raise FileProblem(path, f"is {found}, and the tools of this tunesmith are for {own.major}.{own.minor}", fix)
