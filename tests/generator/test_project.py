"""Where a project may be written, and what is left behind when writing stops."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

from tunesmith import cli, git
from tunesmith.errors import GitFailed, WriteFailed
from tunesmith.planner import plan as planner
from tunesmith.planner import resolve

Tree = Callable[[Path], dict[str, bytes]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    """A repository that a project is put into."""
    git.run("init", "--quiet", cwd=tmp_path)
    return tmp_path


def test_the_project_is_a_clean_repository_on_main(project: Path) -> None:
    assert git.run("status", "--porcelain", cwd=project) == ""
    assert git.run("branch", "--show-current", cwd=project) == "main"
    assert git.run("rev-list", "--count", "HEAD", cwd=project) == "1"


def test_one_new_plans_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is spec, plan, answers, tree: nothing after the plan chooses a knob again."""
    calls: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(planner, "Plan", counted("plan", planner.Plan))
    monkeypatch.setattr(resolve, "fits_of", counted("choose", resolve.fits_of))
    assert cli.main(["new", str(tmp_path / "project"), "--defaults"]) == 0
    assert sorted(calls) == ["choose", "plan"]


def test_the_first_commit_needs_no_identity_and_is_not_signed(project: Path) -> None:
    """The machine of these tests has neither identity nor key, and asks for both."""
    assert git.run("log", "-1", "--format=%an %G?", cwd=project) == "Tunesmith N"


def test_the_first_commit_is_the_users_where_git_knows_one(tunesmith: Run, tmp_path: Path) -> None:
    identity = {
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "a@b.c",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "a@b.c",
    }
    assert tunesmith("new", tmp_path / "p", "--defaults", **identity).returncode == 0
    assert git.run("log", "-1", "--format=%an", cwd=tmp_path / "p") == "Ada"


def test_a_directory_that_is_not_empty_is_refused(tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = tunesmith("new", tmp_path, "--defaults")
    assert done.returncode == 3
    assert "not empty (notes.txt)" in done.stderr and "--force" in done.stderr
    assert names(tmp_path) == ["notes.txt"]


def test_force_writes_beside_what_is_there(tunesmith: Run, project: Path, tmp_path: Path, tree: Tree) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert tunesmith("new", tmp_path, "--defaults", "--force").returncode == 0
    assert tree(tmp_path) == tree(project) | {"notes.txt": b"mine"}


def test_force_never_overwrites(tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("mine")
    done = tunesmith("new", tmp_path, "--defaults", "--force")
    assert done.returncode == 3
    assert "params.yaml" in done.stderr
    assert (tmp_path / "params.yaml").read_text() == "mine" and names(tmp_path) == ["params.yaml"]


def test_a_file_in_the_way_is_named(tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = tunesmith("new", tmp_path / "file" / "project", "--defaults")
    assert done.returncode == 2 and "is a file, not a directory" in done.stderr


def test_inside_another_repository_it_must_be_told(tunesmith: Run, outer: Path) -> None:
    done = tunesmith("new", outer / "deep" / "project", "--defaults")
    assert done.returncode == 2
    assert "--subdir" in done.stderr and not (outer / "deep").exists()


def test_a_directory_that_the_outer_repository_ignores_is_its_own(tunesmith: Run, tmp_path: Path) -> None:
    git.run("init", "--quiet", cwd=tmp_path)
    (tmp_path / ".gitignore").write_text("/scratch/\n")
    assert tunesmith("new", tmp_path / "scratch" / "p", "--defaults").returncode == 0
    assert git.toplevel(tmp_path / "scratch" / "p") == (tmp_path / "scratch" / "p").resolve()


def test_a_borrowed_identity_stays_in_the_repository_and_replaces_none(tmp_path: Path) -> None:
    git.run("init", "--quiet", cwd=tmp_path)
    git.run("config", "user.name", "Ada", cwd=tmp_path)
    git.lend_identity(tmp_path)
    assert git.run("config", "user.name", cwd=tmp_path) == "Ada"
    assert git.run("config", "--local", "user.email", cwd=tmp_path) == git.EMAIL


def test_a_subdirectory_is_left_to_the_outer_repository(tunesmith: Run, outer: Path, project: Path, tree: Tree) -> None:
    assert tunesmith("new", outer / "project", "--defaults", "--subdir").returncode == 0
    assert not (outer / "project" / ".git").exists()
    assert tree(outer / "project") == tree(project)


def test_a_part_of_no_repository_is_refused(tunesmith: Run, tmp_path: Path) -> None:
    done = tunesmith("new", tmp_path / "p", "--defaults", "--subdir")
    assert done.returncode == 2 and "there is none" in done.stderr
    assert not (tmp_path / "p").exists()


def test_a_git_hooks_environment_does_not_lead_astray(
    tunesmith: Run, outer: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("hook") / "project"
    done = tunesmith(
        "new", target, "--defaults", GIT_DIR=str(outer / ".git"), GIT_WORK_TREE=str(outer), GIT_INDEX_FILE="x"
    )
    assert done.returncode == 0, done.stderr
    assert git.run("rev-list", "--count", "HEAD", cwd=target) == "1"
    with pytest.raises(GitFailed):
        git.run("rev-parse", "HEAD", cwd=outer)


def test_an_empty_directory_stays_the_same_one(tunesmith: Run, tmp_path: Path, project: Path, tree: Tree) -> None:
    """A shell may stand in it, or a volume be mounted there."""
    before = tmp_path.stat().st_ino
    done = tunesmith("new", ".", "--defaults", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tmp_path.stat().st_ino == before and tree(tmp_path) == tree(project)
    assert git.run("status", "--porcelain", cwd=tmp_path) == ""


def test_force_leaves_nothing_when_a_file_is_where_a_folder_goes(tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "pipeline").write_text("mine")
    done = tunesmith("new", tmp_path, "--defaults", "--force")
    assert done.returncode == 3 and "pipeline" in done.stderr
    assert names(tmp_path) == ["pipeline"] and (tmp_path / "pipeline").read_text() == "mine"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_the_middle_leaves_nothing(number: int, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tunesmith", "new", str(tmp_path / "a" / "project"), "--defaults"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob("a/.tunesmith.*/project/pipeline")):
        time.sleep(0.005)
    process.send_signal(number)
    assert process.wait() == code
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands in for it: the larger files of the template no longer fit."""
    (tmp_path / "cache").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith", "new", str(tmp_path / "a" / "project"), "--defaults"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)),
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()


def test_a_directory_that_cannot_be_written_is_named(tunesmith: Run) -> None:
    done = tunesmith("new", "/proc/nowhere/project", "--defaults")
    assert done.returncode == 2
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert "free some space" not in done.stderr and "name another directory" in done.stderr
    assert "free some space" in str(WriteFailed(Path("p"), os.strerror(errno.ENOSPC)))
