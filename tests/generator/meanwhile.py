"""Random lives of an update beside another process, which edits, stages and commits at any moment; and kills.

Used by the tests (some lives) and by benchmarks/update_lives.py (thousands). A life follows from its seed.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace as replaced
from pathlib import Path

from updating import commit, plain, update

from tunesmith import git
from tunesmith.errors import TunesmithError
from tunesmith.update import apply, preview
from tunesmith.update.plan import Project, Request, prepare

KILLED = 9
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
PATHS = sorted({*OLD, *NEW, "own.txt", "untracked.txt", "added/other.txt"})


def start_of(folder: Path, *, conflict: bool) -> Path:
    """A committed project of `OLD` with an update to `NEW` at hand, which may conflict."""
    project, _ = plain(folder, OLD, NEW)
    git.lend_identity(project)
    git.run("config", "commit.gpgsign", "false", cwd=project)
    (project / "own.txt").write_text("mine\n")
    (project / "run.sh").chmod(0o755)
    if conflict:
        (project / "a.py").write_text("a = 3\n")
    commit(project)
    (project / "untracked.txt").write_text("mine\n")
    return project


def beginner(start: Path, scratch: Path) -> Callable[[Path], int]:
    """Starts the update of a copy of a project, whose plan is worked out once; the exit code."""
    scratch.mkdir()
    plan = prepare(Project.open(start), Request(), scratch, read_only=False)

    def begin(copy: Path) -> int:
        project = replaced(plan.project, path=copy, root=copy)
        moved = replaced(plan, project=project, repository=replaced(plan.repository, root=copy))
        try:
            return 3 if apply.apply(moved, "template/0.3.0", preview.message(plan)).stages else 0
        except TunesmithError as error:
            return error.exit_code

    return begin


class Other:
    """Somebody else at work in the project; ``words`` is what must still be somewhere at the end."""

    def __init__(self, project: Path, chance: random.Random) -> None:
        self.project, self.chance, self.words = project, chance, set[str]()
        self.said: list[str] = []

    def act(self) -> None:
        """Do one thing. What cannot be done at the moment is not done."""
        deed = self.chance.choice(
            [self.write, self.write, self.write, self.remove, self.stage, self.commit, self.mode, self.hide]
        )
        self.attempt(deed)

    def attempt(self, *deeds: Callable[[], None]) -> None:
        """Do what can be done."""
        for deed in deeds:
            with suppress(OSError):
                deed()

    def write(self) -> None:
        """Add a word to a file, or make one."""
        path = self.project / self.chance.choice(PATHS)
        word = f"word{self.chance.getrandbits(48):012x}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"# {word}\n")
        self.words.add(word)
        self.said.append(f"wrote {word} to {path.relative_to(self.project)}")

    def remove(self) -> None:
        """Remove a file, and with it what is written nowhere else."""
        path = self.project / self.chance.choice(PATHS)
        text = path.read_text()
        path.unlink()
        self.words -= {word for word in self.words if word in text}
        self.said.append(f"removed {path.relative_to(self.project)}")

    def mode(self) -> None:
        """Make a file executable."""
        path = self.project / self.chance.choice(PATHS)
        path.chmod(0o755)
        self.said.append(f"chmod {path.relative_to(self.project)}")

    def stage(self) -> None:
        """Stage everything."""
        self._git("add", "--all")

    def commit(self) -> None:
        """Commit everything."""
        self._git("add", "--all")
        self._git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "--no-verify", "-m", "Meanwhile")

    def hide(self) -> None:
        """Tell git not to look at a file, and edit it."""
        path = self.chance.choice(["b.py", "run.sh"])
        self._git("update-index", "--assume-unchanged", path)

    def _git(self, *arguments: str) -> None:
        done = subprocess.run(
            ["git", *arguments], cwd=self.project, env=git.environment(), capture_output=True, check=False
        )
        self.said.append(f"git {' '.join(arguments[-4:])}: {done.returncode}")


@contextmanager
def interrupted(at: int, act: Callable[[], None]) -> Iterator[None]:
    """Calls ``act`` right before the nth call of git, or step that moves, links or removes a file."""
    left = at

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                act()
            return real(*arguments, **options)

        return call

    names = ("replace", "rename", "unlink", "rmdir")
    kept = [(git, "output", git.output), (os, "link", os.link), *((Path, name, getattr(Path, name)) for name in names)]
    for owner, name, real in kept:
        setattr(owner, name, counted(real))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for owner, name, real in kept:
            setattr(owner, name, real)


def life(seed: int, start: Path, folder: Path, begin: Callable[[Path], int]) -> list[str]:
    """Live once. Returns what was lost, and what happened; an empty list is what must come out.

    Args:
        start: see `start_of`.
        begin: see `beginner`.
    """
    chance = random.Random(seed)
    project = folder / f"{seed}"
    shutil.copytree(start, project, symlinks=True)
    other = Other(project, chance)
    if chance.random() < 0.3:
        other.attempt(other.hide, other.write)
    _run(chance, other, lambda: begin(project))
    for _ in range(8):
        if not in_progress(project):
            break
        for _ in range(chance.choice([0, 0, 1, 2])):
            other.act()
        if chance.random() < 0.5:
            _resolve(other)
        if chance.random() < 0.2:
            other.commit()
        way = chance.choice(["--continue", "--abort", "--continue", "--abort", "--forget"])
        other.said.append(f"update {way}")
        _run(chance, other, lambda way=way: update(project, way).code)  # type: ignore[misc]
    found = lost(project, other.words)
    if in_progress(project) and update(project, "--forget").code:
        found.append("no exit")
    if not found:
        shutil.rmtree(project, ignore_errors=True)
    return found and [f"seed {seed}", *found, *other.said]


def _run(chance: random.Random, other: Other, command: Callable[[], int]) -> None:
    """A command with somebody else at work in one moment of it; one in four is killed in another moment."""
    at = chance.randint(1, 90)
    if chance.random() < 0.25:
        if chance.random() < 0.5:
            for _ in range(chance.choice([0, 1])):
                other.act()
        child = os.fork()
        if child == 0:
            try:
                with interrupted(at, lambda: os._exit(KILLED)):
                    command()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        other.said.append(f"killed at {at}")
        return
    acts = chance.choice([1, 1, 2])

    def act() -> None:
        other.said.append(f"at {at}:")
        for _ in range(acts):
            other.act()

    with interrupted(at, act):
        other.said.append(f"exit code {command()}")


def _resolve(other: Other) -> None:
    """Resolve the conflict as a user would."""
    path = other.project / "a.py"
    with suppress(OSError):
        text = "".join(line for line in path.read_text().splitlines(keepends=True) if line[:7] not in MARKERS)
        path.write_text(text)
    other.stage()


MARKERS = ("<<<<<<<", "=======", ">>>>>>>")


def in_progress(project: Path) -> bool:
    """Whether an update waits to be finished."""
    return (project / ".git" / "tunesmith-update" / "state.json").exists()


def lost(project: Path, words: set[str]) -> list[str]:
    """Words that are in no file, and in no object that a ref, a reflog or the index names."""
    texts = [
        path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and not path.is_symlink() and ".git" not in path.relative_to(project).parts
    ]
    named = ("rev-list", "--objects", "--all", "--reflog", "--indexed-objects")
    listed = git.output(*named, cwd=project)[1].split(b"\n")
    data = b"".join(line.split(b" ")[0] + b"\n" for line in listed if line)
    texts.append(git.output("cat-file", "--batch", cwd=project, data=data)[1])
    everything = b"\n".join(texts)
    return [f"lost {word}" for word in sorted(words) if word.encode() not in everything]
