"""An update that is killed at any step can be continued, and can be aborted to the byte."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace as replaced
from pathlib import Path

import pytest
from updating import commit, everything, plain, update

from tunesmith import git
from tunesmith.update import apply, preview, state
from tunesmith.update.plan import Project, Request, prepare

KILLED = 9

Apply = Callable[[str, Path], int]


def killed_at(step: int, run: Callable[[], object]) -> bool:
    """Run in a child process that dies, without any clean-up, right before its nth change; whether it died.

    A change is whatever git writes, the state file, and each step that moves, links or removes a file.
    """
    child = os.fork()
    if child == 0:
        left = step

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal left
                if left == 0:
                    os._exit(KILLED)
                left -= 1
                return real(*arguments, **options)

            return call

        writes = ("update-index", "update-ref", "symbolic-ref", "checkout-index", "commit-tree")
        real_output = git.output
        counted_output = counted(real_output)

        def output(*arguments: str, **options: object) -> object:
            return (counted_output if set(writes) & set(arguments) else real_output)(*arguments, **options)  # type: ignore

        git.output = output  # type: ignore[assignment]
        state.Store.write = counted(state.Store.write)  # type: ignore[method-assign]
        state.Store.remove = counted(state.Store.remove)  # type: ignore[method-assign]
        for name in ("replace", "rename", "unlink", "rmdir"):
            setattr(Path, name, counted(getattr(Path, name)))
        os.link = counted(os.link)  # type: ignore[assignment]
        run()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


OLD = {
    "a.py": "a = 1\n",
    "b.py": "b = 1\n",
    "gone.py": "gone = 1\n",
    "dir/was.py": "was = 1\n",
    "file": "a file\n",
    "run.sh": "echo 1\n",
}
NEW = {
    "a.py": "a = 2\n",
    "b.py": "b = 2\n",
    "added/deep/new.py": "new = 1\n",
    "dir": "now a file\n",
    "file/now.py": "now a folder\n",
    "run.sh": "echo 2\n",
}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project whose update is clean, and one whose update conflicts."""
    projects = {}
    for name in ("clean", "conflict"):
        project, _ = plain(tmp_path_factory.mktemp(name), OLD, NEW)
        (project / "own.txt").write_text("mine\n")
        (project / "run.sh").chmod(0o755)
        if name == "conflict":
            (project / "a.py").write_text("a = 3\n")
        commit(project)
        (project / "untracked.txt").write_text("mine\n")
        projects[name] = project
    return projects


@pytest.fixture(scope="module")
def applied(lived: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apply]:
    """Applies the plan of one of these projects, worked out once, to a copy of it; the exit code of an update."""
    plans = {}
    for name, project in lived.items():
        scratch = tmp_path_factory.mktemp("scratch")
        plans[name] = prepare(Project.open(project), Request(), scratch, read_only=False)

    def run(name: str, copy: Path) -> int:
        plan = plans[name]
        project = replaced(plan.project, path=copy, root=copy)
        moved = replaced(plan, project=project, repository=replaced(plan.repository, root=copy))
        return 3 if apply.apply(moved, "template/0.3.0", preview.message(plan)).stages else 0

    yield run


def in_progress(project: Path) -> bool:
    return (project / ".git" / "tunesmith-update" / "state.json").exists()


@pytest.mark.parametrize("kind", ["clean", "conflict"])
def test_a_kill_at_every_step(kind: str, lived: dict[str, Path], applied: Apply, tmp_path: Path) -> None:
    before = everything(lived[kind])
    finished = shutil.copytree(lived[kind], tmp_path / "finished", symlinks=True)
    code = applied(kind, finished)
    assert code == (3 if kind == "conflict" else 0)
    wanted, index = everything(finished), git.run("ls-files", "--stage", cwd=finished)
    step, begun = 0, 0
    while True:
        project = shutil.copytree(lived[kind], tmp_path / f"{step}", symlinks=True)
        if not killed_at(step, lambda project=project: applied(kind, project)):  # type: ignore[misc]
            break
        again = tmp_path / f"{step}-again"
        subprocess.run(["cp", "-a", project, again], check=True)  # keeps the link between our index and its lock
        if in_progress(project):
            begun += 1
            assert update(project, "--continue").code == code, step
        elif everything(project) == before:
            assert applied(kind, project) == code, step
        assert everything(project) == wanted, f"continued after step {step}"
        assert git.run("ls-files", "--stage", cwd=project) == index
        assert git.run("branch", "--show-current", cwd=project) == "template/0.3.0"
        if in_progress(again):
            assert update(again, "--abort").code == 0, step
            assert everything(again) == before, f"aborted after step {step}"
            assert git.run("status", "--porcelain", cwd=again) == "?? untracked.txt"
            assert git.run("branch", "--format=%(refname:short)", cwd=again) == "main"
        step += 1
    assert begun >= 6


def test_an_abort_that_is_killed_can_be_repeated(lived: dict[str, Path], applied: Apply, tmp_path: Path) -> None:
    conflicted = shutil.copytree(lived["conflict"], tmp_path / "conflicted", symlinks=True)
    before = everything(conflicted)
    applied("conflict", conflicted)
    step, died = 0, True
    while died:
        project = shutil.copytree(conflicted, tmp_path / f"{step}", symlinks=True)
        died = killed_at(step, lambda project=project: update(project, "--abort"))  # type: ignore[misc]
        if in_progress(project):
            assert update(project, "--abort").code == 0, step
        assert everything(project) == before, step
        assert git.run("status", "--porcelain", cwd=project) == "?? untracked.txt"
        step += 1
    assert step >= 6


@pytest.mark.parametrize("way", ["--continue", "--abort"])
def test_what_is_written_after_a_kill_stays(way: str, lived: dict[str, Path], applied: Apply, tmp_path: Path) -> None:
    """At every step: an edited file, and an untracked one where the update adds its own, outlive continue and abort."""
    step, died = 0, True
    while died:
        project = shutil.copytree(lived["clean"], tmp_path / f"{step}", symlinks=True)
        died = killed_at(step, lambda project=project: applied("clean", project))  # type: ignore[misc]
        step += 1
        if not in_progress(project):
            continue
        added = project / "added/deep/new.py"
        added.parent.mkdir(parents=True, exist_ok=True)
        for path in (project / "b.py", added):
            path.write_text("mine, after the kill\n")
        done = update(project, way)
        assert (project / "b.py").read_text() == added.read_text() == "mine, after the kill\n", step
        if way == "--continue" and done.code:
            assert done.code == 2 and "b.py" in done.err and "new.py" in done.err
            assert update(project, "--forget").code == 0
        assert not in_progress(project)
    assert step >= 20


def test_another_git_at_work_stops_an_update(lived: dict[str, Path], tmp_path: Path) -> None:
    project = shutil.copytree(lived["clean"], tmp_path / "full", symlinks=True)
    before = everything(project)
    blocker = project / ".git" / "index.lock"
    blocker.write_text("")
    done = update(project)
    assert done.code == 2 and "another git process holds the index" in done.err
    blocker.unlink()
    if in_progress(project):
        assert update(project, "--abort").code == 0
    assert everything(project) == before
    assert update(project).code == 0
