"""A language model as judge of two answers, and whether it may be believed.

Each pair is asked in both orders, and a preference counts only if it survives the swap; otherwise it is a tie. What
cannot be parsed is an error and never a middle score. Before its verdicts are shown a judge has to agree with people on
``evals/judge_calibration.jsonl``: ``{"question", "first", "second", "human": "first" | "second" | "tie"}`` a line.
Zheng et al. 2023, arXiv:2306.05685 (both orders); Dubois et al. 2024, arXiv:2404.04475 (length).
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from engine.core.artifacts import JUDGE_CALIBRATION
from engine.core.errors import ProjectError
from engine.core.interval import Interval
from engine.core.io import read_jsonl
from engine.evaluation.judge.report import Comparing, Preference
from engine.evaluation.statistics import percentile_interval
from engine.inference.backend import Answer, Backend, answer_all

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
    """A judge's choices in both orders, both relative to the first answer; None if a reply cannot be parsed."""

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


def judge(
    backend: Backend, prompt: str, pairs: Sequence[Pair], batch_size: int
) -> tuple[list[Judgement], list[Answer]]:
    """Ask about every pair in both orders. ``prompt`` has the places $question, $a and $b. Returns the answers too."""
    orders = [*pairs, *(Pair(p.question, p.second, p.first) for p in pairs)]
    filled = (fill(prompt, {"$question": p.question, "$a": p.first, "$b": p.second}) for p in orders)
    prompts = [backend.render([{"role": "user", "content": text}]) for text in filled]
    answers = answer_all(backend, prompts, ANSWER_TOKENS, batch_size)
    replies = [parse(answer.text) for answer in answers]
    turned = [reply and _SWAPPED[reply] for reply in replies[len(pairs) :]]
    return [Judgement(*both) for both in zip(replies[: len(pairs)], turned, strict=True)], answers


def fill(prompt: str, values: Mapping[str, str]) -> str:
    """The prompt with its places filled, all at once: a value may hold the name of another place."""
    places = "|".join(re.escape(name) for name in values)
    return re.sub(rf"(?:{places})\b", lambda found: values[found.group()], prompt)


def parse(reply: str) -> str | None:
    """``first``, ``second`` or ``tie``, if the whole reply is A, B or tie; otherwise None."""
    found = _CHOICE.match(reply)
    return _SEEN[found.group(1).upper()] if found else None


def read_calibration(path: Path = JUDGE_CALIBRATION) -> list[dict[str, str]]:
    """The human judgements, none if nobody labelled yet. Raises `ProjectError` at the first line that is not one."""
    rows = read_jsonl(path) if path.exists() else []
    for number, row in enumerate(rows, 1):
        if {"question", "first", "second", "human"} - row.keys() or row["human"] not in CHOICES:
            fix = 'write {"question": ..., "first": ..., "second": ..., "human": "first", "second" or "tie"}'
            raise ProjectError("not a human judgement", f"{path}, line {number}", fix)
    return rows


def qualify(judgements: Sequence[Judgement], human: Sequence[str], *, alpha: float = 0.05, seed: int = 0) -> Comparing:
    """Agreement of a judge with people, how it errs, and whether it may be believed, with every reason why not."""
    parsed = [(j.verdict or "", h) for j, h in zip(judgements, human, strict=True) if j.parsed]
    both = [j for j in judgements if j.parsed]
    firsts = [(j.straight == "first") + (j.swapped == "second") for j in both]  # times it chose what stood first
    agreement = sum(a == b for a, b in parsed) / len(parsed) if parsed else 0.0
    interval = agreement_interval(parsed, kappas, alpha, seed)
    consistency = sum(j.straight == j.swapped for j in both) / len(both) if both else 0.0
    errors = len(judgements) - len(both)
    reasons = []
    if len(judgements) < FEWEST_LABELS:
        reasons.append(f"{len(judgements)} human judgements; {FEWEST_LABELS} are needed: `tunesmith tool label`")
    if human and len(set(human)) == 1:
        reasons.append(f"every human judgement says {human[0]!r}: a judge that always says so would agree with all")
    if consistency < SWAP_CONSISTENCY:
        reasons.append(f"only {consistency:.0%} of its choices survive a swap; {SWAP_CONSISTENCY:.0%} must")
    if interval.low < KAPPA_LOW:
        reasons.append(f"kappa {interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}] must start at {KAPPA_LOW}")
    if errors > len(judgements) * (1 - SWAP_CONSISTENCY):
        reasons.append(f"{errors} of {len(judgements)} replies name no choice")
    return Comparing(
        calibration=str(JUDGE_CALIBRATION),
        qualified=not reasons,
        reasons=reasons,
        items=len(judgements),
        unparsable=errors,
        agreement=round(agreement, 4),
        kappa=interval.rounded(4),
        swap_consistency=round(consistency, 4),
        first_position_rate=round(sum(firsts) / (2 * len(firsts)), 4) if firsts else None,
        ties=sum(j.verdict == "tie" for j in both),
    )


def kappas(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Agreement beyond chance of each sample of pairs: (p_o - p_e) / (1 - p_e). Cohen 1960, Educ. Psychol. Meas. 20:37.

    Where both sides only ever name one class, chance explains all of it: 0.
    """
    left, right = samples[..., 0], samples[..., 1]
    observed = (left == right).mean(axis=1)
    chance = np.zeros(len(samples))
    for name in np.unique(samples):
        chance += (left == name).mean(axis=1) * (right == name).mean(axis=1)
    return np.where(chance < 1, (observed - chance) / np.where(chance < 1, 1 - chance, 1), 0.0)


def agreement_interval(
    pairs: Sequence[tuple[Any, Any]], measure: Callable[[NDArray[Any]], NDArray[np.float64]], alpha: float, seed: int
) -> Interval:
    """A measure of agreement between a judge and people, with its percentile bootstrap interval over items."""
    if not pairs:
        return Interval(0.0, 0.0, 0.0)
    given = np.array(pairs)
    drawn = np.random.default_rng(seed).integers(0, len(pairs), (SAMPLES, len(pairs)))
    return percentile_interval(float(measure(given[None])[0]), measure(given[drawn]), alpha)


def length_adjusted(judgements: Sequence[Judgement], pairs: Sequence[Pair]) -> tuple[float, float]:
    """How strongly longer answers are preferred, and the first's win rate were both answers equally long.

    A fit of P(first wins) = logistic(a + b · tanh(length difference / sd)), a tie counting half: b, and logistic(a).
    """
    won = {"first": 1.0, "tie": 0.5, "second": 0.0}
    known = [
        (won[j.verdict], len(p.first) - len(p.second)) for j, p in zip(judgements, pairs, strict=True) if j.verdict
    ]
    if not known:
        return 0.0, 0.5
    y, lengths = (np.array(side, dtype=float) for side in zip(*known, strict=True))
    if lengths.std() == 0:
        return 0.0, float(y.mean())
    x = np.tanh(lengths / lengths.std())

    def loss(at: NDArray[np.float64]) -> float:
        z = at[0] + at[1] * x
        return float((y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)).sum() + at[1] ** 2 / 50)

    a, b = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-20, 20)] * 2).x
    return float(b), float(1 / (1 + np.exp(-a)))


def preference(judgements: Sequence[Judgement], pairs: Sequence[Pair]) -> Preference:
    """Wins, ties, losses and errors of the first answers over all pairs, and what their lengths have to do with it."""
    counts = Counter(j.verdict or "unparsable" for j in judgements)
    parsed = len(judgements) - counts["unparsable"]
    coefficient, adjusted = length_adjusted(judgements, pairs)
    return Preference(
        wins=counts["first"],
        ties=counts["tie"],
        losses=counts["second"],
        unparsable=counts["unparsable"],
        win_rate=round((counts["first"] + counts["tie"] / 2) / parsed, 4) if parsed else None,
        length_coefficient=round(coefficient, 4),
        length_adjusted_win_rate=round(adjusted, 4) if parsed else None,
    )


def kinship(judge: str, judged: str) -> str | None:
    """A warning if the judging model is the judged one, or of its family; None if it is not.

    Models prefer their own answers (Panickssery et al. 2024, arXiv:2404.13076).
    """
    names = [re.match(r"[a-z]*", name.rpartition("/")[2].casefold()) for name in (judge, judged)]
    first, second = (name.group() if name else "" for name in names)
    if not first or first != second:
        return None
    return f"{judge} judges answers of {judged}, its own family, which models prefer (set judge.endpoint to another)"
