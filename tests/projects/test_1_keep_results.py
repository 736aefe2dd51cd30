"""`tunesmith update --keep-results` on projects of both releases, with the real DVC."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tunesmith import git

from .conftest import ROOT, SHARED, Project

sys.path.append(str(ROOT / "tests" / "generator"))

import test_released
from updating import ANSWERS, commit, replace, update

fresh, lived = test_released.fresh, test_released.lived  # fixtures: a project of each release


@pytest.fixture(autouse=True)
def environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared environment is the projects' own."""
    monkeypatch.setenv("PROJECT_VENV", str(SHARED))


def dvc(project: Path, *arguments: str) -> str:
    """Output of a DVC command of the project's environment."""
    command = [str(SHARED / "bin" / "python"), "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout


def finish(project: Path) -> None:
    """Give every stage results of our making, as if it had run."""
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    listed = [out for stage in stages.values() for part in ("outs", "metrics", "plots") for out in stage.get(part, [])]
    for out in listed:
        path = project / (next(iter(out)) if isinstance(out, dict) else out)
        (path if not path.suffix else path.parent).mkdir(parents=True, exist_ok=True)
        for file in [path] if path.suffix else [path / "train.jsonl", path / "dev.jsonl"]:
            file.write_text("{}\n")
    raw = project / yaml.safe_load((project / ANSWERS).read_text())["data_path"]
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text("{}\n")
    dvc(project, "commit", "--force")
    commit(project, "Results")


def test_results_are_kept(lived: Path) -> None:
    old = yaml.safe_load((lived / ANSWERS).read_text())["_commit"]
    finish(lived)
    assert "up to date" in dvc(lived, "status")
    done = update(lived, "--here", "--json", "--keep-results")
    assert done.code == 0, done.err
    kept = done.data["kept_results"]
    assert git.run("log", "-1", "--format=%s", cwd=lived) == f"Keep the results of {len(kept)} stages"
    assert "model" in git.run("log", "-1", "--format=%b", cwd=lived) and "model" in kept
    assert git.run("status", "--porcelain", cwd=lived) == ""
    waiting = yaml.safe_load(dvc(lived, "status", "--json"))
    assert not set(kept) & set(waiting)
    if old == "v0.2.0":  # most stages of 0.1.0 have other parameters or results now
        assert "train" in kept and not waiting and "Running" not in dvc(lived, "repro", "--dry")


def test_what_was_stale_is_not_kept_and_nothing_is_without_being_asked(lived: Path) -> None:
    finish(lived)
    other = Path(shutil.copytree(lived, lived.with_name("other"), symlinks=True))
    replace(lived / "params.yaml", "weight_decay: 0.0", "weight_decay: 0.5")
    commit(lived, "Not run yet")
    assert "train" not in update(lived, "--here", "--json", "--keep-results").data["kept_results"]
    assert "train" in yaml.safe_load(dvc(lived, "status", "--json"))
    assert update(other, "--here", "--json").data["kept_results"] == []
    assert "train" in yaml.safe_load(dvc(other, "status", "--json"))
