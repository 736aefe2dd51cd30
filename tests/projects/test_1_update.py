"""An updated project passes its own tests, and DVC runs again what the preview said, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunesmith import __version__, bundle, git
from tunesmith.render import render_answers
from tunesmith.update.source import Source

from .conftest import ROOT, SHARED, Project

sys.path.append(str(ROOT / "tests" / "generator"))

import history

SETTINGS = ("--set", "lora_rank=8", "--set", "hardware=l4")
EMITTED = ("tests/test_params.py", "tests/test_pipeline.py")  # test_evals.py reads a benchmark, which stands in here
RELEASES = ["0.1.0", *history.RELEASES][:-1]  # the one that users have, then those of the history that lead to this one
OWN_STAGE = """
  own:
    cmd: python -m pipeline.own
    deps:
      - pipeline/own.py
      - reports/data.json
"""


@pytest.fixture(scope="module")
def finished(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The main example with every stage recorded as done."""
    made = Project(Path(shutil.copytree(project.path, tmp_path_factory.mktemp("updated") / "project", symlinks=True)))
    live(made)
    return made


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the history's releases."""
    return history.build(tmp_path_factory.mktemp("history"))


def run(made: Project, module: str, *arguments: str) -> str:
    """Run a module in the shared environment as it is: an old release's ``environment.py`` would change it."""
    command = [str(SHARED / "bin" / "python"), "-m", module, *arguments]
    environment = {**os.environ, "PATH": f"{SHARED / 'bin'}{os.pathsep}{os.environ['PATH']}"}  # DVC starts `python`
    done = subprocess.run(
        command, cwd=made.path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def live(made: Project) -> None:
    """Tune a parameter, add a stage, record every stage. The results stand in: only their identity matters here."""
    made.edit("params.yaml", "weight_decay: 0.0\n", "weight_decay: 0.01\n")
    (made.path / "pipeline" / "own.py").write_text("OWN = 1\n")
    made.edit("dvc.yaml", "\nmetrics:\n", f"{OWN_STAGE}\nmetrics:\n")
    graph = yaml.safe_load((made.path / "dvc.yaml").read_text("utf-8"))["stages"]
    stages = graph.values()
    listed = [out for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, ())]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in listed]
    within = [
        dep for stage in stages for dep in stage.get("deps", ()) if any(dep.startswith(f"{out}/") for out in outs)
    ]
    for name in [*outs, *within]:
        path = made.path / name if Path(name).suffix else made.path / name / "content.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    if "code" in graph:
        run(made, "engine.core.fingerprint")  # the params of every other stage
    run(made, "dvc", "commit", "--force")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Live")


def update(project: Project, *arguments: str) -> Any:
    command = [sys.executable, "-m", "tunesmith", "update", str(project.path), "--json", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 5), done.stderr
    return json.loads(done.stdout)


def changed_stages(project: Project) -> set[str]:
    """Stages that DVC itself finds changed."""
    printed = run(project, "dvc", "status", "--json")
    found: dict[str, Any] = json.loads(printed[printed.index("{") :])
    return set(found)


@pytest.mark.parametrize("version", RELEASES)
def test_a_project_of_every_release_runs_again_what_its_update_foretold(
    version: str, project: Project, releases: Path, tmp_path: Path
) -> None:
    source = "" if version == "0.1.0" else str(releases)
    origin = Source.open(bundle.PUBLIC_URL, source, tmp_path).origin
    render_answers(origin, f"v{version}", {}, tmp_path / "project", tmp_path)
    git.start_repository(tmp_path / "project", "Generate")
    old = Project(tmp_path / "project")
    (old.path / "data" / "raw").mkdir()
    (old.path / "data" / "raw" / "requests.jsonl").write_text('{"prompt": "on", "completion": "off"}\n')
    live(old)
    assert changed_stages(old) == set()
    preview = update(old, "--source", source, "--preview")
    foretold = {stage["stage"] for stage in preview["stages"] if stage["certain"]}
    update(old, "--source", source, "--here")
    assert yaml.safe_load((old.path / ".copier-answers.yml").read_text("utf-8"))["_commit"] == f"v{__version__}"
    assert changed_stages(old) == foretold
    assert "own" not in foretold, "its stage, its module and what it reads are as they were"
    run(old, "pytest", "-q", "-x", "-p", "no:cacheprovider", *EMITTED)


def test_dvc_runs_again_what_the_preview_said(finished: Project) -> None:
    before = changed_stages(finished)
    preview = update(finished, *SETTINGS, "--preview")
    foretold = {stage["stage"] for stage in preview["stages"] if stage["certain"]}
    assert changed_stages(finished) == before, "a preview changes nothing"
    update(finished, *SETTINGS, "--here")
    assert changed_stages(finished) - before == foretold
    assert "train" in foretold and "curate" not in foretold and "model" not in foretold
    assert "weight_decay: 0.01" in (finished.path / "params.yaml").read_text("utf-8")
    assert re.search(r"lora_rank: 8\b", (finished.path / "params.yaml").read_text("utf-8"))
    run(finished, "pytest", "-q", "-x", "-p", "no:cacheprovider", *EMITTED)


def test_doctor_finds_no_fault_in_a_new_project(project: Project) -> None:
    """With every rule, against the real environment: TRL, PEFT and transformers take what the stages pass."""
    assert faults(project) == {}


def test_doctor_finds_a_stage_that_drifted_from_the_installed_library(finished: Project) -> None:
    finished.edit("pipeline/train_sft.py", "return SFTConfig(", "return SFTConfig(\n        overwrite_output_dir=True,")
    found = faults(finished, "--skip", "ENV", "--skip", "REP", "--skip", "OWN", "--skip", "SAF")
    assert len(found["DRF001"]) == 1 and found["DRF001"][0].endswith(
        "trl.SFTConfig has no argument overwrite_output_dir"
    )


def faults(project: Project, *arguments: str) -> dict[str, list[str]]:
    """What doctor finds wrong, by rule; its notes left out."""
    command = [sys.executable, "-m", "tunesmith", "doctor", str(project.path), "--json", *arguments]
    environment = {**os.environ, "PROJECT_VENV": str(SHARED)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return {one["code"]: one["found"] for one in json.loads(done.stdout)["findings"] if one["level"] == "fault"}
