"""The numbers beside the advice: what applies, what must be monotone, and that all of it comes offline and at once."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith import advice, advice_report, catalog
from tunesmith.costing import monte_carlo
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costs import cost_inputs, estimate, prices, roofline
from tunesmith.costs.estimate import Estimate
from tunesmith.planner import plan as planner
from tunesmith.planner.plan import Plan
from tunesmith.questions import defaults

TUNABLE = {"prompt_measured": True, "behaviour_gap": True, "good_examples": 1000, "model": "qwen3-1.7b"}
CATALOGUE = catalog.load()
LISTED = prices.load(CATALOGUE)


def plan(answers: dict[str, Any], pins: dict[str, Any]) -> Plan:
    return planner.plan(CATALOGUE, answers, pins, prices=prices.machines(LISTED))


def rows(**answers: Any) -> dict[str, Estimate]:
    filled = defaults() | TUNABLE | {"hardware": "l40s"} | answers
    made = plan(filled, {})
    found = estimate.estimates(filled, cost_inputs.of_plan(made, LISTED), made)
    return {row.key: row for row in found}


def test_every_approach_that_applies_is_priced() -> None:
    assert list(rows()) == ["prompt", "few_shot", "tuned", "tuned_on_prem", "tuned_hosted"]
    assert list(rows(needs_citations=True, behaviour_gap=False))[:3] == ["prompt", "few_shot", "retrieval"]


def test_nothing_hosted_where_data_may_not_leave() -> None:
    private = rows(data_may_leave=False, knowledge_changes=True)
    assert "tuned_hosted" not in private
    assert all("hosted" not in row.title for row in private.values())
    assert private["prompt"].once_usd == (0, 0, 0), "a prompted model of one's own is not trained"


def test_no_purchase_where_the_device_cannot_be_bought() -> None:
    assert "tuned_on_prem" not in rows(hardware="a10g")


@pytest.mark.parametrize("field", ["once_usd", "monthly_usd", "per_1000_usd", "latency_seconds", "days"])
def test_every_number_is_a_band_with_sources(field: str) -> None:
    for row in rows(knowledge_changes=True).values():
        band: Band = getattr(row, field)
        assert 0 <= band.low <= band.typical <= band.high
        assert row.data and row.sources and all(": " in source for source in row.sources)


def test_the_per_request_price_is_the_monthly_one_by_the_volume() -> None:
    row = rows(monthly_requests=250_000)["few_shot"]
    assert row.per_1000_usd.typical == pytest.approx(row.monthly_usd.typical / 250)


def test_a_few_shot_prompt_costs_its_shots() -> None:
    hosted = rows(shots=10, request_tokens=100, answer_tokens=50)
    extra = (hosted["few_shot"].monthly_usd.typical - hosted["prompt"].monthly_usd.typical) / 100_000
    assert extra == pytest.approx(10 * 150 * 0.4e-6, rel=0.15)  # tokens are known to -30% and +40%


def test_tuning_against_a_dear_model_pays_at_volume_and_against_a_cheap_one_never_on_a_slow_machine() -> None:
    pays = rows(hosted_model="gpt-4.1", hardware="a100_80gb")["tuned"].break_even
    assert pays and 0 < pays.low <= pays.typical <= pays.high < math.inf
    never = rows(hosted_model="gpt-5-nano", hardware="cpu", model="qwen3-8b")["tuned"].break_even
    assert estimate.never(never)


def test_what_tuning_is_set_against_is_retrieval_where_facts_are_looked_up() -> None:
    assert "Few-shot" in rows()["tuned"].against
    assert "Retrieval" in rows(knowledge_changes=True)["tuned"].against


def test_the_same_answers_give_the_same_bands() -> None:
    assert rows() == rows()


@settings(deadline=None, max_examples=50)
@given(volume=st.integers(1, 10**7), more=st.integers(1, 10**7))
def test_a_month_never_gets_cheaper_with_volume(volume: int, more: int) -> None:
    answers = defaults() | TUNABLE | {"hardware": "l40s", "knowledge_changes": True}
    made = plan(answers, {})
    found = cost_inputs.of_plan(made, LISTED)
    case = monte_carlo.typical(found.bands)
    for one in estimate.approaches(answers, found, made):
        small, large = (one.bill(case | {"requests": float(count)}) for count in (volume, volume + more))
        assert sum(small.monthly.values()) <= sum(large.monthly.values()) * (1 + 1e-9)


@settings(deadline=None)
@given(parameters=st.floats(1e8, 1e11), more=st.floats(1, 1e11), device=st.sampled_from(sorted(CATALOGUE.hardware)))
def test_a_larger_model_is_never_faster(parameters: float, more: float, device: str) -> None:
    machine = CATALOGUE.hardware[device]
    small, large = roofline.of(parameters, machine), roofline.of(parameters + more, machine)
    for slow, fast in ((large.prompt_token, small.prompt_token), (large.answer_token, small.answer_token)):
        assert all(a <= b for a, b in zip(fast, slow, strict=True))
    assert all(batched <= alone for batched, alone in zip(small.answer_token_batched, small.answer_token, strict=True))


def test_the_tornado_names_what_moves_the_cost() -> None:
    answers = defaults() | TUNABLE | {"hardware": "h100_sxm"}
    made = plan(answers, {})
    found = cost_inputs.of_plan(made, LISTED)
    tuned = next(one for one in estimate.approaches(answers, found, made) if one.key == "tuned")
    assert estimate.tornado(tuned, found)[0].name == "usd_per_hour"  # 2.69 to 12.29 dollars for the same device


def test_a_figure_that_moves_nothing_is_not_named() -> None:
    for row in rows(hardware="a100_80gb").values():
        assert all(swing.width > 0.01 * max(swing.at_low, swing.at_high) for swing in row.swings)


def test_words_of_the_break_even_and_of_old_prices_stand_alone() -> None:
    row = replace(rows()["tuned"], against="X", break_even=Band(4_000, 7_000, math.inf))
    said = "cheaper than X from about 7,000 requests per month (at least 4,000, perhaps never)"
    assert advice_report._break_even(row) == said
    row = replace(row, break_even=Band(4_000, math.inf, math.inf))
    assert advice_report._break_even(row) == "cheaper than X from at least 4,000 requests per month, perhaps never"
    row = replace(row, break_even=Band(61_527, 72_993, 1_234_567))
    assert advice_report._break_even(row).endswith("from about 73,000 requests per month [62,000, 1,200,000]")
    assert advice._row_and_name("usd_per_hour", prices.machine(LISTED, "l4")) == "NVIDIA L4: usd_per_hour"
    (pue,) = [row for _, key, _, row in prices.figures(LISTED) if key == "pue"]
    assert advice._row_and_name("pue", pue) == "pue"


def test_training_is_priced_by_the_hours_of_the_planner() -> None:
    answers = defaults() | TUNABLE | {"hardware": "l40s"}
    made = plan(answers, {"max_steps": 1000})
    found = cost_inputs.of_plan(made, LISTED)
    assert found.bands["training_hours"] == (made.hours.low, made.hours.typical, made.hours.high)
    (tuned,) = [row for row in estimate.estimates(answers, found, made) if row.key == "tuned"]
    assert made.money and made.money.low <= tuned.once_usd.typical <= made.money.high


def test_a_model_that_cannot_be_trained_there_is_pointed_out() -> None:
    assert "does not fit" in rows(model="qwen3-8b", method="full", hardware="t4")["tuned"].note


def test_advise_prints_the_numbers_or_one_json_value(tunesmith: Run) -> None:
    options = ("advise", "--defaults", *(word for key, value in TUNABLE.items() if key != "model"
               for word in ("--set", f"{key}={str(value).lower()}")))  # fmt: skip
    told = tunesmith(*options, "--sources")
    assert told.returncode == 0 and "Advice: finetune." in told.stdout
    for said in (
        "$ over 3 years",
        "three-year cost depends most on price per hour of the machine",
        "with only this figure at its lowest and at its highest",
        "Prompt and Few-shot prompt need a benchmark",
        "tuned needs the benchmark, and at least a hundred checked examples",
        "(otherwise: prompting, define success)",
        "Quality of",
        "$ per 1,000 requests",
        "seconds to answer",
        "requests per month",
        "genai-prices",
        "Ask again",
    ):
        assert said in told.stdout, said
    data = json.loads(tunesmith(*options, "--json").stdout)
    assert data["outcome"] == "tune" and [row["key"] for row in data["estimates"]][:2] == ["prompt", "few_shot"]
    tuned = next(row for row in data["estimates"] if row["key"] == "tuned")
    assert tuned["three_years_usd"]["typical"] == pytest.approx(36 * tuned["monthly_usd"]["typical"], rel=0.01)
    widths = [abs(swing["at_high"] - swing["at_low"]) for swing in tuned["moves_most"]]
    assert tuned["quality"] and 1 <= len(widths) <= 3 and widths == sorted(widths, reverse=True)
    assert tuned["break_even_requests_a_month"] == "never" or tuned["break_even_requests_a_month"]["low"] > 0


def test_advice_with_own_prices_and_with_an_unknown_model(tunesmith: Run, tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text("hosted: {house-model: {title: Ours, usd_per_million_input: 100, usd_per_million_output: 100,\n"
                   "  source: contract, date: 2026-11-01}}\n")  # fmt: skip
    done = tunesmith("advise", "--defaults", "--set", "hosted_model=house-model", "--prices", own, "--json")
    (prompt, *_) = json.loads(done.stdout)["estimates"]
    assert prompt["per_1000_usd"]["typical"] > 10
    refused = tunesmith("advise", "--defaults", "--set", "hosted_model=gpt-4.1-mni")
    assert refused.returncode == 2 and "did you mean gpt-4.1-mini?" in refused.stderr


def test_contradictions_and_what_is_missing_are_printed(tunesmith: Run) -> None:
    done = tunesmith("advise", "--defaults", "--set", "prompt_measured=true", "--set", "answers_checkable=false")
    assert "(not yet)" in done.stdout and "missing: a benchmark" in done.stdout
    assert "contradiction: a prompt cannot have been measured" in done.stdout


def test_advice_on_a_hub_model_needs_no_commit_of_it(tunesmith: Run) -> None:
    done = tunesmith("advise", "--defaults", "--set", "model=qwen3-8b", "--set", "hardware=l4")
    assert done.returncode == 0 and "qwen3-8b tuned" in done.stdout, done.stderr


def test_the_effort_and_the_quality_say_that_they_are_judgement(tunesmith: Run) -> None:
    assert "days of work, quality: judgement" in tunesmith("advise", "--defaults", "--sources").stdout


def test_without_requests_there_is_no_price_of_a_thousand(tunesmith: Run) -> None:
    spec = ("advise", "--defaults", "--set", "monthly_requests=0")
    rows = json.loads(tunesmith(*spec, "--json").stdout)["estimates"]
    assert rows and all(set(row["per_1000_usd"].values()) == {None} for row in rows)
    assert "no requests" in tunesmith(*spec).stdout
