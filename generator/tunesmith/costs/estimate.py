"""What each approach would cost, how fast it would answer and what it takes, before anything is built."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith import catalog
from tunesmith.costing import monte_carlo, tco_routes
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costing.tco_routes import MONTHS, Bill, Values
from tunesmith.costs.cost_inputs import Figures
from tunesmith.planner.plan import Plan

BREAK_EVEN_DRAWS = 150
SWINGS = 3  # figures named as moving a cost most
MOVES = 0.01  # share of the cost below which a figure moves nothing

Derive = Callable[[Values], dict[str, float]]


@dataclass(frozen=True)
class Approach:
    """One way to do it: how its bill comes about. ``derive`` works out tokens and seconds of a case."""

    key: str
    title: str
    kind: str  # a row of the tree's approaches: what it needs
    derive: Derive
    route: tco_routes.Route
    latency: Callable[[Values], float]
    note: str = ""

    def case(self, values: Values) -> dict[str, float]:
        """The case with this approach's tokens and seconds."""
        return {**values, **self.derive(values)}

    def bill(self, values: Values) -> Bill:
        """The bill of one case."""
        return self.route(self.case(values))


@dataclass(frozen=True)
class Estimate:
    """Bands are the 5th, 50th and 95th percentile of the drawn cases. ``break_even`` in requests a month, over three
    years against ``against``; infinite bounds mean never. ``swings``: the figures that move the three-year cost most.
    """

    key: str
    title: str
    quality: str
    once_usd: Band
    monthly_usd: Band
    per_1000_usd: Band
    three_years_usd: Band
    latency_seconds: Band
    days: Band
    data: str
    sources: tuple[str, ...]
    swings: tuple[monte_carlo.Swing, ...]
    note: str = ""
    against: str = ""
    break_even: Band | None = None


def estimates(answers: Mapping[str, Any], found: Figures, made: Plan) -> list[Estimate]:
    """Every approach that applies, the simplest first."""
    cases = monte_carlo.draws(found.bands)
    listed = list(approaches(answers, found, made))
    against = next((one for one in listed if one.key == "retrieval"), listed[1])
    rows = [_estimate(one, cases, against, found) for one in listed]
    none = Band(math.inf, math.inf, math.inf)  # without requests nothing can be divided by their number
    return rows if answers["monthly_requests"] else [replace(row, per_1000_usd=none) for row in rows]


def owned(answers: Mapping[str, Any], found: Figures, made: Plan) -> list[Estimate]:
    """The ways to run the approach that the spec chose: in a cloud, on a machine of one's own, at a service.

    An approach that trains nothing has the spec's own model beside the hosted one.
    """
    retrieves = answers["approach"] in ("rag", "rag_finetune")
    chosen = {**answers, "knowledge_changes": retrieves, "needs_citations": False, "behaviour_gap": True}
    wanted = "tuned" if made.trains else "retrieval" if retrieves else ""
    rows = estimates(chosen, found, made)
    if not made.trains and answers["data_may_leave"]:
        here = estimates({**chosen, "data_may_leave": False}, found, made)
        rows += [replace(row, key=f"{row.key}_own") for row in here if not row.key.startswith("tuned")]
    return [row for row in rows if row.key.startswith((wanted,) if wanted else ("prompt", "few_shot"))]


def approaches(answers: Mapping[str, Any], found: Figures, made: Plan) -> Iterator[Approach]:
    """What applies to these answers: hosted only where data may leave, retrieval only where something is looked up."""
    may_leave = answers["data_may_leave"]
    looked_up = answers["knowledge_changes"] or answers["needs_citations"]
    where = (
        f"hosted {answers['hosted_model']}" if may_leave else f"own {answers['model']} on a rented {made.machine.title}"
    )
    note = "" if may_leave or made.evaluation_fits else _too_large(made, "answering the benchmark")
    prompted = (tco_routes.hosted_api, hosted_latency) if may_leave else (untrained(tco_routes.rented), own_latency)
    bare, with_examples = _tokens("instructions"), _tokens("instructions", shots=True)
    yield Approach("prompt", f"Prompt, {where}", "prompting", bare, *prompted, note)
    yield Approach("few_shot", f"Few-shot prompt, {where}", "prompting", with_examples, *prompted, note)
    if looked_up:
        with_index = (tco_routes.retrieval_api, hosted_latency) if may_leave else prompted
        tokens = _tokens("instructions", passages=True)
        yield Approach("retrieval", f"Retrieval, {where}", "rag", tokens, *with_index, note)
    yield from _tuned(answers, found, made, passages=looked_up and answers["behaviour_gap"])


def _tuned(answers: Mapping[str, Any], found: Figures, made: Plan, *, passages: bool) -> Iterator[Approach]:
    kind = "rag_finetune" if passages else "finetune"
    tokens = _tokens("short_instructions", passages=passages)
    name = f"{answers['model']} tuned" + (" and retrieval" if passages else "")
    machine = made.machine.title
    notes = [] if passages or not answers["knowledge_changes"] else ["tuning does not teach facts that change"]
    notes += [] if made.fits else [_too_large(made, _unfit(made))]
    note = "; ".join(notes)
    yield Approach("tuned", f"{name}, rented {machine}", kind, tokens, tco_routes.rented, own_latency, note)
    if "purchase_usd" in found.bands:
        yield Approach("tuned_on_prem", f"{name}, own {machine}", kind, tokens, tco_routes.on_prem, own_latency, note)
    if answers["data_may_leave"] and made.model.shape.parameters <= _largest_hosted():
        title = f"{name}, hosted service"
        yield Approach("tuned_hosted", title, kind, tokens, tco_routes.hosted_tuned, endpoint_latency, note)


def _too_large(made: Plan, what: str) -> str:
    return f"{what} does not fit on {made.machine.title}; see `tunesmith plan`"


def _unfit(made: Plan) -> str:
    return "training" if not made.training_fits else "answering the benchmark"


def _largest_hosted() -> float:
    return float(catalog.table("prices.yaml")["hosted_tuning"]["largest_parameters"])


def _tokens(instructions: str, *, shots: bool = False, passages: bool = False) -> Derive:
    """Tokens of a prompt, and the seconds that a machine spends on a request when it answers many at a time."""

    def derive(v: Values) -> dict[str, float]:
        prompt = v[instructions] + v["request_tokens"]
        prompt += v["shots"] * (v["request_tokens"] + v["answer_tokens"]) if shots else 0.0
        prompt += v["passages"] if passages else 0.0
        seconds = {
            f"{where}seconds_per_request": prompt * v[f"{where}prompt_token"]
            + v["answer_tokens"] * v[f"{where}answer_token_batched"]
            for where in ("", "endpoint_")
        }
        return {"prompt_tokens": prompt, **seconds}

    return derive


def untrained(route: tco_routes.Route) -> tco_routes.Route:
    """The same machine without training: a prompted model of one's own."""
    return lambda v: route({**v, "training_hours": 0.0})


def hosted_latency(v: Values) -> float:
    """Seconds until a hosted model has answered."""
    return v["hosted_first_token_seconds"] + v["answer_tokens"] / v["hosted_tokens_per_second"]


def own_latency(v: Values) -> float:
    """Seconds until one's own machine has answered a request that it has to itself."""
    return v["prompt_tokens"] * v["prompt_token"] + v["answer_tokens"] * v["answer_token"]


def endpoint_latency(v: Values) -> float:
    """Seconds until a service's endpoint has answered: the network's first token, then its device."""
    device = v["prompt_tokens"] * v["endpoint_prompt_token"] + v["answer_tokens"] * v["endpoint_answer_token"]
    return v["hosted_first_token_seconds"] / 2 + device


def _estimate(one: Approach, cases: list[dict[str, float]], against: Approach, found: Figures) -> Estimate:
    full = [one.case(values) for values in cases]
    bills = [one.route(values) for values in full]
    monthly = [sum(bill.monthly.values()) for bill in bills]
    needs = catalog.decision_tree()["approaches"][one.kind]
    tuned = one.key.startswith("tuned")
    return Estimate(
        key=one.key,
        title=one.title,
        once_usd=monte_carlo.interval([sum(bill.once.values()) for bill in bills]),
        monthly_usd=monte_carlo.interval(monthly),
        per_1000_usd=monte_carlo.interval([usd / v["requests"] * 1000 for usd, v in zip(monthly, cases, strict=True)]),
        three_years_usd=monte_carlo.interval([bill.over(MONTHS) for bill in bills]),
        latency_seconds=monte_carlo.interval([one.latency(values) for values in full]),
        days=Band(**needs["days"]),
        data=needs["data"],
        quality=needs["quality"],
        swings=tuple(swing for swing in tornado(one, found)[:SWINGS] if _moves(swing)),
        sources=_sources(one, found),
        note=one.note,
        against=against.title if tuned else "",
        break_even=_break_even(one, against, cases[:BREAK_EVEN_DRAWS]) if tuned else None,
    )


def _moves(swing: monte_carlo.Swing) -> bool:
    return swing.width > MOVES * max(swing.at_low, swing.at_high)


def _break_even(own: Approach, other: Approach, cases: list[dict[str, float]]) -> Band:
    return monte_carlo.interval([tco_routes.break_even_volume(own.bill, other.bill, values) for values in cases])


def _sources(one: Approach, found: Figures) -> tuple[str, ...]:
    """Where the figures come from that this approach reads."""
    read: set[str] = set()

    class Reads(dict[str, float]):
        def __getitem__(self, name: str) -> float:
            read.add(name)
            return super().__getitem__(name)

    values = Reads(monte_carlo.typical(found.bands))
    case = Reads({**dict(values), **one.derive(values)})
    one.route(case)
    one.latency(case)
    named = dict.fromkeys(f"{name}: {source}" for name, source in found.sources.items() if name in read)
    return (*named, "days of work, quality: judgement, for one experienced person")


def tornado(one: Approach, found: Figures) -> list[monte_carlo.Swing]:
    """What each figure does to the three-year cost of one approach, the widest first."""
    return monte_carlo.tornado(lambda values: one.bill(values).over(MONTHS), found.bands)


def never(band: Band | None) -> bool:
    """Whether no drawn case ever breaks even, as far as the interval tells."""
    return band is not None and math.isinf(band.low)
