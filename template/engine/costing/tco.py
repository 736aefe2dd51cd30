"""What the service would cost to own, by route, from measured tokens and seconds; part of stage `cost`.

Each route is a bill over three years. Bands are the 5th, 50th and 95th percentile of seeded draws over prices, volume,
utilisation and the measured times.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from engine.core.artifacts import MODELS
from engine.costing import monte_carlo, price_list, tco_routes
from engine.costing.cost_arithmetic import Band, measured
from engine.costing.results import FigureSwing, Ownership, RouteCost, Tornado, as_range
from engine.costing.tco_routes import MONTHS, Bill, Route
from engine.inference.results import Work
from engine.models.run_record import RunRecord
from engine.settings.cost import CostSettings

TIMING_ERROR = 0.2  # seconds of the same work on the same machine vary by about this from run to run
VOLUME = Band(0.5, 1.0, 2.0)  # of the volume in params.yaml: nobody knows it three years ahead
UTILISATION = Band(0.6, 1.0, 1.4)  # of the one in params.yaml
TORNADO_BARS = 8
BREAK_EVEN_DRAWS = 200
KEPT = Band(1, 2, 4)  # copies of the weights: versions and backups


class Option(NamedTuple):
    """A way to run the service: its route, the arm whose tokens it pays for, and figures of its own."""

    title: str
    route: Route
    arm: str
    bands: Mapping[str, Band]


class Study(NamedTuple):
    """What was measured."""

    arms: Mapping[str, Work]
    best: str  # the best arm without training
    tuned: str | None  # the tuned arm, if there is one
    training: RunRecord | None


class Priced(NamedTuple):
    """The figures that all options share, and where the priced ones come from."""

    bands: dict[str, Band]
    sources: dict[str, str]


def total_cost(prices: Mapping[str, Any], cost: CostSettings, study: Study) -> Ownership:
    """Every route that can be priced, the break-even against the hosted model, and what moves the cost most.

    Raises:
        PriceError: a figure of the price list cannot be read.
    """
    shared = _shared(prices, cost, study.training)
    options = list(_options(prices, cost, study))
    hosted = next((option for option in options if option.route is tco_routes.hosted_api), None)
    rows = {option.title: _row(option, shared, hosted) for option in options}
    main = next((option for option in options if option.route is tco_routes.rented), None)
    swings = _tornado(main, shared) if main else []
    tornado = Tornado(of=main.title if main else None, swings=swings)
    return Ownership(years=tco_routes.YEARS, routes=rows, tornado=tornado, sources=shared.sources)


def _shared(prices: Mapping[str, Any], cost: CostSettings, training: RunRecord | None) -> Priced:
    exact = {
        "retrainings_per_year": cost.retrainings_per_year if training else 0.0,
        "staff_usd_per_month": cost.staff_usd_per_month,
    }
    bands = {name: Band(value, value, value) for name, value in exact.items()}
    bands["requests"] = VOLUME.times(cost.monthly_requests)
    bands["utilisation"] = Band(*(min(1.0, cost.utilisation * share) for share in UTILISATION))
    bands["training_hours"] = measured(training.device_seconds / 3600 if training else 0.0, TIMING_ERROR)
    bands["storage_gb"] = KEPT.times(_gigabytes(MODELS))
    priced = {"usd_per_hour": price_list.machine(prices, cost.hardware, "cost.hardware")}
    for name in ("usd_per_gb_month", "egress_usd_per_gb"):
        priced[name] = price_list.single(prices["storage"][name], f"storage.{name}")
    device = prices["on_prem"]["devices"].get(cost.hardware)
    if device:
        bands["watts"] = Band(*[float(device["watts"])] * 3)
        priced["purchase_usd"] = price_list.figure(device, "purchase_usd", f"on_prem.devices.{cost.hardware}")
        for name in ("server_factor", "electricity_usd_per_kwh", "pue", "hosting_usd_per_kw_month", "life_years"):
            priced[name] = price_list.single(prices["on_prem"][name], f"on_prem.{name}")
    bands |= {name: figure.amount for name, figure in priced.items() if figure.amount}
    sources = {name: f"{figure.source}, {figure.date or 'undated'}" for name, figure in priced.items() if figure.amount}
    return Priced(bands, sources)


def _options(prices: Mapping[str, Any], cost: CostSettings, study: Study) -> Iterator[Option]:
    """Rented and own machines serve the tuned arm, or without one the best prompt; hosted ones take its tokens."""
    arms, best, tuned, training = study
    served = tuned or best
    own = _measured(arms[served])
    if cost.hosted_model in prices["hosted"]:
        row = price_list.row(prices, "hosted", cost.hosted_model, "cost.hosted_model")
        rates = {
            f"api_usd_per_million_{side}": price_list.figure(row, f"usd_per_million_{side}", "hosted").amount
            for side in ("input", "output")
        }
        bands = _measured(arms[best]) | {name: band for name, band in rates.items() if band}
        yield Option(f"{best} at {row['title']}", tco_routes.hosted_api, best, bands)
    if price_list.machine(prices, cost.hardware, "cost.hardware").amount:
        yield Option(f"{served}, rented machine", tco_routes.rented, served, own)
    if cost.hardware in prices["on_prem"]["devices"]:
        yield Option(f"{served}, own machine", tco_routes.on_prem, served, own)
    if tuned and training:
        yield Option(f"{tuned}, tuning service", tco_routes.hosted_tuned, tuned, own | _service(prices, training))


def _measured(work: Work) -> dict[str, Band]:
    """Tokens and machine time of one request, as the benchmark measured them."""
    counts = work.prompt_tokens, work.completion_tokens  # a model of this machine counts both
    prompt, answer = (tokens / work.items for tokens in counts if tokens is not None)
    return {
        "prompt_tokens": Band(prompt, prompt, prompt),
        "answer_tokens": Band(answer, answer, answer),
        "seconds_per_request": measured(work.seconds / work.items, TIMING_ERROR),
    }


def _service(prices: Mapping[str, Any], training: RunRecord) -> dict[str, Band]:
    """A tuning service: the measured training tokens at its price, and one endpoint (its speed was not measured)."""
    table, tokens = prices["hosted_tuning"], float(training.tokens)
    found = {"training_tokens": Band(tokens, tokens, tokens), "endpoint_seconds_per_request": Band(0, 0, 0)}
    for name, key, unit in (
        ("usd_per_million_training", "training", "usd_per_million"),
        ("endpoint_usd_per_hour", "endpoint", "usd_per_hour"),
    ):
        figure = price_list.spread(table[key], unit, f"hosted_tuning.{key}", str(table["title"]))
        found |= {name: figure.amount} if figure.amount else {}
    return found


def _row(option: Option, shared: Priced, hosted: Option | None) -> RouteCost:
    """Bands of one route, its items in the typical case, and its break-even with the hosted model."""
    bands = shared.bands | dict(option.bands)
    steady = bands | {"requests": Band(*[bands["requests"].typical] * 3)}
    bills = [option.route(case) for case in monte_carlo.draws(bands)]
    typical = option.route(monte_carlo.typical(bands))
    months = [sum(option.route(case).monthly.values()) for case in monte_carlo.draws(steady)]
    even = None
    if hosted and hosted is not option:
        even = as_range(monte_carlo.interval(_break_even(option, hosted, shared)))
    return RouteCost(
        arm=option.arm,
        once=_rounded(typical.once),
        monthly=_rounded(typical.monthly),
        usd_per_month=as_range(monte_carlo.interval(months)),
        usd_three_years=as_range(monte_carlo.interval([bill.over(MONTHS) for bill in bills])),
        break_even=even,
    )


def _break_even(option: Option, hosted: Option, shared: Priced) -> list[float]:
    """Requests a month from which the route costs no more than the hosted model, one for each drawn case."""
    cases = monte_carlo.draws(shared.bands, BREAK_EVEN_DRAWS)
    own = monte_carlo.draws(option.bands, BREAK_EVEN_DRAWS)
    other = monte_carlo.draws(hosted.bands, BREAK_EVEN_DRAWS)

    def volume(case: dict[str, float], mine: dict[str, float], theirs: dict[str, float]) -> float:
        def with_own(values: tco_routes.Values) -> Bill:
            return option.route({**values, **mine})

        def with_theirs(values: tco_routes.Values) -> Bill:
            return hosted.route({**values, **theirs})

        return tco_routes.break_even_volume(with_own, with_theirs, case)

    return [volume(*drawn) for drawn in zip(cases, own, other, strict=True)]


def _tornado(option: Option, shared: Priced) -> list[FigureSwing]:
    """What single figures do to the three-year cost, the widest swings first."""
    bands = shared.bands | dict(option.bands)
    swings = monte_carlo.tornado(lambda values: option.route(values).over(MONTHS), bands)[:TORNADO_BARS]
    return [
        FigureSwing(
            figure=swing.name,
            low=bands[swing.name].low,
            high=bands[swing.name].high,
            usd_at_low=round(swing.at_low, 2),
            usd_at_high=round(swing.at_high, 2),
        )
        for swing in swings
    ]


def _rounded(items: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{usd:.4g}") for name, usd in items.items()}


def _gigabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
