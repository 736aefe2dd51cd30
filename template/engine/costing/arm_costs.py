"""Stage `cost`: what each arm costs to run, what training cost, and after how many requests it pays for itself.

Measured tokens and seconds times the prices in ``prices.yaml``. Tokens are the same on every run and make the DVC
out; seconds and so dollars are not.
"""

import datetime
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import yaml

from engine.core.artifacts import PRICES
from engine.core.display import ENDPOINT, in_order, usd_band
from engine.core.errors import ProjectError
from engine.costing import price_list
from engine.costing.cost_arithmetic import (
    Band,
    break_even_requests,
    hosted_usd_per_1000_requests,
    hours_per_request,
    measured,
    monthly_usd,
    training_usd,
    usd_per_1000_requests,
)
from engine.costing.price_list import Figure, PriceError
from engine.costing.results import ArmCost, BreakEven, CostReport, Hosted, TrainingCost, Usage, as_range
from engine.costing.tco import TIMING_ERROR
from engine.costing.training_run import of_another_run
from engine.inference.results import Measurement, Work
from engine.models.run_record import RunRecord
from engine.settings.cost import CostParams, CostSettings

HOSTED_SIDES = ("input", "output")
ASSUMPTIONS = [
    f"seconds are one measurement on this machine, taken as ±{TIMING_ERROR:.0%}",
    "a request costs the machine's time at the batch size of the benchmark; storage, network, staff and the hours in "
    "which a machine waits are in the total cost of ownership",
    "training is paid once; every retraining pays it again",
]


def read_price(key: str, path: Path = PRICES) -> Figure:
    """A machine's dollars per hour.

    Raises:
        ProjectError: no such row, or one that cannot be read.
    """
    with readable_prices(path):
        return price_list.machine(read_prices(path), key, f"params.yaml: cost.hardware: {path}")


def read_prices(path: Path = PRICES) -> dict[str, Any]:
    """The price list. Raises `ProjectError` if it is missing or not YAML."""
    try:
        return yaml.safe_load(path.read_text("utf-8")) or {}
    except FileNotFoundError:
        raise ProjectError("the price list is missing", str(path), "restore it from git") from None
    except yaml.YAMLError as error:
        raise ProjectError(f"not valid YAML: {error}", str(path)) from None


@contextmanager
def readable_prices(path: Path = PRICES) -> Iterator[None]:
    """Names the price list in the error for a figure of it that cannot be read."""
    try:
        yield
    except PriceError as error:
        raise ProjectError(error.what, f"{path}: {error.where}", error.fix) from None


def seconds_per_request(work: Work) -> Band:
    """Machine time of one request, batched as in the benchmark."""
    return measured(work.seconds / work.items, TIMING_ERROR)


def usage(work: Work) -> Usage:
    """Mean tokens of one request and its answer."""
    prompt, completion = work.prompt_tokens, work.completion_tokens
    return Usage(
        prompt_tokens_per_request=None if prompt is None else round(prompt / work.items, 1),
        completion_tokens_per_request=None if completion is None else round(completion / work.items, 1),
    )


def usd_per_1000(arm: str, work: Work, price: Band | None, cost: CostSettings) -> Band | None:
    """Dollars for 1,000 requests: machine time at the machine's price; for an endpoint, tokens at the hosted one's."""
    if arm.startswith(ENDPOINT):
        rates = hosted_rates(cost.hosted_model)
        return rates and hosted_usd(work, *rates)
    return price and usd_per_1000_requests(seconds_per_request(work), price, cost.utilisation)


def arm_cost(arm: str, measure: Measurement, price: Band | None, cost: CostSettings) -> ArmCost:
    """Tokens, latency and dollars of one arm."""
    per_1000 = usd_per_1000(arm, measure, price, cost)
    return ArmCost(
        **msgspec.structs.asdict(usage(measure)),
        seconds_per_request=round(measure.seconds / measure.items, 4),
        latency_seconds=measure.latency_seconds,
        usd_per_1000_requests=per_1000 and as_range(per_1000),
        usd_per_month=per_1000 and as_range(monthly_usd(per_1000, cost.monthly_requests)),
    )


def hosted_cost(arms: Mapping[str, Work]) -> dict[str, Hosted]:
    """Dollars for 1,000 of the same requests to each hosted model of the price list, if it has any."""
    prices = {}
    for key, row in (read_prices().get("hosted") or {}).items():
        rates = hosted_rates(key)
        if rates is None:
            continue
        prices[key] = Hosted(
            title=row.get("title", key),
            source=row.get("source"),
            date=str(row.get("date") or "") or None,
            arms={arm: (usd := hosted_usd(work, *rates)) and as_range(usd) for arm, work in arms.items()},
        )
    return prices


def hosted_rates(key: str) -> tuple[Band, Band] | None:
    """A hosted model's dollars for a million tokens in and out; None if the price list does not tell."""
    row = (read_prices().get("hosted") or {}).get(key)
    if row is None:
        return None
    with readable_prices():
        rates = [price_list.figure(row, f"usd_per_million_{side}", f"hosted.{key}").amount for side in HOSTED_SIDES]
    return None if rates[0] is None or rates[1] is None else (rates[0], rates[1])


def hosted_usd(work: Work, into: Band, out: Band) -> Band | None:
    """Dollars for 1,000 of an arm's requests at prices by the token; None if its tokens are not known."""
    if work.prompt_tokens is None or work.completion_tokens is None:
        return None
    prompt, completion = work.prompt_tokens / work.items, work.completion_tokens / work.items
    return hosted_usd_per_1000_requests(prompt, completion, into, out)


def training_cost(training: RunRecord, price: Band | None) -> TrainingCost:
    """Seconds and dollars of the training run."""
    usd = price and as_range(training_usd(measured(training.device_seconds, TIMING_ERROR), price))
    return TrainingCost(seconds=training.seconds, steps=training.steps, usd=usd)


def break_even(
    best: str, tuned: str, arms: Mapping[str, Work], training: RunRecord, price: Band | None, cost: CostSettings
) -> BreakEven:
    """Requests after which training is paid for by cheaper answers than the best arm without training gives.

    In hours of the same machine, so the price cancels: what stays uncertain is the measured time. Against an endpoint,
    which is paid by the token, in dollars.
    """
    fixed = measured(training.device_seconds, TIMING_ERROR).times(1 / 3600)
    if best.startswith(ENDPOINT):
        dollars = {arm: usd_per_1000(arm, arms[arm], price, cost) for arm in (best, tuned)}
        known = dollars[best], dollars[tuned]
        if known[0] is None or known[1] is None or price is None:
            return BreakEven(against=best, requests="unknown", reason="one of the two prices is unknown")
        requests = break_even_requests(fixed.times(price), known[0].minus(known[1]).times(1 / 1000))
        unit = "costs as much as"
    else:
        hours = {arm: hours_per_request(seconds_per_request(arms[arm]), cost.utilisation) for arm in (best, tuned)}
        requests = break_even_requests(fixed, hours[best].minus(hours[tuned]))
        unit = "takes as much machine time as"
    if requests is None:
        return BreakEven(against=best, requests="never", reason=f"a tuned answer {unit} one of {best}, or more")
    if math.isinf(requests.high):
        reason = f"a tuned answer may not be cheaper than one of {best}: the figures are too close"
    else:
        months = Band(*(value / cost.monthly_requests for value in requests))
        reason = f"{months.low:.2g} to {months.high:.2g} months at {cost.monthly_requests:,} requests per month"
    whole = Band(*(value if math.isinf(value) else float(round(value)) for value in requests))
    return BreakEven(against=best, requests=as_range(whole), reason=reason)


def warnings(settings: CostParams, machine: Figure, training: RunRecord | None, arms: Mapping[str, Work]) -> list[str]:
    """Everything that makes the numbers less than they seem."""
    found = []
    if settings.smoke:
        found.append("a smoke run: these are the costs of a tiny random model")
    if machine.amount is None:
        found.append(
            f"no price is known for {machine.title}: set hardware.{settings.cost.hardware}.usd_per_hour in {PRICES}"
        )
    if training and settings.cost.hardware.startswith("cpu") != (training.device_kind == "cpu"):
        found.append(f"times were measured on {training.device} but priced as {machine.title}: they are not comparable")
    found += of_another_run(settings, training) if training else []
    if training and training.resumed:
        found.append("training was resumed: its seconds do not include the work that the killed process lost")
    for arm in in_order(arm for arm in arms if arm.startswith(ENDPOINT)):
        price = usd_per_1000(arm, arms[arm], None, settings.cost)
        told = f"priced by its tokens as {settings.cost.hosted_model}" if price else "of unknown cost"
        found.append(f"{arm} runs on another machine and is {told} (cost.hosted_model)")
    if settings.cost.hosted_model not in (read_prices().get("hosted") or {}):
        found.append(
            f"{PRICES} has no hosted model {settings.cost.hosted_model!r}: add it, or change cost.hosted_model"
        )
    today = datetime.date.today()
    if machine.old(today):
        age = machine.age_days(today)
        found.append(
            f"the price of {machine.title} is {'undated' if age is None else f'{age} days old'}: check {PRICES}"
        )
    return found


def summary(report: CostReport) -> str:
    """One line: dollars for 1,000 requests of each arm."""
    shown = ", ".join(f"{arm} {usd_band(report.arms[arm].usd_per_1000_requests)}" for arm in in_order(report.arms))
    return f"1,000 requests on {report.hardware.title}: {shown}"
