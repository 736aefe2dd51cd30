"""`tunesmith tool`: which tools there are, on which projects they run, and what they are given."""

import ast
import json
import os
from pathlib import Path

import pytest
from conftest import REPOSITORY, Run

from tunesmith import __version__
from tunesmith.tool import TOOLS

# Stands in for environment.py: runs the command with this Python, as the real one does with the project's.
ENVIRONMENT = """import subprocess, sys
assert sys.argv[1] == "python"
sys.exit(subprocess.run([sys.executable, *sys.argv[2:]]).returncode)
"""
PLOTS = """import json, os, sys
from engine import NAME
from project_tools import __name__ as package
print(json.dumps([NAME, package, sys.argv[1:], os.getcwd(), sys.dont_write_bytecode]))
sys.exit(7)
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """As much of a project as the command looks at."""
    project = tmp_path / "project"
    (project / "engine").mkdir(parents=True)
    (project / "environment.py").write_text(ENVIRONMENT)
    (project / "engine" / "VERSION").write_text(f"{__version__}\n")
    (project / "engine" / "__init__.py").write_text("NAME = 'the engine of the project'\n")
    return project


def test_without_a_name_the_tools_are_listed(tunesmith: Run) -> None:
    done = tunesmith("tool")
    assert done.returncode == 0 and [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(TOOLS)
    assert json.loads(tunesmith("tool", "--json").stdout) == TOOLS


def test_every_module_with_a_main_is_a_tool() -> None:
    modules = {path.stem: ast.parse(path.read_text("utf-8")) for path in (REPOSITORY / "project_tools").glob("*.py")}
    started = {name for name, tree in modules.items() if any(isinstance(node, ast.If) for node in tree.body)}
    assert started == set(TOOLS)


def test_a_misspelt_name_is_told_with_the_one_that_was_meant(tunesmith: Run, made: Path) -> None:
    done = tunesmith("tool", "plot", cwd=made)
    assert done.returncode == 2 and "no tool plot; did you mean plots?" in done.stderr
    assert "did you mean" not in tunesmith("tool", "zzz", cwd=made).stderr


@pytest.mark.parametrize("where", ["current folder", "--project"])
def test_a_tool_runs_on_the_projects_engine_with_its_arguments(
    where: str, tunesmith: Run, made: Path, tmp_path: Path
) -> None:
    """A module of the project's stands in for the tool: the project comes first on the path."""
    (made / "project_tools").mkdir()
    (made / "project_tools" / "__init__.py").touch()
    (made / "project_tools" / "plots.py").write_text(PLOTS)
    place, options = (made, []) if where == "current folder" else (tmp_path, ["--project", made])
    done = tunesmith("tool", *options, "plots", "main", "--json", "-x", "--", "a b", cwd=place)
    assert done.returncode == 7, done.stderr
    told = ["the engine of the project", "project_tools", ["main", "--json", "-x", "--", "a b"], str(made), True]
    assert json.loads(done.stdout) == told


def test_the_tools_lie_behind_the_project_and_the_users_own_path(tunesmith: Run, made: Path) -> None:
    (made / "environment.py").write_text("import os\nprint(os.environ['PYTHONPATH'])\n")
    own = os.pathsep.join(filter(None, ["/own", os.environ.get("PYTHONPATH")]))
    done = tunesmith("tool", "plots", cwd=made, PYTHONPATH=own)
    assert done.stdout.strip() == f"{own}{os.pathsep}{REPOSITORY}"


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("0.2.9", "install tunesmith 0.2.9, or run `tunesmith update`"),
        ("9.0.0", "install tunesmith 9.0.0\n"),
        ("new", "restore the file from git"),
        (None, "run `tunesmith update`"),
    ],
)
def test_an_engine_of_another_version_is_refused(version: str | None, told: str, tunesmith: Run, made: Path) -> None:
    (made / "engine" / "VERSION").write_text(f"{version}\n")
    if version is None:
        (made / "engine" / "VERSION").unlink()
    done = tunesmith("tool", "plots", cwd=made)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


def test_another_patch_of_the_same_version_is_accepted(tunesmith: Run, made: Path) -> None:
    (made / "engine" / "VERSION").write_text(f"{__version__.rpartition('.')[0]}.99\n")
    (made / "environment.py").write_text("print('started')\n")
    assert tunesmith("tool", "plots", cwd=made).stdout == "started\n"


def test_no_project_and_no_judge_are_told(tunesmith: Run, made: Path, tmp_path: Path) -> None:
    assert "not a generated project" in tunesmith("tool", "plots", cwd=tmp_path).stderr
    done = tunesmith("tool", "label", cwd=made)
    assert done.returncode == 2 and "`tunesmith update --set judge=true` adds one" in done.stderr


def test_nothing_is_written_beside_the_tools(tunesmith: Run, made: Path) -> None:
    """The engine here is empty, so the tool itself ends at its first import, after Python has read it."""
    before = sorted((REPOSITORY / "project_tools").rglob("*"))
    done = tunesmith("tool", "convert", "--help", cwd=made)
    assert done.returncode == 1 and "No module named 'engine.core'" in done.stderr
    assert sorted((REPOSITORY / "project_tools").rglob("*")) == before
