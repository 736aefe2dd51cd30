"""This project's own metrics. Add a function here and its name to `METRICS`; every report then shows it.

A metric takes the expected text and the answer and gives a score between 0 and 1:

    def same_length(expected: str, answer: str) -> float:
        return float(len(expected) == len(answer))

    METRICS = {"same_length": same_length}

To decide by it, name it as ``evaluate.primary_metric`` in params.yaml.
"""

from collections.abc import Callable

METRICS: dict[str, Callable[[str, str], float]] = {}
