"""What is recorded of the estimate when a project is generated; its report sets it beside what was measured."""

import datetime as dt
import json
import os
from collections.abc import Mapping

from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costing.monte_carlo import draws, interval
from tunesmith.costs import cost_inputs, prices
from tunesmith.costs.decision_costs import decision_costs
from tunesmith.planner import throughput
from tunesmith.planner.plan import Plan


def record(made: Plan) -> str:
    """The day, the plan's figures (bands by the names that the project's cost stage measures under) and costs, as JSON.

    No price of the user's own is among them, so that the same spec gives the same figures everywhere.
    """
    found = cost_inputs.Figures()
    cost_inputs.traffic(found, made.answers)
    cost_inputs.device(found, made)
    planned = {**_tokens(found.bands), **_training(made), **_answering(found.bands)}
    figures_by_name = {name: _rounded(band) for name, band in planned.items()}
    recorded = {"hardware": made.machine.key, "figures": figures_by_name, "costs": decision_costs(made)}
    return json.dumps({"date": _today(), **recorded})


def _today() -> str:
    """The day in UTC, or that of SOURCE_DATE_EPOCH, with which reproducible builds fix the time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    day = dt.datetime.fromtimestamp(int(epoch), dt.UTC) if epoch.isdigit() else dt.datetime.now(dt.UTC)
    return day.date().isoformat()


def own_machine(made: Plan) -> str:
    """A machine of the user's own as JSON: its figures, and its rows of the user's price list. Empty for any other."""
    machine, key = made.machine, made.machine.key
    if not made.catalogue.is_own(key):
        return ""
    listed = prices.load(made.catalogue)
    unknown = {"usd_per_hour": None, "source": "no price known", "date": ""}
    price = {**listed["hardware"].get(key, unknown), "title": machine.title}
    figures_of_it = {name: value for name, value in vars(machine).items() if name != "key"}
    described = {"key": key, "figures": figures_of_it, "price": price}
    if device := listed["on_prem"]["devices"].get(key):
        described["device"] = device
    return json.dumps(described, default=str)


def _tokens(bands: Mapping[str, Band]) -> dict[str, Band]:
    """Of the prompts of each arm, and of an answer."""
    request, answer, shots = bands["request_tokens"], bands["answer_tokens"], bands["shots"].typical
    plain = [words + asked for words, asked in zip(bands["instructions"], request, strict=True)]
    tuned = [words + asked for words, asked in zip(bands["short_instructions"], request, strict=True)]
    shown = [words + shots * (request + answer) for words, request, answer in zip(plain, request, answer, strict=True)]
    return {
        "prompt_tokens/zero_shot": Band(*plain),
        "prompt_tokens/few_shot": Band(*shown),
        "prompt_tokens/tuned": Band(*tuned),
        "answer_tokens": answer,
    }


def _training(made: Plan) -> dict[str, Band]:
    """Seconds, speed and peak memory of the planned run."""
    known, pace, memory = throughput.constants(), made.time.tokens_per_second, made.memory
    return {
        "training_seconds": Band(made.time.low, made.time.typical, made.time.high),
        "training_tokens_per_second": Band(pace * known.low, pace, pace * known.high),
        "peak_memory_gib": Band(memory.low, memory.typical, memory.high),
    }


def _answering(bands: Mapping[str, Band]) -> dict[str, Band]:
    """Seconds of the tuned arm: alone, and of machine time in a batch."""
    cases = draws(bands)
    prompts = [case["short_instructions"] + case["request_tokens"] for case in cases]

    def seconds(per_token: str) -> Band:
        return interval(
            [
                prompt * case["prompt_token"] + case["answer_tokens"] * case[per_token]
                for prompt, case in zip(prompts, cases, strict=True)
            ]
        )

    return {"latency_seconds": seconds("answer_token"), "seconds_per_request": seconds("answer_token_batched")}


def _rounded(band: Band) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in band._asdict().items()}
