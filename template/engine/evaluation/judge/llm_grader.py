"""A language model as grader: one answer at a time, from 1 to 5 by ``prompts/rubric.txt``, and whether to believe it.

A reply that is more than a grade is an error, counted and never a middle grade. Before its grades are shown a judge has
to agree with people on ``evals/rubric_calibration.jsonl``: ``{"question", "expected", "answer", "human": 1 to 5}`` a
line. Agreement is quadratic-weighted kappa: a grade that is off by two counts four times one that is off by one.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.artifacts import RUBRIC_CALIBRATION
from engine.core.errors import ProjectError
from engine.core.io import read_jsonl
from engine.evaluation.judge.pairwise_judge import (
    ANSWER_TOKENS,
    FEWEST_LABELS,
    KAPPA_LOW,
    agreement_interval,
    fill,
)
from engine.evaluation.judge.report import Grading, MeanGrade
from engine.evaluation.statistics import Groups, bootstrap_mean
from engine.inference.backend import Answer, Backend, answer_all

GRADES = (1, 2, 3, 4, 5)
UNPARSABLE = 0.2  # share of replies without a grade from which neither a judge nor an arm's mean is believed
_GRADE = re.compile(r"""\A[\s*"'`(\[]*([1-5])[\s*"'`)\].]*\Z""")  # "4/5" and "4 or 5" are no grade


class Graded(NamedTuple):
    """One answer to grade, with the benchmark's own."""

    question: str
    expected: str
    answer: str


def grade(
    backend: Backend, prompt: str, answers: Sequence[Graded], batch_size: int
) -> tuple[list[int | None], list[Answer]]:
    """A grade of each answer, None if a reply is not one; and the replies. ``prompt`` has the places of `Graded`."""
    texts = (fill(prompt, {f"${name}": value for name, value in one._asdict().items()}) for one in answers)
    prompts = [backend.render([{"role": "user", "content": text}]) for text in texts]
    replies = answer_all(backend, prompts, ANSWER_TOKENS, batch_size)
    return [parse_grade(reply.text) for reply in replies], replies


def parse_grade(reply: str) -> int | None:
    """The grade, if it is the whole reply."""
    found = _GRADE.match(reply)
    return int(found.group(1)) if found else None


def read_labels(path: Path = RUBRIC_CALIBRATION) -> list[dict[str, Any]]:
    """The grades that people gave, none if nobody did yet. Raises `ProjectError` at the first line that is not one."""
    rows = read_jsonl(path) if path.exists() else []
    for number, row in enumerate(rows, 1):
        whole = isinstance(row.get("human"), int) and not isinstance(row["human"], bool)
        if set(Graded._fields) - row.keys() or not whole or row["human"] not in GRADES:
            fix = 'write {"question": ..., "expected": ..., "answer": ..., "human": a number from 1 to 5}'
            raise ProjectError("not a human grade", f"{path}, line {number}", fix)
    return rows


def qualify_grades(given: Sequence[int | None], human: Sequence[int], *, alpha: float = 0.05, seed: int = 0) -> Grading:
    """Agreement of a grader with people, and whether it may be believed, with every reason why not."""
    parsed = [(g, h) for g, h in zip(given, human, strict=True) if g is not None]
    interval = agreement_interval(parsed, weighted_kappas, alpha, seed)
    errors = len(given) - len(parsed)
    reasons = []
    if len(given) < FEWEST_LABELS:
        reasons.append(f"{len(given)} human grades; {FEWEST_LABELS} are needed: `tunesmith tool label grades`")
    if human and len(set(human)) == 1:
        reasons.append(f"every human grade is {human[0]}: a judge that always gives it would agree with all")
    if interval.low < KAPPA_LOW:
        told = f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
        reasons.append(f"weighted kappa {told} must start at {KAPPA_LOW}")
    if errors > len(given) * UNPARSABLE:
        reasons.append(f"{errors} of {len(given)} replies are not a grade")
    return Grading(
        calibration=str(RUBRIC_CALIBRATION),
        qualified=not reasons,
        reasons=reasons,
        items=len(given),
        unparsable=errors,
        agreement=round(sum(g == h for g, h in parsed) / len(parsed), 4) if parsed else 0.0,
        weighted_kappa=interval.rounded(4),
        bias=round(sum(g - h for g, h in parsed) / len(parsed), 4) if parsed else None,
        grades={str(value): count for value, count in sorted(Counter(g for g, _ in parsed).items())},
    )


def weighted_kappas(samples: NDArray[Any]) -> NDArray[np.float64]:
    """1 - sum(w·observed) / sum(w·expected) with w = (i - j)². Cohen 1968, Psychological Bulletin 70:213.

    Of each sample of pairs. The mean of (i - j)² over all pairs of margins is var(i) + var(j) + (difference)². Where
    both sides only ever give one grade, chance explains all of it: 0.
    """
    left, right = samples[..., 0], samples[..., 1]
    observed = ((left - right) ** 2).mean(axis=1)
    chance = left.var(axis=1) + right.var(axis=1) + (left.mean(axis=1) - right.mean(axis=1)) ** 2
    known: NDArray[np.float64] = np.where(chance > 0, 1 - observed / np.where(chance > 0, chance, 1), 0.0)
    return known.round(12) + 0.0  # no "-0.00" if one side is constant


def mean_grades(
    grades: Mapping[str, Sequence[int | None]], groups: Groups, *, samples: int, seed: int, alpha: float
) -> dict[str, MeanGrade]:
    """The mean grade of each arm with its interval over groups, and the replies that are no grade."""
    found = {}
    for arm, given in grades.items():
        kept = [(place, float(value)) for place, value in enumerate(given) if value is not None]
        errors = len(given) - len(kept)
        if errors > len(given) * UNPARSABLE:
            found[arm] = MeanGrade(mean=None, low=None, high=None, unparsable=errors)
            continue
        own = [groups[place] for place, _ in kept] if groups is not None else None
        values = [value for _, value in kept]
        mean = bootstrap_mean(values, samples=samples, seed=seed, alpha=alpha, groups=own).rounded(4)
        found[arm] = MeanGrade(mean=mean.mean, low=mean.low, high=mean.high, unparsable=errors)
    return found
