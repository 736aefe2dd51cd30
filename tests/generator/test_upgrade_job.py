"""The emitted monthly job, its own shell text run against a real update; only `gh` and `pipx` stand in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from updating import ANSWERS, commit, plain

from tunesmith import git

JOB = yaml.safe_load((REPOSITORY / "template" / ".github" / "workflows" / "upgrade.yml").read_text())["jobs"]["upgrade"]
PIPX = f"""#!/bin/sh
[ "$1 $2 $3 $4" = "run --spec a-requirement tunesmith" ] || exit 9
shift 4
exec {sys.executable} -m tunesmith "$@"
"""
GH = '#!/bin/sh\necho "$@" >> "$GH_CALLS"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a newer template, and a repository that it is pushed to."""
    made, _ = plain(tmp_path, {"a.py": "a = 1\n"}, {"a.py": "a = 2\n"})
    git.run("clone", "--quiet", "--bare", str(made), str(tmp_path / "origin.git"), cwd=tmp_path)
    git.run("remote", "add", "origin", str(tmp_path / "origin.git"), cwd=made)
    for name, text in (("pipx", PIPX), ("gh", GH)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return made


def run(project: Path) -> list[str]:
    """What the job asked of GitHub."""
    folder = project.parent
    output, calls = folder / "output", folder / "calls"
    output.write_text("")
    calls.write_text("")
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "TUNESMITH": "a-requirement",
        "GITHUB_OUTPUT": str(output),
        "RUNNER_TEMP": str(folder),
        "GH_CALLS": str(calls),
    }
    for step in JOB["steps"]:
        wanted = step.get("if") != "steps.preview.outputs.available == 'yes'" or output.read_text() == "available=yes\n"
        if "run" in step and wanted:
            subprocess.run(["bash", "-e", "-c", step["run"]], cwd=project, env=environment, check=True)
    return calls.read_text().splitlines()


def test_it_runs_only_what_the_repository_names() -> None:
    assert JOB["if"].startswith("vars.TUNESMITH != ''") and JOB["env"]["TUNESMITH"] == "${{ vars.TUNESMITH }}"


def test_a_clean_update_becomes_one_pull_request(project: Path) -> None:
    calls = run(project)
    assert len(calls) == 1 and calls[0].startswith(
        "pr create --head template/0.3.0 --title Update to 0.3.0 --body-file"
    )
    pushed = git.run("show", "template/0.3.0:a.py", cwd=project.parent / "origin.git")
    assert pushed == "a = 2" and "```text" in (project.parent / "body.md").read_text()
    git.run("switch", "--quiet", "main", cwd=project)
    git.run("branch", "-D", "template/0.3.0", cwd=project)
    assert run(project) == [], "asked for already"


def test_a_conflict_becomes_an_issue_and_leaves_nothing_behind(project: Path) -> None:
    (project / "a.py").write_text("a = 3\n")
    commit(project)
    calls = run(project)
    assert [call.split(" --")[0] for call in calls] == ["issue list", "issue create"]
    assert "--title Template 0.3.0 conflicts with this project's edits" in calls[1]
    assert git.run("branch", "--format=%(refname:short)", cwd=project) == "main"
    assert (project / "a.py").read_text() == "a = 3\n" and git.run("status", "--porcelain", cwd=project) == ""


def test_nothing_newer_asks_for_nothing(project: Path) -> None:
    run(project)
    assert yaml.safe_load((project / ANSWERS).read_text())["_commit"] == "v0.3.0"
    assert run(project) == []
