"""Label answers for the judge's qualification: ``tunesmith tool label`` for pairs, with ``grades`` for grades.

Shows answers to one question at a time, in an order that hides which arm gave them, and adds what you say to
``evals/judge_calibration.jsonl`` or ``evals/rubric_calibration.jsonl``. It goes on where it stopped; Ctrl-D ends it.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from engine.core.artifacts import JUDGE_CALIBRATION, RUBRIC_CALIBRATION, SCORES
from engine.core.errors import ProjectError, run_stage
from engine.core.io import read_json
from engine.evaluation.judge.judging import answered_items, answered_pairs
from engine.evaluation.judge.llm_grader import GRADES, Graded, read_labels
from engine.evaluation.judge.pairwise_judge import FEWEST_LABELS, Pair, read_calibration

REPLIES = {"1": "first", "2": "second", "0": "tie"}
One = TypeVar("One", Pair, Graded)


def main() -> None:
    scores = read_json(SCORES)
    if sys.argv[1:] == ["grades"]:
        done = {tuple(row[name] for name in Graded._fields) for row in read_labels()}
        shown = sorted({one for arm in scores["arms"] for one in answered_items(arm)}, key=digest)
        left = [one for one in shown if tuple(one) not in done]
        print(f"{len(done)} graded, {len(left)} left; the judge needs {FEWEST_LABELS}. 5: right (prompts/rubric.txt).")
        collect(left, RUBRIC_CALIBRATION, "grade: ", {str(value): value for value in GRADES}, told_graded)
    elif not sys.argv[1:]:
        verdict = scores["verdict"]
        known = {(row["question"], row["first"], row["second"]) for row in read_calibration()}
        pairs = (blind(pair) for pair in answered_pairs(verdict["challenger"], verdict["best_baseline"]))
        open_pairs = [pair for pair in pairs if tuple(pair) not in known and pair.first != pair.second]
        print(f"{len(known)} labelled, {len(open_pairs)} left; the judge needs {FEWEST_LABELS}. 1, 2, or 0 for a tie.")
        collect(open_pairs, JUDGE_CALIBRATION, "better: ", REPLIES, told_pair)
    else:
        raise ProjectError("nothing to label", " ".join(sys.argv[1:]), "`tunesmith tool label [grades]`")


def collect(
    left: Sequence[One], path: Path, question: str, replies: Mapping[str, Any], told: Callable[[One], str]
) -> None:
    """Ask about one after the other until the keyboard ends, and keep each answer at once."""
    for one in left:
        print(told(one))
        try:
            said = ask(question, replies)
        except EOFError:
            break
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**one._asdict(), "human": said}, ensure_ascii=False) + "\n")


def told_pair(pair: Pair) -> str:
    """A pair as it is shown."""
    return f"\n{pair.question}\n  1: {pair.first}\n  2: {pair.second}"


def told_graded(one: Graded) -> str:
    """An answer as it is shown for grading."""
    return f"\n{one.question}\n  expected: {one.expected}\n  answer:   {one.answer}"


def blind(pair: Pair) -> Pair:
    """The pair in an order that only its content decides."""
    turned = digest(sorted(pair))[0] % 2
    first, second = sorted((pair.first, pair.second), reverse=bool(turned))
    return Pair(pair.question, first, second)


def digest(texts: Sequence[str]) -> bytes:
    """An order that nobody can see through."""
    return hashlib.sha256("\0".join(texts).encode()).digest()


def ask(question: str, replies: Mapping[str, Any]) -> Any:
    """A choice from the keyboard. Raises EOFError at its end."""
    while (reply := input(question).strip()) not in replies:
        print(", ".join(replies))
    return replies[reply]


if __name__ == "__main__":
    sys.exit(run_stage(main))
