"""Thousands of random lives of a project, each updated between two releases of a history; prints what was lost.

    .venv/bin/python benchmarks/update_lives.py [--lives 5000] [--seed 1]

The lives, the releases and the judge are those of tests/generator/test_update_random.py. Target: no losses.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "generator"))

import history
import updating
from hypothesis import HealthCheck, Phase, given, seed, settings
from random_lives import VERSIONS, Act, Trees, lives, losses

from tunesmith import git

ALL = list(HealthCheck)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lives", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark.") as name:
        folder = Path(name)
        with updating.workshop(folder, history.build, VERSIONS) as shop:
            (folder / "repository").mkdir()
            git.run("init", "--quiet", cwd=folder / "repository")
            live(Trees(folder / "repository", folder / "scratch", shop.templates), options.lives, options.seed)


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
