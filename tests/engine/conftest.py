"""The engine under test, and under the tools, is the template's, or that of the project in whose folder pytest runs.

cd template; python -m pytest ../tests/engine   (in this repository)
tunesmith selftest DIR                          (a project's engine, in the project's environment)
"""

import ast
import sys
from pathlib import Path

import pytest

import engine

ROOT = Path(engine.__file__).parents[1]
HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1]))  # has project_tools, here and in the wheel


def absent(test: Path) -> list[str]:
    """The modules of the engine and the recipes that a test imports and this project was generated without."""
    names = set()
    for node in ast.walk(ast.parse(test.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in {"engine", "pipeline"}:
            names.add(node.module)
            if node.module == "pipeline":  # of a package that is empty, every name is a module
                names |= {f"pipeline.{alias.name}" for alias in node.names}
    paths = {name: ROOT.joinpath(*name.split(".")) for name in sorted(names)}
    return [name for name, path in paths.items() if not path.with_suffix(".py").exists() and not path.is_dir()]


collect_ignore = [test.name for test in sorted(HERE.glob("test_*.py")) if absent(test)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore:
        names = ", ".join(collect_ignore)
        terminalreporter.write_line(f"left out, because {ROOT} was generated without what they test: {names}")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one, with answers kept nowhere else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("engine.inference.answer_cache.ANSWERS", tmp_path / "answers")
    return tmp_path
