"""Damaged data files through the record stage: none may crash it, hang it, or lose the count of its records.

    PROJECT_VENV/bin/python benchmarks/curation_fuzz.py [--files 100000] [--seed 1]

Prints how many files were read or refused whole, and how many of their records were kept and rejected.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/engine"))

from corrupt_files import mutant, seeds
from raw_data import curate_settings

from engine.core.errors import ProjectError
from engine.data.read.file_formats import container
from engine.data.shards import Piece, build_part

HANG = 30  # seconds that one small file may take


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    draw, originals, counts = random.Random(arguments.seed), seeds(), Counter[str]()
    formats = ["jsonl", "messages", "alpaca", "sharegpt", "text", "preference", "kto", "prompt_only"]
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path, part = Path(folder) / "data.bin", Path(folder) / "part"
        for number in range(arguments.files):
            path.write_bytes(mutant(draw, originals))
            signal.alarm(HANG)
            try:
                done = build_part(part, Piece(str(path), container(path)), curate_settings(format=draw.choice(formats)))
            except ProjectError:
                counts["files refused"] += 1
                continue
            except BaseException:
                print(f"file {number} of seed {arguments.seed}: {path.read_bytes()!r}", file=sys.stderr)
                raise
            finally:
                signal.alarm(0)
            rejected = (part / "rejected.jsonl").read_bytes().count(b"\n")
            kept = (part / "records.jsonl").read_bytes().count(b"\n")
            assert done["read"] == kept + rejected, number
            counts.update({"files read": 1, "records kept": kept, "records rejected": rejected})
    print(
        f"{arguments.files} files in {time.monotonic() - start:.0f} s: "
        + ", ".join(f"{k} {v}" for k, v in counts.items())
    )


if __name__ == "__main__":
    main()
