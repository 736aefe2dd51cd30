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

from .conftest import SHARED, Project

SETTINGS = ("--set", "lora_rank=8", "--set", "hardware=l4")


@pytest.fixture(scope="module")
def finished(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The main example with every stage recorded as done (the results stand in: only their identity matters here)."""
    made = Project(Path(shutil.copytree(project.path, tmp_path_factory.mktemp("updated") / "project", symlinks=True)))
    for stage in yaml.safe_load((made.path / "dvc.yaml").read_text("utf-8"))["stages"].values():
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, ()):
                name = next(iter(out)) if isinstance(out, dict) else out
                path = made.path / name if Path(name).suffix else made.path / name / "content.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("{}\n")
    made.run("dvc", "commit", "--force")
    made.edit("params.yaml", "weight_decay: 0.0", "weight_decay: 0.01")
    made.run("dvc", "commit", "--force")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Live")
    return made


def update(project: Project, *arguments: str) -> Any:
    command = [sys.executable, "-m", "tunesmith", "update", str(project.path), "--json", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 5), done.stderr
    return json.loads(done.stdout)


def changed_stages(project: Project) -> set[str]:
    """Stages that DVC itself finds changed."""
    printed = project.run("dvc", "status", "--json").stdout
    found: dict[str, Any] = json.loads(printed[printed.index("{") :])
    return set(found)


def test_dvc_runs_again_what_the_preview_said(finished: Project) -> None:
    before = changed_stages(finished)
    preview = update(finished, *SETTINGS, "--preview")
    foretold = {stage["stage"] for stage in preview["stages"] if stage["certain"]}
    assert changed_stages(finished) == before, "a preview changes nothing"
    update(finished, *SETTINGS, "--here")
    assert changed_stages(finished) - before == foretold
    assert "train" in foretold and "curate" not in foretold and "model" not in foretold
    assert "weight_decay: 0.01" in (finished.path / "params.yaml").read_text("utf-8")


def test_the_updated_project_passes_its_own_tests(finished: Project) -> None:
    quick = ("tests/test_graph.py", "tests/test_settings.py")  # what reads the merged dvc.yaml and params.yaml
    finished.run("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *quick)
    assert re.search(r"lora_rank: 8\b", (finished.path / "params.yaml").read_text("utf-8"))


def test_the_installed_libraries_take_what_the_stages_pass(finished: Project) -> None:
    """Doctor's drift rule against the real TRL, PEFT and transformers; and against a stage that drifted."""
    assert drifts(finished) == []
    finished.edit("pipeline/train.py", "return SFTConfig(", "return SFTConfig(\n        overwrite_output_dir=True,")
    found = drifts(finished)
    assert len(found) == 1 and found[0].endswith("trl.SFTConfig takes no overwrite_output_dir")


def drifts(project: Project) -> list[str]:
    command = [sys.executable, "-m", "tunesmith", "doctor", str(project.path), "--json"]
    command += [word for group in ("ENV", "REP", "OWN", "SAF") for word in ("--skip", group)]
    environment = {**os.environ, "PROJECT_VENV": str(SHARED)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return [text for finding in json.loads(done.stdout)["findings"] for text in finding["found"]]
