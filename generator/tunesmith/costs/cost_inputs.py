"""Turns a spec and the price list into the named bands that the routes of `tco_routes` take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.costing import price_list
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costing.price_list import Figure
from tunesmith.costs import prices, roofline
from tunesmith.planner.plan import Plan
from tunesmith.planner.plan_inputs import EITHER_WAY, instructions

PASSAGE_TOKENS = Band(200, 480, 1500)  # three passages of about 120 words
INDEX_GB = Band(0.01, 0.1, 2)
UTILISATION = Band(0.2, 0.5, 0.8)  # share of a paid hour that answers requests
ENDPOINT_DEVICE = "h100_sxm"  # what a tuning service serves on, for its speed


@dataclass
class Figures:
    """Bands by name, each with where it comes from; ``used`` are the priced ones, for the warning of staleness."""

    bands: dict[str, Band] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    used: dict[str, Figure] = field(default_factory=dict)

    def add(self, name: str, band: Band, source: str) -> None:
        """A figure that is no price."""
        self.bands[name] = band
        self.sources[name] = source

    def price(self, name: str, figure: Figure) -> None:
        """A figure of the price list. Raises `PriceError` if no price is known."""
        if figure.amount is None:
            raise prices.PriceError("no price is known", figure.title, "add it to your own price file")
        self.used[name] = figure
        self.add(name, figure.amount, f"{figure.source}, {figure.date or 'undated'}")


def of_plan(made: Plan, listed: Mapping[str, Any]) -> Figures:
    """Every figure that the estimate of a planned spec needs; ``listed`` is the price list.

    Raises:
        PriceError: a price is missing or cannot be read.
    """
    answers, found = made.answers, Figures()
    traffic(found, answers)
    _hosted(found, answers, listed)
    found.price("usd_per_hour", prices.machine(listed, answers["hardware"]))
    device(found, made)
    _kept(found, made, listed)
    return found


def traffic(found: Figures, answers: Mapping[str, Any]) -> None:
    """Requests and the tokens of their parts."""
    spec = "your spec"
    found.add("requests", Band(*[float(max(answers["monthly_requests"], 1))] * 3), spec)
    found.add("request_tokens", EITHER_WAY.times(answers["request_tokens"]), f"{spec}, -30% to +40%")
    found.add("answer_tokens", EITHER_WAY.times(answers["answer_tokens"]), f"{spec}, -30% to +40%")
    prompted = answers["prompted_system_prompt"]
    words = f"{spec}, a quarter token a character" if prompted else "a usual worked-out prompt, judgement"
    found.add("instructions", instructions(prompted), words)
    found.add("short_instructions", instructions(answers["system_prompt"]), f"{spec}, a quarter token a character")
    found.add("shots", Band(*[float(answers["shots"])] * 3), spec)
    found.add("passages", PASSAGE_TOKENS, "three passages of about 120 words, judgement")
    found.add("retrainings_per_year", Band(*[float(answers["retrainings_per_year"])] * 3), spec)


def _hosted(found: Figures, answers: Mapping[str, Any], listed: Mapping[str, Any]) -> None:
    for side, figure in zip(("input", "output"), prices.hosted(listed, answers["hosted_model"]), strict=True):
        found.price(f"api_usd_per_million_{side}", figure)
    for name in ("hosted_first_token_seconds", "hosted_tokens_per_second"):
        found.price(name, price_list.single(listed["speed"][name], f"speed.{name}"))
    found.price("usd_per_million_training", prices.tuning(listed, "training", "usd_per_million"))
    found.price("endpoint_usd_per_hour", prices.tuning(listed, "endpoint", "usd_per_hour"))


def device(found: Figures, made: Plan) -> None:
    """How fast the spec's machine, and that of a tuning service, trains and answers."""
    found.add("utilisation", UTILISATION, "judgement: the share of a paid hour that answers requests")
    for prefix, place in (("", made.machine), ("endpoint_", made.catalogue.hardware[ENDPOINT_DEVICE])):
        pace = roofline.of(made.model.shape.active_parameters, place)
        found.add(f"{prefix}prompt_token", pace.prompt_token, roofline.SOURCE)
        found.add(f"{prefix}answer_token", pace.answer_token, roofline.SOURCE)
        found.add(f"{prefix}answer_token_batched", pace.answer_token_batched, roofline.SOURCE)
    tokens, hours = made.tokens, made.hours
    found.add("training_tokens", Band(tokens.low, tokens.typical, tokens.high), f"the planner: {tokens.source}")
    found.add("training_hours", Band(hours.low, hours.typical, hours.high), "the planner (`tunesmith plan`)")


def _kept(found: Figures, made: Plan, listed: Mapping[str, Any]) -> None:
    weights = made.model.shape.parameters * roofline.BYTES_PER_PARAMETER / 1e9
    found.add("storage_gb", Band(weights, 2 * weights, 4 * weights), "16-bit weights, kept one to four times")
    answers = made.answers
    found.add("index_gb", INDEX_GB, "judgement")
    staff = float(answers["staff_usd_per_month"])
    found.add("staff_usd_per_month", Band(staff, staff, staff), "your spec")
    for name in ("usd_per_gb_month", "egress_usd_per_gb"):
        found.price(name, price_list.single(listed["storage"][name], f"storage.{name}"))
    bought = listed["on_prem"]["devices"].get(answers["hardware"])
    if bought is None:
        return
    where = f"on_prem.devices.{answers['hardware']}"
    found.price("purchase_usd", price_list.figure(bought, "purchase_usd", where))
    found.add("watts", Band(*[float(bought["watts"])] * 3), str(bought["source"]))
    for name in ("server_factor", "electricity_usd_per_kwh", "pue", "hosting_usd_per_kw_month", "life_years"):
        found.price(name, price_list.single(listed["on_prem"][name], f"on_prem.{name}"))
