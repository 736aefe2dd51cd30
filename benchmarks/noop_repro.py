"""`dvc repro` of a finished project with nothing to do, against `dvc version`, which does nothing at all.

.venv/bin/python benchmarks/noop_repro.py PROJECT [--rounds 7]
"""

import argparse
import os
import statistics
import subprocess
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    environment = Path(os.environ.get("PROJECT_VENV") or options.project / ".venv").absolute()
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    seconds: dict[str, list[float]] = {"version": [], "repro": []}
    for _ in range(options.rounds):
        for command, values in seconds.items():
            start = time.perf_counter()
            done = subprocess.run(
                ["dvc", command],
                cwd=options.project,
                env={**os.environ, "PATH": path},
                check=True,
                capture_output=True,
                text=True,
            )
            values.append(time.perf_counter() - start)
            if command == "repro" and "up to date" not in done.stdout:
                raise SystemExit("the project was not finished: run `dvc repro` there first")
    medians = {command: statistics.median(values) for command, values in seconds.items()}
    ratio = medians["repro"] / medians["version"]
    print(f"dvc version {medians['version']:.2f} s, dvc repro {medians['repro']:.2f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
