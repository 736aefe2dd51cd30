"""Compares the expectations of the day of generation with the measurements; part of stage `cost`.

``plan.json`` is written once, by the generator: figures as bands, for the hardware and model of that day.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.core.artifacts import PLAN
from engine.core.errors import ProjectError
from engine.core.interval import Range
from engine.costing.cost_arithmetic import Band, training_usd, usd_per_1000_requests
from engine.costing.results import PlannedFigure
from engine.inference.results import Measurement
from engine.models.run_record import RunRecord


def beside_the_plan(
    arms: Mapping[str, Measurement],
    tuned: str | None,
    training: RunRecord | None,
    price: Band | None = None,
    utilisation: float = 1.0,
) -> list[PlannedFigure]:
    """One row for each planned figure that was measured: planned band, measured value, and how far off it was.

    Where the machine's ``price`` by the hour is known, dollars too: planned seconds at its band, measured ones at the
    typical price.

    Raises:
        ProjectError: the plan is there and cannot be read.
    """
    plan = read_plan()
    measured = dict(_measured(arms, tuned, training))
    figures = {name: Band(**band) for name, band in plan.get("figures", {}).items()}
    rows = []
    for name, base, usd in _priced(training, price, utilisation):
        if base in figures and base in measured:
            figures[name] = usd(figures[base])
            measured[name] = usd(Band(*[measured[base]] * 3)).typical
    for name, figure in figures.items():
        if name in measured:
            value = measured[name]
            off = value / figure.typical if figure.typical else None
            within = figure.low <= value <= figure.high
            row = PlannedFigure(figure=name, planned=Range(*figure), measured=value, off=off, within=within)
            rows.append(row)
    return rows


def _priced(
    training: RunRecord | None, price: Band | None, utilisation: float
) -> Iterator[tuple[str, str, Callable[[Band], Band]]]:
    """Figures in dollars: name, the figure in seconds that it comes from, and how."""
    if price is None:
        return
    devices = training.devices if training else 1
    yield "training_usd", "training_seconds", lambda seconds: training_usd(seconds.times(devices), price)
    requests = "usd_per_1000_requests"
    yield requests, "seconds_per_request", lambda seconds: usd_per_1000_requests(seconds, price, utilisation)


def read_plan(path: Path = PLAN) -> dict[str, Any]:
    """The plan; empty if the project was generated without one."""
    try:
        plan = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ProjectError(f"not valid JSON: {error}", str(path), "restore it from git") from None
    return plan if isinstance(plan, dict) else {}


def _measured(
    arms: Mapping[str, Measurement], tuned: str | None, training: RunRecord | None
) -> Iterator[tuple[str, float]]:
    """The figures of this run under the names that the plan uses."""
    if training:
        yield "training_seconds", training.seconds
        yield "peak_memory_gib", training.peak_memory_gib
        yield "training_tokens_per_second", training.tokens_per_second
    for arm, measure in arms.items():
        if measure.prompt_tokens is not None:
            yield f"prompt_tokens/{arm}", measure.prompt_tokens / measure.items
    if tuned:
        measure = arms[tuned]
        if measure.completion_tokens is not None:
            yield "answer_tokens", measure.completion_tokens / measure.items
        yield "latency_seconds", measure.latency_seconds.p50
        yield "seconds_per_request", measure.seconds / measure.items
