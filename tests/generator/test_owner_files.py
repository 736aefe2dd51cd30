"""What a team finds in a project beside code: commands, conventions, pinned actions, editor and container."""

import configparser
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import Run

WORKFLOWS = ("ci.yml", "upgrade.yml")
DOCUMENTS = ("AGENTS.md", "CONTRIBUTING.md")
WRITTEN = ("data/eval/", "results/", "reports/", "dvc.lock", "code.json", ".env", "curate.benchmark_version")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_by_commit_and_names_its_version(name: str, project: Path) -> None:
    used = re.findall(r"uses: (.*)", (project / ".github" / "workflows" / name).read_text())
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)


def test_one_version_of_python_everywhere(project: Path) -> None:
    version = (project / ".python-version").read_text().strip()
    container = json.loads((project / ".devcontainer" / "devcontainer.json").read_text())
    assert container["image"].endswith(f":{version}")
    ci = yaml.safe_load((project / ".github" / "workflows" / "ci.yml").read_text())
    steps = [
        step["with"] for job in ci["jobs"].values() for step in job["steps"] if "setup-python" in step.get("uses", "")
    ]
    assert steps == [{"python-version-file": ".python-version"}] * 2
    oldest = tomllib.loads((project / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert [*map(int, version.split("."))] >= [*map(int, oldest.split("."))]


def test_make_lists_its_commands_and_each_has_a_recipe(project: Path) -> None:
    alone = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}  # of `make test`

    def make(*arguments: str) -> str:
        command = ["make", *arguments]
        return subprocess.run(command, cwd=project, env=alone, text=True, capture_output=True, check=True).stdout

    listed = make()
    targets = re.findall(r"^make ([a-z]+)\t\w+", listed, re.MULTILINE)
    assert targets == ["setup", "repro", "smoke", "test", "lint", "serve", "upgrade"]
    for target in targets:
        dry = make("-n", target)
        assert dry.startswith(("python3 environment.py", "tunesmith update")), dry


def test_each_variable_of_the_example_is_read_by_something(project: Path) -> None:
    names = re.findall(r"^#([A-Z_]+)=$", (project / ".env.example").read_text(), re.MULTILINE)
    code = "".join(path.read_text() for path in project.rglob("*.py"))
    assert len(names) >= 5 and all(name in code for name in names)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_names_is_there(name: str, project: Path) -> None:
    """Commands of make, modules after `-m`, and files, but for those that stages write."""
    text = (project / name).read_text()
    targets = re.findall(r"^([a-z]+):", (project / "Makefile").read_text(), re.MULTILINE)
    for command in re.findall(r"`make ([a-z ]+)`", text):
        assert set(command.split()) <= set(targets)
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (project / f"{module.replace('.', '/')}.py").exists(), module
    for path in re.findall(r"`((?!make )[\w.-]*[./][\w./-]*)`", text):
        assert (project / path).exists() or path.startswith(WRITTEN) or path == "evaluate.primary_metric", path


def test_editors_and_dependabot_can_read_their_files(project: Path) -> None:
    assert json.loads((project / ".vscode" / "settings.json").read_text())["files.readonlyInclude"] == {
        "engine/**": True
    }
    assert yaml.safe_load((project / ".github" / "dependabot.yml").read_text())["version"] == 2
    hooks = yaml.safe_load((project / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"], "nothing that is not pinned by the lock"
    folded = subprocess.run(
        ["git", "check-attr", "linguist-generated", "engine/core/io.py", "pipeline/x.py"],
        cwd=project,
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    assert folded.splitlines()[0].endswith(": set") and folded.splitlines()[1].endswith(": unspecified")


@pytest.mark.parametrize("remote", ["", "s3://bucket/project"])
def test_new_names_the_place_that_results_are_pushed_to(remote: str, tunesmith: Run, tmp_path: Path) -> None:
    sets = ("--set", "project_name=parser", "--set", f"dvc_remote={remote}")
    printed = tunesmith("new", tmp_path / "here", "--defaults", *sets).stdout
    told = tunesmith("new", tmp_path / "there", "--defaults", "--json", *sets).stdout
    config = configparser.ConfigParser()
    config.read(tmp_path / "here" / ".dvc" / "config")
    url = config["'remote \"storage\"'"]["url"]
    place = url if remote else str((tmp_path / "here" / ".dvc" / url).resolve())
    assert f"`dvc push` copies results to {place};" in printed
    assert json.loads(told)["dvc_remote"] == place


def test_the_estimate_is_a_file_that_a_person_can_read(project: Path) -> None:
    lines = (project / "plan.json").read_text().splitlines()
    assert '  "hardware": "cpu",' in lines and max(map(len, lines)) < 100
