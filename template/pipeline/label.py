"""Label pairs of answers for the judge's qualification: ``python -m pipeline.label``.

Shows both arms' answers to one question at a time, in an order that hides which is which, and adds what you say to
``evals/judge_calibration.jsonl``. It goes on where it stopped; Ctrl-D ends it.
"""

import hashlib
import json
import sys

from pipeline.evaluate import SCORES
from pipeline.files import read_json, run_stage
from pipeline.judge import answered_pairs
from pipeline.judging import CALIBRATION, FEWEST_LABELS, Pair, read_calibration

REPLIES = {"1": "first", "2": "second", "0": "tie"}


def main() -> None:
    verdict = read_json(SCORES)["verdict"]
    done = {(row["question"], row["first"], row["second"]) for row in read_calibration()}
    shown = (blind(pair) for pair in answered_pairs(verdict["challenger"], verdict["best_baseline"]))
    left = [pair for pair in shown if tuple(pair) not in done and pair.first != pair.second]
    print(f"{len(done)} labelled, {len(left)} left; the judge needs {FEWEST_LABELS}. 1, 2, or 0 for a tie.")
    for pair in left:
        print(f"\n{pair.question}\n  1: {pair.first}\n  2: {pair.second}")
        try:
            said = ask()
        except EOFError:
            break
        with CALIBRATION.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**pair._asdict(), "human": said}, ensure_ascii=False) + "\n")


def blind(pair: Pair) -> Pair:
    """The pair in an order that only its content decides."""
    turned = hashlib.sha256("\0".join(sorted(pair)).encode()).digest()[0] % 2
    first, second = sorted((pair.first, pair.second), reverse=bool(turned))
    return Pair(pair.question, first, second)


def ask() -> str:
    """A choice from the keyboard. Raises EOFError at its end."""
    while (reply := input("better: ").strip()) not in REPLIES:
        print("1, 2 or 0")
    return REPLIES[reply]


if __name__ == "__main__":
    sys.exit(run_stage(main))
