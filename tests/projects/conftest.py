"""One heavy environment, made once by the emitted ``environment.py``, and projects rendered to run in it."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("PROJECT_VENV", ROOT / ".cache" / "project-env"))
CACHE = Path(os.environ.setdefault("PROJECT_CACHE", str(SHARED.parent / "project-cache")))  # of whatever tests start


def pytest_configure() -> None:
    """Give each worker cores of its own: threads of two processes on the same cores wait for one another."""
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        own = cores[int(worker.removeprefix("gw")) % len(cores) :: count]
        os.sched_setaffinity(0, own)


class Project:
    """A generated project on disk and the environment that runs it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside the project's environment. A failure shows everything that was printed."""
        done = subprocess.run(
            [sys.executable, "environment.py", *command],
            cwd=self.path,
            env={**os.environ, "PROJECT_VENV": str(SHARED), **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done

    def tool(self, *arguments: str) -> str:
        """What `tunesmith tool` prints on the project."""
        command = [sys.executable, "-m", "tunesmith", "tool", "--project", str(self.path), *arguments]
        environment = {**os.environ, "PROJECT_VENV": str(SHARED)}
        done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            pytest.fail(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def read(self, name: str) -> Any:
        return json.loads((self.path / name).read_text("utf-8"))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        text = (self.path / name).read_text("utf-8")
        assert old in text, f"{name} has no {old!r}"
        (self.path / name).write_text(text.replace(old, new), "utf-8")

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.path, check=True, text=True, capture_output=True).stdout


Generate = Callable[..., Project]


@pytest.fixture(scope="session")
def generate(tmp_path_factory: pytest.TempPathFactory) -> Generate:
    """Generate a project with the command line, from an example's spec and ``key=value`` changes."""

    def make(*changes: str, example: str = "home_assistant") -> Project:
        path = tmp_path_factory.mktemp("projects") / "project"
        spec = ROOT / "examples" / example / "spec.yaml"
        sets = [word for change in changes for word in ("--set", change)]
        command = [sys.executable, "-m", "tunesmith", "new", str(path), "--spec", str(spec), *sets]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        made = Project(path)
        for key, value in (("user.name", "Test"), ("user.email", "test@example.invalid"), ("commit.gpgsign", "false")):
            made.git("config", key, value)
        return made

    return make


@pytest.fixture(scope="session")
def project(generate: Generate) -> Project:
    """The main example, as generated, with the environment made that every variant runs in."""
    generated = generate()
    SHARED.parent.mkdir(parents=True, exist_ok=True)
    with (SHARED.parent / "making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run in other processes wait
        generated.run()
        generate("lm_eval=true").run()  # the one variant that needs another package
    return generated


def run_demo(path: Path, example: str, *options: str) -> tuple[Project, str]:
    """The project that `tunesmith demo` made of an example, and what it printed."""
    command = [sys.executable, "-m", "tunesmith", "demo", str(path), "--example", example, *options]
    environment = {**os.environ, "PROJECT_VENV": str(SHARED)}
    done = subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)
    return Project(path), done.stdout
