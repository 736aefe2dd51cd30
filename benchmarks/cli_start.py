"""How long the command line takes to start, against a Python that starts and ends.

.venv/bin/python benchmarks/cli_start.py [--rounds 15]
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "tunesmith --help": [sys.executable, "-m", "tunesmith", "--help"],
    "tunesmith catalog": [sys.executable, "-m", "tunesmith", "catalog"],
    "tunesmith plan": [sys.executable, "-m", "tunesmith", "plan", "--defaults"],
    "tunesmith advise": [sys.executable, "-m", "tunesmith", "advise", "--defaults"],
    "copier --help": [sys.executable, "-m", "copier", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
            if number:
                seconds[name].append(time.perf_counter() - start)
    base = statistics.median(seconds["python -c pass"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:18} {median * 1000:6.0f} ms   {median / base:5.1f} x a bare start   ({rounds} rounds)")


if __name__ == "__main__":
    main()
