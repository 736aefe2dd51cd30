"""A language model as judge of two answers, and whether it may be believed.

Each pair is asked in both orders, and a preference counts only if it survives the swap; otherwise it is a tie. What
cannot be parsed is an error and never a middle score. Before its verdicts are shown a judge has to agree with people on
``evals/judge_calibration.jsonl``: ``{"question", "first", "second", "human": "first" | "second" | "tie"}`` a line.
Zheng et al. 2023, arXiv:2306.05685 (both orders); Dubois et al. 2024, arXiv:2404.04475 (length).
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from pipeline.backends import Backend, answer_all
from pipeline.files import ProjectError, read_jsonl
from pipeline.statistics import Interval

CALIBRATION = Path("evals/judge_calibration.jsonl")
ANSWER_TOKENS = 16
FEWEST_LABELS = 50  # human judgements below which no agreement is known well enough
SWAP_CONSISTENCY = 0.8
KAPPA_LOW = 0.4  # "moderate" agreement (Landis & Koch 1977), for the lower end of the interval
SAMPLES = 2000
CHOICES = ("first", "second", "tie")
_CHOICE = re.compile(r"\A\W*(A|B|tie)\W*\Z", re.IGNORECASE)  # "A good answer ..." begins with an article, not a vote
_SEEN = {"A": "first", "B": "second", "TIE": "tie"}
_SWAPPED = {"first": "second", "second": "first", "tie": "tie"}


class Pair(NamedTuple):
    """Two answers to one question."""

    question: str
    first: str
    second: str


class Judgement(NamedTuple):
    """What a judge said in both orders, told as if the first answer had always stood first; None: unparsable."""

    straight: str | None
    swapped: str | None

    @property
    def parsed(self) -> bool:
        """Whether both replies named a choice."""
        return self.straight is not None and self.swapped is not None

    @property
    def verdict(self) -> str | None:
        """The preference that survived the swap, otherwise a tie; None if a reply could not be parsed."""
        if not self.parsed:
            return None
        return self.straight if self.straight == self.swapped else "tie"


def judge(backend: Backend, prompt: str, pairs: Sequence[Pair], batch_size: int) -> list[Judgement]:
    """Ask about every pair in both orders. ``prompt`` has the places $question, $a and $b."""
    orders = [*pairs, *(Pair(p.question, p.second, p.first) for p in pairs)]
    filled = (_fill(prompt, pair) for pair in orders)
    prompts = [backend.render([{"role": "user", "content": text}]) for text in filled]
    replies = [parse(answer.text) for answer in answer_all(backend, prompts, ANSWER_TOKENS, batch_size)]
    turned = [reply and _SWAPPED[reply] for reply in replies[len(pairs) :]]
    return [Judgement(*both) for both in zip(replies[: len(pairs)], turned, strict=True)]


def _fill(prompt: str, pair: Pair) -> str:
    values = {"$question": pair.question, "$a": pair.first, "$b": pair.second}
    return re.sub(r"\$(?:question|a|b)\b", lambda found: values[found.group()], prompt)


def parse(reply: str) -> str | None:
    """``first``, ``second`` or ``tie``, if the whole reply is A, B or tie; otherwise None."""
    found = _CHOICE.match(reply)
    return _SEEN[found.group(1).upper()] if found else None


def read_calibration(path: Path = CALIBRATION) -> list[dict[str, str]]:
    """The human judgements, none if nobody labelled yet. Raises `ProjectError` at the first line that is not one."""
    rows = read_jsonl(path) if path.exists() else []
    for number, row in enumerate(rows, 1):
        if {"question", "first", "second", "human"} - row.keys() or row["human"] not in CHOICES:
            mend = 'write {"question": ..., "first": ..., "second": ..., "human": "first", "second" or "tie"}'
            raise ProjectError("not a human judgement", f"{path}, line {number}", mend)
    return rows


def qualify(
    judgements: Sequence[Judgement], human: Sequence[str], *, alpha: float = 0.05, seed: int = 0
) -> dict[str, Any]:
    """Agreement of a judge with people, how it errs, and whether it may be believed, with every reason why not."""
    parsed = [(j.verdict or "", h) for j, h in zip(judgements, human, strict=True) if j.parsed]
    both = [j for j in judgements if j.parsed]
    firsts = [(j.straight == "first") + (j.swapped == "second") for j in both]  # times it chose what stood first
    agreement = sum(a == b for a, b in parsed) / len(parsed) if parsed else 0.0
    interval = kappa_interval(parsed, alpha, seed)
    consistency = sum(j.straight == j.swapped for j in both) / len(both) if both else 0.0
    errors = len(judgements) - len(both)
    reasons = []
    if len(judgements) < FEWEST_LABELS:
        reasons.append(f"{len(judgements)} human judgements; {FEWEST_LABELS} are needed: `python -m pipeline.label`")
    if human and len(set(human)) == 1:
        reasons.append(f"every human judgement says {human[0]!r}: a judge that always says so would agree with all")
    if consistency < SWAP_CONSISTENCY:
        reasons.append(f"only {consistency:.0%} of its choices survive a swap; {SWAP_CONSISTENCY:.0%} must")
    if interval.low < KAPPA_LOW:
        reasons.append(f"kappa {interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}] must start at {KAPPA_LOW}")
    if errors > len(judgements) * (1 - SWAP_CONSISTENCY):
        reasons.append(f"{errors} of {len(judgements)} replies name no choice")
    return {
        "qualified": not reasons,
        "reasons": reasons,
        "items": len(judgements),
        "unparsable": errors,
        "agreement": round(agreement, 4),
        "kappa": {name: round(value, 4) for name, value in interval._asdict().items()},
        "swap_consistency": round(consistency, 4),
        "first_position_rate": round(sum(firsts) / (2 * len(firsts)), 4) if firsts else None,
        "ties": sum(j.verdict == "tie" for j in both),
    }


def kappa(pairs: Sequence[tuple[str, str]]) -> float:
    """Agreement beyond chance: (p_o - p_e) / (1 - p_e). Cohen 1960, Educ. Psychol. Meas. 20:37.

    Where both sides only ever name one class, chance explains all of it: 0.
    """
    if not pairs:
        return 0.0
    n = len(pairs)
    left, right = (Counter(side) for side in zip(*pairs, strict=True))
    observed = sum(a == b for a, b in pairs) / n
    chance = sum(left[name] * right[name] for name in left) / n**2
    return (observed - chance) / (1 - chance) if chance < 1 else 0.0


def kappa_interval(pairs: Sequence[tuple[str, str]], alpha: float, seed: int) -> Interval:
    """Kappa with its percentile bootstrap interval over items."""
    if not pairs:
        return Interval(0.0, 0.0, 0.0)
    generator = np.random.default_rng(seed)
    draws = (generator.integers(0, len(pairs), len(pairs)) for _ in range(SAMPLES))
    resampled = [kappa([pairs[place] for place in draw]) for draw in draws]
    low, high = np.quantile(resampled, [alpha / 2, 1 - alpha / 2])
    return Interval(kappa(pairs), float(low), float(high))


def length_coefficient(judgements: Sequence[Judgement], pairs: Sequence[Pair]) -> float:
    """How strongly longer answers are preferred: b in P(first wins) = logistic(b · tanh(length difference / sd))."""
    decided = [(j.verdict == "first", len(p.first) - len(p.second)) for j, p in zip(judgements, pairs, strict=True)
               if j.verdict in ("first", "second")]  # fmt: skip
    lengths = np.array([difference for _, difference in decided], dtype=float)
    if len(decided) < 2 or lengths.std() == 0:
        return 0.0
    x = np.tanh(lengths / lengths.std())
    sign = np.where([won for won, _ in decided], 1.0, -1.0)
    found = minimize_scalar(
        lambda b: np.logaddexp(0, -sign * b * x).sum() + b * b / 50, bounds=(-20, 20), method="bounded"
    )
    return float(found.x)


def preference(judgements: Sequence[Judgement], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Wins, ties, losses and errors of the first answers over all pairs."""
    counts = Counter(j.verdict or "unparsable" for j in judgements)
    return {
        "wins": counts["first"],
        "ties": counts["tie"],
        "losses": counts["second"],
        "unparsable": counts["unparsable"],
        "length_coefficient": round(length_coefficient(judgements, pairs), 4),
    }
