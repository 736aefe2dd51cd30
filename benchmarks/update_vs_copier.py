"""`tunesmith update` against `copier update` on the same pair of versions, and what each of them loses.

    .venv/bin/python benchmarks/update_vs_copier.py [--rounds 5] [--files 50 500 2000]

Both run as processes on copies of the same project; rounds are interleaved; prints medians and ratios (target: at most
1.0), of wall seconds and of CPU seconds, which other work on the machine disturbs less. The template is made here:
plain copier, so that neither side has an advantage. A tenth of the files change.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WORD = "WRITTEN_BY_THE_USER"
IDENTITY = ("-c", "user.name=b", "-c", "user.email=b@example.invalid", "-c", "commit.gpgsign=false")
BODY = "".join(f"line_{number} = {number}\n" for number in range(40))


def body(name: str) -> str:
    """Lines like those of no other file, so that a rename can be told from a removal."""
    return BODY.replace("line", name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, nargs="*", default=[50, 500, 2000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark.") as name:
        scratch = Path(name)
        if options.files:
            print(
                "files   command              median s   (fastest to slowest)   ratio to copier update   CPU s   ratio"
            )
        for count in options.files:
            measure(scratch / str(count), count, options.rounds)
        print("\nwhat happens to the user's edit          copier update                  tunesmith update")
        for case in CASES:
            folder = scratch / case.name.replace(" ", "-").replace("/", "-")
            results = [verdict(folder / tool, case, tool) for tool in ("copier", "tunesmith")]
            print(f"{case.name:40} {results[0]:30} {results[1]}")


def measure(folder: Path, count: int, rounds: int) -> None:
    project, template = prepared(folder, count)
    seconds: dict[str, list[float]] = {"copier update": [], "tunesmith update": [], "tunesmith --preview": []}
    busy: dict[str, list[float]] = {name: [] for name in seconds}
    for number in range(rounds):
        for name in seconds:
            copy = folder / "copy"
            shutil.copytree(project, copy, symlinks=True)
            start, used = time.perf_counter(), cpu_seconds()
            done = update(name, copy, template)
            seconds[name].append(time.perf_counter() - start)
            busy[name].append(cpu_seconds() - used)
            assert done.returncode == (5 if "preview" in name else 0), done.stderr
            assert ("preview" in name) != (copy / "added.py").exists(), f"round {number}: {name} did nothing"
            shutil.rmtree(copy)
    base, base_busy = (statistics.median(values["copier update"]) for values in (seconds, busy))
    for name, values in seconds.items():
        median = statistics.median(values)
        cpu = statistics.median(busy[name])
        spread = f"({min(values):.2f} to {max(values):.2f})"
        row = (
            f"{count:5}   {name:20} {median:8.2f}   {spread:22} {median / base:8.2f} {cpu:7.2f} {cpu / base_busy:7.2f}"
        )
        print(row, flush=True)


def cpu_seconds() -> float:
    """What finished child processes have used so far, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def update(name: str, project: Path, template: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the commands; the template is where the answers say, so neither needs to be told."""
    command = ["-m", "copier", "update", "--defaults", "--quiet"]
    if name.startswith("tunesmith"):
        command = ["-m", "tunesmith", "update", "--source", str(template)]
        command += ["--preview"] if "preview" in name else ["--here"]
    return subprocess.run([sys.executable, *command], cwd=project, capture_output=True, text=True, check=False)


def prepared(folder: Path, count: int) -> tuple[Path, Path]:
    """A committed project of the first version, and the template with both."""
    template, project = folder / "template", folder / "project"
    files = template / "template"
    (files / "package").mkdir(parents=True)
    (template / "copier.yml").write_text("_subdirectory: template\nname:\n  type: str\n  default: x\n")
    (files / "{{_copier_conf.answers_file}}.jinja").write_text("{{ _copier_answers | to_nice_yaml }}")
    (files / "readme.md.jinja").write_text("# {{ name }}\n")
    for number in range(count):
        (files / "package" / f"module_{number}.py").write_text(f"NUMBER = {number}\n{BODY}")
    for name, text in FIRST.items():
        (files / name).write_text(text)
    git(template, "init", "-q", "-b", "main")
    release(template, "v0.0.1")
    for number in range(0, count, 10):
        path = files / "package" / f"module_{number}.py"
        path.write_text(path.read_text().replace("line_20 = 20\n", "line_20 = 'changed'\n"))
    for name, second in SECOND.items():
        if second is None:
            (files / name).unlink()
        else:
            (files / name).write_text(second)
    release(template, "v0.1.0")
    copy = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", "--vcs-ref", "v0.0.1"]
    subprocess.run([*copy, str(template), str(project)], check=True, capture_output=True)
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A", "-f")
    git(project, "commit", "-qm", "first")
    return project, template


REQUIREMENTS = '[project]\nname = "x"\nversion = "1"\ndependencies = [\n{}]\n'
FIRST = {
    "renamed.py": body("renamed"),
    "dropped.py": body("dropped"),
    "same.py": "VALUE = 1\n",
    "windows.py": body("windows"),
    "local.cfg": "answer=1\n",
    "gone.py": body("gone"),
    "pyproject.toml": REQUIREMENTS.format('  "anyio==1",\n  "httpx==1",\n'),
    "params.yaml": "train:\n  rate: 0.1\n  steps: 10\n",
}
SECOND: dict[str, str | None] = {
    "renamed.py": None,
    "new_name.py": body("renamed").replace("_30 = 30", "_30 = 'changed'"),
    "dropped.py": None,
    "same.py": "VALUE = 2\n",
    "windows.py": body("windows").replace("_30 = 30", "_30 = 'changed'"),
    "gone.py": body("gone") + "late = 1\n",
    "pyproject.toml": REQUIREMENTS.format('  "anyio==2",\n  "httpx==2",\n'),
    "params.yaml": "train:\n  rate: 0.2\n  steps: 20\n  clip: 1\n",
    "added.py": "ADDED = 1\n",
}


@dataclass(frozen=True)
class Case:
    """An edit, and how its fate is told from the project afterwards; ``committed`` False leaves it untracked."""

    name: str
    live: Callable[[Path], None]
    kept: Callable[[Path], bool]
    committed: bool = True


def append(name: str) -> Callable[[Path], None]:
    def live(project: Path) -> None:
        with (project / name).open("a") as handle:
            handle.write(f"{WORD} = 1\n")

    return live


def swap(name: str, old: str, new: str) -> Callable[[Path], None]:
    def live(project: Path) -> None:
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))

    return live


def holds(*names: str) -> Callable[[Path], bool]:
    return lambda project: any((project / name).is_file() and WORD in (project / name).read_text() for name in names)


def ignore(project: Path) -> None:
    """A file of the template that the user keeps out of git, with a value of their own."""
    (project / ".gitignore").write_text("local.cfg\n")
    git(project, "rm", "-q", "--cached", "local.cfg")
    (project / "local.cfg").write_text(f"answer={WORD}\n")


def windows(project: Path) -> None:
    path = project / "windows.py"
    path.write_bytes(path.read_bytes().replace(b"windows_2 = 2\n", f"{WORD} = 1\n".encode()).replace(b"\n", b"\r\n"))


def forget(project: Path) -> None:
    (project / "gone.py").unlink()


def stays_gone(project: Path) -> bool:
    return not (project / "gone.py").exists()


bump = swap("pyproject.toml", '  "httpx==1"', f'  "{WORD}",\n  "httpx==1"')
CASES = [
    Case("edited; the template renames the file", append("renamed.py"), holds("renamed.py", "new_name.py")),
    Case("edited; the template drops the file", append("dropped.py"), holds("dropped.py")),
    Case("a template file that git ignores", ignore, holds("local.cfg")),
    Case("the same lines on both sides", swap("same.py", "= 1", f"= '{WORD}'"), holds("same.py")),
    Case("a dependency beside bumped ones", bump, holds("pyproject.toml")),
    Case("a parameter that the template changes", swap("params.yaml", "0.1", WORD), holds("params.yaml")),
    Case("edited, with Windows line endings", windows, holds("windows.py")),
    Case("a deleted file of the template", forget, stays_gone),
    Case("an untracked file where one is added", append("added.py"), holds("added.py"), committed=False),
]


def verdict(folder: Path, case: Case, tool: str) -> str:
    """What became of the edit, whether markers were left, and the exit code."""
    project, template = prepared(folder, 5)
    case.live(project)
    if case.committed:
        git(project, "add", "-A")
        git(project, "commit", "-qm", "live")
    done = update(f"{tool} update", project, template)
    fate = "kept" if case.kept(project) else "LOST"
    texts = [path.read_text() for path in project.glob("*.*") if path.is_file()]
    marked = any("\n<<<<<<< " in f"\n{text}" for text in texts)
    return f"{fate}{', conflict' if marked else ''}, exit {done.returncode}"


def release(template: Path, tag: str) -> None:
    git(template, "add", "-A")
    git(template, "commit", "-qm", tag)
    git(template, "tag", tag)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True)


if __name__ == "__main__":
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    main()
