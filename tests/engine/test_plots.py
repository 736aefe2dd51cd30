"""DVC's plots as a page that needs no network."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.artifacts import PLOTS_PAGE
from engine.core.errors import ProjectError
from engine.core.io import write_json
from project_tools import plots


def row(arm: str, score: float) -> dict[str, object]:
    return {"arm": arm, "score": score, "low": score - 0.05, "high": score + 0.05}


@pytest.fixture
def project(project: Path) -> Path:
    """A repository whose commit and whose workspace differ in what the tuned arm scores."""
    write_json(Path(plots.ARMS), [row("zero_shot", 0.2), row("tuned", 0.4)])
    write_json(Path(plots.CURVES), [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "eval_loss": 1.5}])
    for command in (
        ["git", "init", "-q"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        ["git", "add", "-A"],
        [
            "git",
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@e.invalid",
            "-c",
            "commit.gpgsign=false",
            "commit",
            "-qm",
            "1",
        ],
    ):
        subprocess.run(command, check=True)
    write_json(Path(plots.ARMS), [row("zero_shot", 0.2), row("tuned", 0.7)])
    pairs = [("on", "on"), ("on", "off"), ("off", "off"), ("off", "(other)")]
    write_json(Path(plots.CONFUSION), [{"actual": actual, "predicted": predicted} for actual, predicted in pairs])
    return project


def draw(monkeypatch: pytest.MonkeyPatch, *revisions: str) -> str:
    monkeypatch.setattr("sys.argv", ["plots", *revisions])
    plots.main()
    return PLOTS_PAGE.read_text("utf-8")


def test_the_workspace_beside_a_commit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = draw(monkeypatch, "HEAD")
    assert "70.0%  [65.0, 75.0]" in page and "40.0%  [35.0, 45.0]" in page and "Loss on dev" in page
    assert "Labels, workspace" in page and "Labels, HEAD" not in page, "the commit has no labels"
    assert "on taken for off: 1 of 2" in page and "off taken for (other): 1 of 2" in page
    assert "2 of 4 labels are right" in page and "off taken for on" not in page
    assert "<script" not in page and "http" not in page.split("</head>")[1]


def test_an_unknown_revision_and_a_stage_that_did_not_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProjectError, match="cannot read"):
        draw(monkeypatch, "no-such-branch")
    Path(plots.CURVES).unlink()
    assert "Loss" not in draw(monkeypatch)
    Path(plots.ARMS).unlink()
    with pytest.raises(ProjectError, match="workspace has no"):
        draw(monkeypatch)


def test_an_experiment_keeps_the_end_of_its_name() -> None:
    name = plots.short("ladder-a-very-long-rung-0123abcd")
    assert len(name) == plots.LONGEST_NAME and name.startswith("…") and name.endswith("rung-0123abcd")
    assert plots.short("HEAD") == "HEAD"
