"""The emitted workflow: checks may write nothing; one job comments results on pull requests of this repository."""

import re
import subprocess
from pathlib import Path

import yaml

WORKFLOW = Path(__file__).parents[2] / "template" / ".github" / "workflows" / "ci.yml"
CI = yaml.safe_load(WORKFLOW.read_text("utf-8"))


def script(job: str) -> str:
    return "\n".join(step["run"] for step in CI["jobs"][job]["steps"] if "run" in step)


def test_only_the_comment_may_write_and_only_to_pull_requests() -> None:
    assert CI["permissions"] == {"contents": "read"}
    assert {name for name, job in CI["jobs"].items() if "permissions" in job} == {"comment"}
    assert CI["jobs"]["comment"]["permissions"] == {"contents": "read", "pull-requests": "write"}


def test_a_fork_gets_no_token_that_can_write() -> None:
    condition = CI["jobs"]["comment"]["if"]
    assert "pull_request.head.repo.full_name == github.repository" in condition
    assert "pull_request_target" not in WORKFLOW.read_text("utf-8")


def test_nothing_from_outside_is_pasted_into_a_script() -> None:
    assert all("${" + "{" not in script(job) for job in CI["jobs"])
    for job in CI["jobs"]:
        known = {*CI["jobs"][job].get("env", {})}
        if job == "comment":
            assert set(re.findall(r"\$\{?([A-Z_]+)", script(job))) <= known


def test_metrics_and_plots_are_compared_with_the_target_and_commented(tmp_path: Path) -> None:
    """The job's own script, with stand-ins for the two programs that a runner brings."""
    for name, text in (("dvc", 'echo "$@"'), ("gh", 'echo "$@"; cat comment.md')):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    lines = script("comment").splitlines()[1:]  # but for the installation
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "BASE": "0123456789abcdef",
        "PULL_REQUEST": "7",
        "RUN": "https://x",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "plots diff 0123456789abcdef --out plots" in done.stdout
    assert "pr comment 7 --edit-last --create-if-none --body-file comment.md" in done.stdout
    assert "metrics diff --md 0123456789abcdef" in done.stdout and "[this run](https://x)" in done.stdout
