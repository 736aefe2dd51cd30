"""`tunesmith new` against the least that does the same: copier copy, git init and commit of the same spec.

    .venv/bin/python benchmarks/new_project.py [--rounds 7]

Interleaved rounds in one run; prints each median and the ratio. Target: at most 1.2.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tunesmith import bundle

ROOT = Path(__file__).resolve().parents[1]
SPEC = ROOT / "examples" / "home_assistant" / "spec.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        template = Path(scratch) / "template"
        template_repository(template)
        ways: dict[str, Callable[[Path], None]] = {
            "tunesmith new": ours,
            "copier + git": lambda path: bare(template, path),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, way in ways.items():
                path = Path(scratch) / f"{number}-{name.split()[0]}"
                start = time.perf_counter()
                way(path)
                if number:  # the first round warms caches
                    seconds[name].append(time.perf_counter() - start)
                shutil.rmtree(path)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:15} {median:6.2f} s  ({min(seconds[name]):.2f} to {max(seconds[name]):.2f}, {rounds} rounds)")
    print(f"ratio           {medians['tunesmith new'] / medians['copier + git']:6.2f}   target at most 1.2")


def template_repository(path: Path) -> None:
    """What the bundle of an installed tunesmith holds, as a git repository with a tag, as a public template is."""
    for name in bundle.files(ROOT):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, path / name, follow_symlinks=False)
    for command in (["init", "-q"], ["add", "-A"], [*identity(), "commit", "-qm", "template"], ["tag", "v0.1.0"]):
        git(path, *command)


def ours(path: Path) -> None:
    command = [sys.executable, "-m", "tunesmith", "new", str(path), "--spec", str(SPEC)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def bare(template: Path, path: Path) -> None:
    command = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", "--data-file", str(SPEC)]
    command += [str(template), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    git(path, "init", "-q")
    git(path, "add", "-A")
    git(path, *identity(), "commit", "-qm", "first")


def identity() -> list[str]:
    return ["-c", "user.name=benchmark", "-c", "user.email=benchmark@example.invalid", "-c", "commit.gpgsign=false"]


def git(path: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=path, check=True, capture_output=True)


if __name__ == "__main__":
    main()
