"""Prints what `advise` works out: the decision with its path, and each approach with its cost, speed and effort."""

import math
from collections.abc import Mapping
from typing import Any

from tunesmith import catalog, console
from tunesmith.advice import Assessment
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costing.monte_carlo import Swing
from tunesmith.costs import estimate, prices
from tunesmith.costs.estimate import Estimate
from tunesmith.decision import Advice
from tunesmith.spec import Spec

INTERVAL = "bands are the 5th and 95th percentile of 1,000 drawn cases; break-even is over three years"
ALONE = "brackets after a cost driver hold the cost with only this figure at its lowest and at its highest"
WORDS = {  # for figures whose own name does not say it
    "answer_token": "seconds per token of an answer",
    "answer_token_batched": "seconds per token of an answer, in a batch",
    "endpoint_usd_per_hour": "price per hour of the endpoint",
    "life_years": "years until the machine is written off",
    "prompt_token": "seconds per token of a prompt",
    "pue": "building power per watt of the machine (PUE)",
    "server_factor": "price of the server relative to its devices",
    "usd_per_hour": "price per hour of the machine",
    "usd_per_million_training": "price of training per million tokens",
}


def show(assessment: Assessment, *, sources: bool = False) -> None:
    """Print it for people."""
    print_advice(assessment.advice, assessment.spec)
    console.line()
    rows = [_row(row) for row in assessment.estimates]
    volume = f"$ per month at {assessment.spec.answers['monthly_requests']:,} requests"
    heads = (
        "approach",
        "$ once",
        volume,
        "$ over 3 years",
        "$ per 1,000 requests",
        "seconds to answer",
        "days of work",
    )
    console.table(heads, rows)
    console.line()
    for row in assessment.estimates:
        console.line(f"{row.title}: {moved(row)}")
    console.line()
    for title, quality in {row.title.split(",")[0]: row.quality for row in assessment.estimates}.items():
        console.line(f"Quality of {title}: {quality}.")
    for row in assessment.estimates:
        if row.break_even:
            console.line(f"{row.title}: {_break_even(row)}")
        if row.note:
            console.line(f"{row.title}: {row.note}")
    needs: dict[str, dict[str, None]] = {}
    for row in assessment.estimates:
        needs.setdefault(row.data, {})[row.title.split(",")[0]] = None
    for data, titles in needs.items():
        console.line(f"{' and '.join(titles)} {'needs' if len(titles) == 1 else 'need'} {data}.")
    console.line(
        f"How to read it: {INTERVAL}; {ALONE}. {'' if sources else '--sources prints the source of each figure.'}"
    )
    for text in dict.fromkeys(source for row in assessment.estimates for source in row.sources) if sources else ():
        console.line(f"  {text}")
    if assessment.stale:
        days, stale = prices.OLD_PRICE_DAYS, ", ".join(assessment.stale)
        console.note(f"check these prices, which have no date or are older than {days} days: {stale}")


def print_advice(advice: Advice, spec: Spec) -> None:
    """The decision with the path to it, what is missing, and what does not go together."""
    outcomes = catalog.decision_tree()["outcomes"]
    console.line(f"Advice: {advice.approach}{' (not yet)' if advice.missing else ''}. {advice.reason}")
    if advice.missing:
        console.line(f"  missing: {advice.missing}")
    for key, value in advice.differs(spec.answers).items():
        console.line(f"  the advice would set {key}: {value} (your spec: {spec.answers[key]})")
    for refusal in advice.not_built(spec.catalogue, spec.answers)[:1]:
        console.line(f"  {refusal}")
    for contradiction in advice.contradictions:
        console.line(f"  contradiction: {contradiction}")
    for step in advice.path:
        other = outcomes[step.otherwise]
        instead = f"{other['approach']}, {step.otherwise.replace('_', ' ')}"
        console.line(f"  {step.ask} {'yes' if step.yes else 'no'} (otherwise: {instead})")
    console.line(f"Ask again {advice.revisit}.")


def as_data(assessment: Assessment) -> dict[str, Any]:
    """The same for ``--json``."""
    return {
        **advice_data(assessment.advice, assessment.spec),
        "approach_of_spec": assessment.spec.answers["approach"],
        "agrees": assessment.advice.agrees(assessment.spec.answers),
        "monthly_requests": assessment.spec.answers["monthly_requests"],
        "estimates": [estimate_data(row) for row in assessment.estimates],
        "stale_prices": assessment.stale,
        "interval": INTERVAL,
    }


def advice_data(advice: Advice, spec: Spec) -> dict[str, Any]:
    """The decision alone."""
    path = [vars(step) for step in advice.path]
    return {
        "approach": advice.approach,
        "outcome": advice.outcome,
        "not_yet": bool(advice.missing),
        "missing": advice.missing,
        "reason": advice.reason,
        "suggests": dict(advice.suggests),
        "not_built": [str(refusal) for refusal in advice.not_built(spec.catalogue, spec.answers)],
        "contradictions": list(advice.contradictions),
        "revisit": advice.revisit,
        "path": path,
    }


def estimate_data(row: Estimate) -> dict[str, Any]:
    """One approach; a bound that is never reached is null, and ``break_even`` is "never" where no case reaches it."""
    bands = ("once_usd", "monthly_usd", "per_1000_usd", "three_years_usd", "latency_seconds", "days")
    even = "never" if estimate.never(row.break_even) else row.break_even and _bounds(row.break_even)
    return {
        "key": row.key,
        "title": row.title,
        **{name: _bounds(getattr(row, name)) for name in bands},
        "data": row.data,
        "quality": row.quality,
        "moves_most": [swing._asdict() for swing in row.swings],
        "note": row.note,
        "break_even_requests_a_month": even,
        "against": row.against,
        "sources": list(row.sources),
    }


def _bounds(band: Band) -> dict[str, float | None]:
    return {name: None if math.isinf(value) else float(f"{value:.4g}") for name, value in band._asdict().items()}


def _row(row: Estimate) -> tuple[str, ...]:
    dollars = (row.once_usd, row.monthly_usd, row.three_years_usd, row.per_1000_usd)
    return (row.title, *(_short(band) for band in dollars), _short(row.latency_seconds), _short(row.days))


def _short(band: Band) -> str:
    if band.high == 0 or math.isinf(band.low):
        return "0" if band.high == 0 else "no requests"
    return f"{_number(band.typical)} [{_number(band.low)}, {_number(band.high)}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def print_owned(rows: list[Estimate], answers: Mapping[str, Any]) -> None:
    """By month and over three years."""
    volume = f"$ per month at {answers['monthly_requests']:,} requests"
    bands = [_row(row)[:5] for row in rows]
    console.table(("cost to own", "$ once", volume, "$ over 3 years", "$ per 1,000 requests"), bands)
    for row in rows:
        pays = f"; {_break_even(row)}" if row.break_even else ""
        console.line(f"  {row.title}: {moved(row)}{pays}")
        if row.note:
            console.line(f"  {row.title}: {row.note}")


def moved(row: Estimate) -> str:
    """What moves the three-year cost most, each figure alone."""
    named = [f"{WORDS.get(swing.name) or swing.name.replace('_', ' ')} ({_ends(swing)})" for swing in row.swings]
    return (
        f"three-year cost depends most on {'; '.join(named)}"
        if named
        else "no figure changes the three-year cost by 1%"
    )


def _ends(swing: Swing) -> str:
    low, high = sorted((swing.at_low, swing.at_high))
    return f"$ {_number(low)} to {_number(high)}"


def _break_even(row: Estimate) -> str:
    """From which volume it pays, in words."""
    band = row.break_even
    assert band is not None
    if math.isinf(band.low):
        return f"never cheaper than {row.against}, at any volume"
    if band.high == 0:
        return f"cheaper than {row.against} from the first request"
    low, typical, high = (_volume(bound) for bound in band)
    if math.isinf(band.high):
        if math.isinf(band.typical):
            return f"cheaper than {row.against} from at least {low} requests per month, perhaps never"
        about = f"about {typical} requests per month (at least {low}, perhaps never)"
        return f"cheaper than {row.against} from {about}"
    return f"cheaper than {row.against} from about {typical} requests per month [{low}, {high}]"


def _volume(requests: float) -> str:
    """To two figures: the bands are far wider."""
    return f"{float(f'{requests:.2g}'):,.0f}"
