"""What a service costs to own, by route: a hosted model, a hosted tuned model, a rented machine, a machine of your own.

Pure arithmetic on named numbers (the generator imports this same file as ``tunesmith.costing.tco_routes``). A route
takes the values of one case and returns its bill; `monte_carlo` draws the cases. All money is in US dollars.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

HOURS_A_MONTH = 730.0
YEARS = 3
MONTHS = 12 * YEARS
Values: TypeAlias = Mapping[str, float]


class Bill(NamedTuple):
    """Dollars by item: paid ``once`` before the first request, and every month."""

    once: dict[str, float]
    monthly: dict[str, float]

    def over(self, months: float) -> float:
        """Everything that is paid in so many months."""
        return sum(self.once.values()) + months * sum(self.monthly.values())


Route: TypeAlias = Callable[[Values], Bill]


def hosted_api(v: Values) -> Bill:
    """A hosted model with a prompt: ``requests`` a month times tokens times ``api_usd_per_million_*``."""
    prompt = v["prompt_tokens"] * v["api_usd_per_million_input"]
    answer = v["answer_tokens"] * v["api_usd_per_million_output"]
    return Bill({}, {"inference": v["requests"] * ((prompt + answer) / 1e6)})


def retrieval_api(v: Values) -> Bill:
    """A hosted model whose prompt carries passages: `hosted_api` plus an index that is kept in storage."""
    bill = hosted_api(v)
    return Bill({}, bill.monthly | {"storage": v["index_gb"] * v["usd_per_gb_month"]})


def hosted_tuned(v: Values) -> Bill:
    """Trained at a service by ``training_tokens``, served by endpoints paid by the hour, day and night."""
    training = v["training_tokens"] / 1e6 * v["usd_per_million_training"]
    hours = busy_machines(v, v["endpoint_seconds_per_request"]) * HOURS_A_MONTH
    monthly = {"inference": hours * v["endpoint_usd_per_hour"], "re-training": _again(v, training)}
    return Bill({"training": training}, monthly)


def rented(v: Values) -> Bill:
    """Tuned and served on machines rented by the hour: one always on, more as the load asks for them."""
    training = v["training_hours"] * v["usd_per_hour"]
    hours = busy_machines(v, v["seconds_per_request"]) * HOURS_A_MONTH
    egress = v["requests"] * v["answer_tokens"] * 4 / 1e9 * v["egress_usd_per_gb"]  # four bytes a token
    monthly = {"inference": hours * v["usd_per_hour"], "re-training": _again(v, training)}
    return Bill({"training": training}, monthly | _kept(v) | {"egress": egress})


def on_prem(v: Values) -> Bill:
    """Tuned and served on machines of your own, written off over ``life_years``; trained when they are idle.

    A machine draws its ``watts`` for the share of the month that it is busy and a third of them otherwise, times
    ``pue`` for the building.
    """
    machines = math.ceil(busy_machines(v, v["seconds_per_request"]))
    server = v["purchase_usd"] * v["server_factor"]
    kilowatts = v["watts"] / 1000
    answering = v["requests"] * v["seconds_per_request"] / 3600
    idle = max(machines * HOURS_A_MONTH - answering, 0.0)
    power = kilowatts * v["pue"] * v["electricity_usd_per_kwh"]
    training = v["training_hours"] * power
    monthly = {
        "machines, written off": machines * server / (12 * v["life_years"]),
        "power": power * (answering + idle / 3),
        "hosting": machines * kilowatts * v["hosting_usd_per_kw_month"],
        "re-training": _again(v, training),
    }
    return Bill({"training": training}, monthly | _kept(v))


def busy_machines(v: Values, seconds_per_request: float) -> float:
    """Machines that the load keeps busy for ``utilisation`` of the time; never less than the one that waits.

    Raises:
        ValueError: utilisation is not above 0 and at most 1.
    """
    if not 0 < v["utilisation"] <= 1:
        raise ValueError(f"utilisation must be above 0 and at most 1, not {v['utilisation']}")
    return max(1.0, v["requests"] * seconds_per_request / (3600 * HOURS_A_MONTH * v["utilisation"]))


def break_even_volume(own: Route, other: Route, v: Values, most: float = 1e10) -> float:
    """Requests a month from which ``own`` costs no more than ``other`` over three years; infinite if never.

    What is paid once counts with its share of 36 months. Searched up to ``most`` requests per month, by halving the
    exponent first: both costs rise with the volume, so the first crossing is found to 1%.
    """

    def dearer(volume: float) -> bool:
        case = {**v, "requests": volume}
        return own(case).over(MONTHS) > other(case).over(MONTHS)

    steps = [10 ** (power / 4) for power in range(int(4 * math.log10(most)) + 1)]
    reached = next((index for index, volume in enumerate(steps) if not dearer(volume)), None)
    if reached is None:
        return math.inf
    if reached == 0:
        return 0.0
    low, high = steps[reached - 1], steps[reached]
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if dearer(middle) else (low, middle)
    return high


def _again(v: Values, training: float) -> float:
    return training * v["retrainings_per_year"] / 12


def _kept(v: Values) -> dict[str, float]:
    """Storage of weights, adapters and data, and the people who look after the service."""
    kept = {"storage": v["storage_gb"] * v["usd_per_gb_month"]}
    return kept | ({"staff": v["staff_usd_per_month"]} if v["staff_usd_per_month"] else {})
