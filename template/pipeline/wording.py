"""Arms, scores and intervals as words, the same in the verdict, the report and on the terminal."""

from pipeline.statistics import Interval

TITLES = {
    "zero_shot": "the zero-shot prompt",
    "few_shot": "the few-shot prompt",
    "rag": "retrieval",
    "tuned": "the tuned model",
}


def title(arm: str) -> str:
    """An arm in words."""
    return TITLES.get(arm, arm.replace("_", " "))


def points(value: float, *, sign: bool = False) -> str:
    """A share as percentage points."""
    return f"{100 * value:{'+' if sign else ''}.1f} points"


def percent(interval: Interval) -> str:
    """A score with its interval in per cent."""
    return f"{100 * interval.mean:.1f}% {span(interval)}"


def span(interval: Interval) -> str:
    """The interval alone, in per cent."""
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
