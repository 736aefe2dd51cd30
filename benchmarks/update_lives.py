"""Thousands of random lives of a project, each updated between two releases of a history; prints what was lost.

    .venv/bin/python benchmarks/update_lives.py [--lives 5000] [--seed 1]
    .venv/bin/python benchmarks/update_lives.py --beside [--lives 10000] [--seed 1]

The lives, the releases and the judge are those of tests/generator/test_update_random.py. With --beside another process
edits, stages and commits at any moment of an update, a continue and an abort, or these are killed, as in
tests/generator/test_update_meanwhile.py. Target: no losses.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "generator"))

import history
import meanwhile
import updating
from hypothesis import HealthCheck, Phase, given, seed, settings
from random_lives import VERSIONS, Act, Trees, lives, losses

from tunesmith import git

ALL = list(HealthCheck)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lives", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--beside", action="store_true")
    options = parser.parse_args()
    if options.beside:
        sys.exit(beside(options.lives, options.seed))
    with tempfile.TemporaryDirectory(prefix="benchmark.") as name:
        folder = Path(name)
        with updating.workshop(folder, history.build, VERSIONS) as shop:
            (folder / "repository").mkdir()
            git.run("init", "--quiet", cwd=folder / "repository")
            live(Trees(folder / "repository", folder / "scratch", shop.templates), options.lives, options.seed)


def beside(count: int, seed: int) -> int:
    """Live beside somebody else, on every core; the number of lives that lost something."""
    start, size = time.perf_counter(), 250
    chunks = [(seed * 10**6 + first, min(size, count - first)) for first in range(0, count, size)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        lost = [text for found in pool.map(some_beside, chunks) for text in found]
    seconds = time.perf_counter() - start
    print(f"{count} lives beside another process, {len(lost)} with losses, {seconds:.0f} s")
    for text in lost[:20]:
        print(f"  {text}")
    return bool(lost)


def some_beside(chunk: tuple[int, int]) -> list[str]:
    """What some lives lost, a text each."""
    first, count = chunk
    with tempfile.TemporaryDirectory(prefix="benchmark.") as name:
        folder = Path(name)
        made = []
        for kind in ("clean", "conflict"):
            (folder / kind).mkdir()
            start = meanwhile.start_of(folder / kind, conflict=kind == "conflict")
            made.append((start, meanwhile.beginner(start, folder / f"scratch-{kind}")))
        (folder / "lives").mkdir()
        found = [
            meanwhile.life(number, made[number % 3 > 0][0], folder / "lives", made[number % 3 > 0][1])
            for number in range(first, first + count)
        ]
    return ["\n    ".join(told) for told in found if told]


def live(trees: Trees, count: int, number: int) -> None:
    """Live them all and count."""
    lived, acts, conflicted, lost = 0, 0, 0, list[str]()

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(life=lives)
    def one(life: tuple[int, int, list[Act]]) -> None:
        nonlocal lived, acts, conflicted
        old, new = VERSIONS[life[0]], VERSIONS[life[1]]
        project = trees.live(old, life[2])
        merged = trees.update(project, old, new)
        found = losses(trees, old, new, project, merged)
        lost.extend(f"{old} -> {new}: {text}; life: {life[2]}" for text in found)
        lived, acts, conflicted = lived + 1, acts + len(life[2]), conflicted + bool(merged.stages)

    start = time.perf_counter()
    one()
    seconds = time.perf_counter() - start
    print(f"{lived} lives with {acts} edits, {conflicted} with conflicts, {len(lost)} losses, {seconds:.0f} s")
    for text in lost[:20]:
        print(f"  {text}")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
