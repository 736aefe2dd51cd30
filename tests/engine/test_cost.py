"""The cost stage on a finished project."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from finished_project import PARAMS, PRICES, TRAINING, finish_project, measure
from msgspec import convert

from engine.core.artifacts import MEASURED_COST
from engine.core.errors import ProjectError
from engine.core.io import read_json, write_json
from engine.costing.cost_arithmetic import Band
from engine.costing.plan_vs_actual import beside_the_plan
from engine.models.run_record import RunRecord
from pipeline import cost
from pipeline import report as report_recipe


def run() -> dict[str, Any]:
    cost.main()
    result: dict[str, Any] = json.loads(MEASURED_COST.read_text())
    return result


def test_every_arm_is_priced_by_its_measured_seconds(project: Path) -> None:
    finish_project(project)
    report = run()
    # 0.45 s a request at 0.09 dollars an hour, busy half the time
    assert report["arms"]["few_shot"]["usd_per_1000_requests"]["typical"] == pytest.approx(
        0.45 * 0.09 / 3600 / 0.5 * 1000
    )
    assert report["arms"]["few_shot"]["prompt_tokens_per_request"] == 520
    assert report["arms"]["tuned"]["usd_per_month"]["typical"] == pytest.approx(0.75)
    assert report["training"]["usd"]["typical"] == pytest.approx(372.4 * 0.09 / 3600)
    assert report["hardware"]["source"] == "a price list" and report["hardware"]["date"] == "2026-10-01"


def test_break_even_does_not_depend_on_the_price(project: Path) -> None:
    finish_project(project)
    first = run()["break_even"]
    (project / "prices.yaml").write_text(PRICES.replace("typical: 0.09, high: 0.10", "typical: 9, high: 90"))
    assert run()["break_even"] == first
    # 372.4 s of training against 0.3 s saved a request, at half use
    assert first["requests"]["typical"] == pytest.approx(372.4 / 0.3 * 0.5, abs=1)
    assert first["requests"]["low"] < first["requests"]["typical"] < first["requests"]["high"]


WITH_ENDPOINT = {"zero_shot": 0.0, "few_shot": 0.05, "endpoint_few_shot": 0.1, "tuned": 0.65}


def test_an_endpoint_is_paid_by_the_token_and_not_by_this_machines_hour(project: Path) -> None:
    finish_project(project, shares=WITH_ENDPOINT)
    report = run()
    # 500 tokens in at 0.4 and 24 out at 1.6 dollars a million
    price = report["arms"]["endpoint_few_shot"]["usd_per_1000_requests"]["typical"]
    assert price == pytest.approx((500 * 0.4 + 24 * 1.6) / 1000)
    assert any("endpoint_few_shot" in warning and "small-model" in warning for warning in report["warnings"])
    # the best arm without training: its dollars, not its seconds, are what tuning saves
    training, tuned = 372.4 * 0.09 / 3600, 0.15 * 0.09 / 3600 / 0.5
    assert report["break_even"]["against"] == "endpoint_few_shot"
    assert report["break_even"]["requests"]["typical"] == pytest.approx(training / (price / 1000 - tuned), rel=0.01)
    assert all(route["arm"] != "endpoint_few_shot" for route in report["ownership"]["routes"].values())


def test_a_gguf_file_is_paid_by_the_hour_of_the_machine_that_runs_it(project: Path) -> None:
    finish_project(project, shares={"zero_shot": 0.0, "few_shot": 0.05, "gguf_few_shot": 0.1, "tuned": 0.65})
    report = run()
    price = report["arms"]["gguf_few_shot"]["usd_per_1000_requests"]["typical"]
    assert price == pytest.approx(1000 * 1.2 / 0.5 / 3600 * 0.09)
    # the best arm without training: its seconds are what tuning saves
    assert report["break_even"]["against"] == "gguf_few_shot"
    assert report["break_even"]["requests"]["typical"] == pytest.approx(372.4 / (1.2 - 0.15) * 0.5, abs=1)
    assert "gguf_few_shot" in {route["arm"] for route in report["ownership"]["routes"].values()}
    assert not any("gguf" in warning for warning in report["warnings"])


def test_an_endpoint_of_unknown_price_or_tokens_is_not_free(project: Path) -> None:
    finish_project(project, shares=WITH_ENDPOINT, params=PARAMS.replace("hosted_model: small-model", "hosted_model: x"))
    report = run()
    assert report["arms"]["endpoint_few_shot"]["usd_per_1000_requests"] is None
    assert report["break_even"]["requests"] == "unknown"
    finish_project(project, shares=WITH_ENDPOINT)
    baseline = project / "reports/measured/baseline.json"
    arms = read_json(baseline)
    arms["endpoint_few_shot"] |= {"prompt_tokens": None, "completion_tokens": None}
    write_json(baseline, arms)
    assert run()["arms"]["endpoint_few_shot"]["usd_per_1000_requests"] is None
    report_recipe.main()
    assert "unknown + unknown" in (project / "reports/report.html").read_text("utf-8")


def test_a_tuned_model_that_is_slower_never_pays_for_itself(project: Path) -> None:
    finish_project(project)
    write_json(project / "reports/measured/tuned.json", {"tuned": measure(240, 240 * 2.0, 60)})
    assert run()["break_even"]["requests"] == "never"


def test_times_that_are_too_close_may_never_pay(project: Path) -> None:
    finish_project(project)
    write_json(project / "reports/measured/tuned.json", {"tuned": measure(240, 240 * 0.44, 60)})
    even = run()["break_even"]
    assert even["requests"]["high"] is None and "too close" in even["reason"]


def test_the_seconds_of_another_run_are_said_to_be_that(project: Path) -> None:
    """DVC's cache restores the weights of a run with earlier parameters, and not what was measured then."""
    settings = finish_project(project).model_dump()
    record = project / "reports/measured/train.json"
    write_json(record, TRAINING | {"settings": [settings]})
    cost.main()
    assert not any("another" in warning for warning in read_json(MEASURED_COST)["warnings"])
    earlier = settings | {
        "seed": settings["seed"] + 1,
        "train": settings["train"] | {"lora_rank": 64, "no_longer_a_knob": 1},
    }
    write_json(record, TRAINING | {"settings": [earlier]})
    cost.main()
    (said,) = (warning for warning in read_json(MEASURED_COST)["warnings"] if "another" in warning)
    assert "with another train.lora_rank, seed; to measure, train again: `dvc repro --force" in said
    record.unlink()
    with pytest.raises(ProjectError, match="record of the training run is missing") as raised:
        cost.main()
    assert "--single-item train" in str(raised.value)


def test_a_resumed_training_costs_what_its_record_says(project: Path) -> None:
    finish_project(project)
    write_json(project / "reports/measured/train.json", TRAINING | {"resumed": True, "steps": 96})
    report = run()
    assert report["training"]["seconds"] == pytest.approx(372.4)
    assert any("resumed" in warning for warning in report["warnings"])


def test_a_machine_without_a_price_still_gets_a_break_even(project: Path) -> None:
    finish_project(project, params=PARAMS.replace("hardware: cpu", "hardware: l4"))
    report = run()
    assert report["arms"]["tuned"]["usd_per_1000_requests"] is None
    assert report["break_even"]["requests"]["typical"] > 0
    text = " ".join(report["warnings"])
    assert "no price is known for NVIDIA L4" in text and "not comparable" in text


def test_an_unknown_machine_names_the_nearest(project: Path) -> None:
    finish_project(project, params=PARAMS.replace("hardware: cpu", "hardware: l40"))
    with pytest.raises(ProjectError) as error:
        cost.main()
    assert "l40" in str(error.value) and "did you mean l4?" in str(error.value)


@pytest.mark.parametrize(
    "price", ["{low: 2, typical: 1, high: 3}", "{low: 1}", "cheap", "{low: -1, typical: 1, high: 1}"]
)
def test_a_price_that_is_none_is_refused(project: Path, price: str) -> None:
    finish_project(project, prices=PRICES.replace("{low: 0.07, typical: 0.09, high: 0.10}", price))
    with pytest.raises(ProjectError, match="not"):
        cost.main()


def test_prices_that_are_no_yaml_are_refused(project: Path) -> None:
    finish_project(project, prices="hardware: {cpu: [")
    with pytest.raises(ProjectError, match="not valid YAML"):
        cost.main()


@pytest.mark.parametrize(("days", "warned"), [(89, False), (91, True)])
def test_an_old_price_is_a_warning(project: Path, days: int, warned: bool) -> None:
    date = datetime.date.today() - datetime.timedelta(days=days)
    finish_project(project, prices=PRICES.replace("2026-10-01", date.isoformat()))
    assert any("days old" in warning for warning in run()["warnings"]) is warned


def test_hosted_models_are_priced_by_the_token(project: Path) -> None:
    rates = "usd_per_million_input: 0.2, usd_per_million_output: 0.8"
    finish_project(project, prices=PRICES + "  small: {title: Small, " + rates + ", source: x, date: 2026-11-01}\n")
    arms = run()["hosted"]["small"]["arms"]
    assert arms["few_shot"]["typical"] == pytest.approx((520 * 0.2 + 24 * 0.8) / 1000)


def test_every_route_is_priced_from_what_was_measured(project: Path) -> None:
    finish_project(project)
    owned = run()["ownership"]
    assert list(owned["routes"]) == ["few_shot at Small model", "tuned, rented machine", "tuned, tuning service"]
    hosted, rented, service = owned["routes"].values()
    # 520 tokens in at 0.4 and 24 out at 1.6 dollars a million, 100,000 requests
    assert hosted["usd_per_month"]["typical"] == pytest.approx(100_000 * (520 * 0.4 + 24 * 1.6) / 1e6)
    assert rented["monthly"]["inference"] == pytest.approx(730 * 0.09), "one machine waits day and night"
    assert rented["monthly"]["re-training"] == pytest.approx(372.4 * 0.09 / 3600 / 6, rel=1e-3)
    assert service["once"]["training"] == pytest.approx(61440 * 0.5 / 1e6, rel=1e-3)
    assert rented["usd_three_years"]["low"] < rented["usd_three_years"]["typical"] < rented["usd_three_years"]["high"]
    assert rented["break_even"]["typical"] > 100_000 and "break_even" not in hosted
    assert "a price list" in owned["sources"]["usd_per_hour"]


def test_the_total_cost_is_the_same_on_every_run(project: Path) -> None:
    finish_project(project)
    assert run()["ownership"] == run()["ownership"]


def test_an_own_machine_and_staff_are_counted_where_they_are_known(project: Path) -> None:
    priced = PRICES.replace("usd_per_hour: null", "usd_per_hour: 0.8")
    params = PARAMS.replace("hardware: cpu", "hardware: l4").replace(
        "staff_usd_per_month: 0", "staff_usd_per_month: 900"
    )
    finish_project(project, params=params, prices=priced)
    routes = run()["ownership"]["routes"]
    own = routes["tuned, own machine"]["monthly"]
    assert own["machines, written off"] == pytest.approx(3000 * 1.5 / 48, rel=1e-3) and own["staff"] == 900
    assert routes["tuned, rented machine"]["monthly"]["staff"] == 900


def test_the_tornado_ranks_the_figures_by_what_they_do_to_the_cost(project: Path) -> None:
    finish_project(project, prices=PRICES.replace("typical: 0.09, high: 0.10", "typical: 0.09, high: 0.90"))
    swings = run()["ownership"]["tornado"]["swings"]
    assert swings[0]["figure"] == "usd_per_hour" and swings[0]["high"] == 0.9
    widths = [abs(swing["usd_at_high"] - swing["usd_at_low"]) for swing in swings]
    assert widths == sorted(widths, reverse=True)


def test_a_hosted_model_without_a_price_is_a_warning(project: Path) -> None:
    finish_project(project, params=PARAMS.replace("hosted_model: small-model", "hosted_model: no-such-model"))
    report = run()
    assert any("no-such-model" in warning for warning in report["warnings"])
    assert all("break_even" not in route for route in report["ownership"]["routes"].values())


def test_the_plan_stands_beside_what_was_measured(project: Path) -> None:
    finish_project(project)
    band = {"low": 300.0, "typical": 400.0, "high": 600.0}
    figures = {"training_seconds": band, "prompt_tokens/tuned": band, "never_measured": band}
    write_json(project / "plan.json", {"hardware": "cpu", "figures": figures})
    tokens, seconds, dollars = run()["plan"]
    assert (seconds["measured"], seconds["within"]) == (372.4, True)
    assert seconds["off"] == pytest.approx(372.4 / 400)
    assert (tokens["figure"], tokens["measured"], tokens["within"]) == ("prompt_tokens/tuned", 60, False)
    assert dollars["figure"] == "training_usd" and dollars["within"]
    assert dollars["measured"] == pytest.approx(372.4 * 0.09 / 3600) and dollars["off"] == pytest.approx(372.4 / 400)
    assert dollars["planned"]["high"] == pytest.approx(600 * 0.10 / 3600)


def test_planned_dollars_are_those_of_every_device_and_need_a_price(project: Path) -> None:
    finish_project(project)
    write_json(project / "plan.json", {"figures": {"seconds_per_request": {"low": 1.0, "typical": 2.0, "high": 4.0}}})
    (_, per_1000) = run()["plan"]
    assert per_1000["figure"] == "usd_per_1000_requests" and per_1000["measured"] > 0
    training = convert(TRAINING | {"seconds": 3600.0, "devices": 4}, RunRecord)
    write_json(project / "plan.json", {"figures": {"training_seconds": {"low": 1800, "typical": 1800, "high": 3600}}})
    names = {row.figure: row for row in beside_the_plan({}, None, training, Band(1, 2, 3))}
    assert names["training_usd"].measured == 8 and names["training_usd"].planned.typical == 4
    assert [row.figure for row in beside_the_plan({}, None, training)] == ["training_seconds"]


def test_a_project_without_a_plan_says_nothing_and_a_broken_one_is_refused(project: Path) -> None:
    finish_project(project)
    assert run()["plan"] == []
    (project / "plan.json").write_text("{")
    with pytest.raises(ProjectError, match=r"plan\.json"):
        cost.main()
