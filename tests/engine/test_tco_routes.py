"""Total cost of ownership against sums done by hand, and what must hold for any prices."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.costing import tco_routes
from engine.costing.cost_arithmetic import Band
from engine.costing.monte_carlo import draws, interval, tornado, typical

CASE = {
    "requests": 100_000.0,
    "prompt_tokens": 500.0,
    "answer_tokens": 100.0,
    "api_usd_per_million_input": 1.0,
    "api_usd_per_million_output": 5.0,
    "index_gb": 10.0,
    "usd_per_gb_month": 0.02,
    "storage_gb": 50.0,
    "egress_usd_per_gb": 0.1,
    "usd_per_hour": 2.0,
    "utilisation": 0.5,
    "seconds_per_request": 1.0,
    "endpoint_seconds_per_request": 0.5,
    "endpoint_usd_per_hour": 4.0,
    "training_hours": 10.0,
    "training_tokens": 2e6,
    "usd_per_million_training": 3.0,
    "retrainings_per_year": 6.0,
    "staff_usd_per_month": 0.0,
    "purchase_usd": 12_000.0,
    "server_factor": 1.5,
    "life_years": 3.0,
    "watts": 500.0,
    "pue": 1.5,
    "electricity_usd_per_kwh": 0.2,
    "hosting_usd_per_kw_month": 100.0,
}
ROUTES = [
    tco_routes.hosted_api,
    tco_routes.retrieval_api,
    tco_routes.hosted_tuned,
    tco_routes.rented,
    tco_routes.on_prem,
]
POSITIVE = st.floats(0.01, 1e4)


def test_a_hosted_model_is_paid_by_the_token() -> None:
    # 500 in at 1 and 100 out at 5 dollars a million: a tenth of a cent a request
    bill = tco_routes.hosted_api(CASE)
    assert bill == ({}, {"inference": pytest.approx(100.0)})
    assert tco_routes.retrieval_api(CASE).monthly["storage"] == pytest.approx(0.2)


def test_a_rented_machine_waits_at_its_price() -> None:
    # 100,000 s of answers are 28 h; at half use that is 56 of the 730 hours of one machine, which is paid whole
    bill = tco_routes.rented(CASE)
    assert bill.once == {"training": 20.0}
    assert bill.monthly["inference"] == pytest.approx(1460.0)
    assert bill.monthly["re-training"] == pytest.approx(10.0)
    assert bill.monthly["storage"] == pytest.approx(1.0)
    assert bill.monthly["egress"] == pytest.approx(100_000 * 400 / 1e9 * 0.1)
    assert "staff" not in bill.monthly
    assert bill.over(36) == pytest.approx(20 + 36 * sum(bill.monthly.values()))


def test_load_beyond_one_machine_is_paid_by_the_share_that_it_takes() -> None:
    busy = CASE | {"requests": 2_628_000.0}  # 730 h of answers: two machines at half use
    assert tco_routes.rented(busy).monthly["inference"] == pytest.approx(2 * 1460.0)
    assert tco_routes.hosted_tuned(busy).monthly["inference"] == pytest.approx(730 * 4.0)


def test_an_owned_machine_is_written_off_powered_and_housed() -> None:
    bill = tco_routes.on_prem(CASE | {"staff_usd_per_month": 500.0})
    answering = 100_000 / 3600
    power = 0.5 * 1.5 * 0.2
    assert bill.monthly["machines, written off"] == pytest.approx(12_000 * 1.5 / 36)
    assert bill.monthly["power"] == pytest.approx(power * (answering + (730 - answering) / 3))
    assert bill.monthly["hosting"] == pytest.approx(50.0)
    assert bill.monthly["staff"] == 500.0
    assert bill.once["training"] == pytest.approx(10 * power)


def test_hosted_tuning_is_paid_by_the_token_and_its_endpoint_by_the_hour() -> None:
    bill = tco_routes.hosted_tuned(CASE)
    assert bill.once == {"training": pytest.approx(6.0)}
    assert bill.monthly == {"inference": pytest.approx(2920.0), "re-training": pytest.approx(3.0)}


def test_break_even_is_where_the_two_bills_meet() -> None:
    fast = CASE | {"seconds_per_request": 0.2}
    volume = tco_routes.break_even_volume(tco_routes.rented, tco_routes.hosted_api, fast)
    below, above = ({**fast, "requests": volume * factor} for factor in (0.98, 1.01))
    assert tco_routes.rented(below).over(36) > tco_routes.hosted_api(below).over(36)
    assert tco_routes.rented(above).over(36) <= tco_routes.hosted_api(above).over(36)


def test_a_cheap_hosted_model_is_never_caught_up_with() -> None:
    cheap = CASE | {"api_usd_per_million_input": 0.001, "api_usd_per_million_output": 0.001}
    assert math.isinf(tco_routes.break_even_volume(tco_routes.rented, tco_routes.hosted_api, cheap))
    assert tco_routes.break_even_volume(tco_routes.hosted_api, tco_routes.rented, cheap) == 0


@pytest.mark.parametrize("utilisation", [0, -0.1, 1.1])
def test_an_impossible_utilisation_is_refused(utilisation: float) -> None:
    with pytest.raises(ValueError, match="utilisation"):
        tco_routes.rented(CASE | {"utilisation": utilisation})


@given(
    route=st.sampled_from(ROUTES),
    name=st.sampled_from(sorted(CASE.keys() - {"utilisation", "life_years"})),
    low=POSITIVE,
    more=POSITIVE,
)
def test_no_cost_falls_when_a_price_or_a_load_rises(
    route: tco_routes.Route, name: str, low: float, more: float
) -> None:
    cheap, dear = (route(CASE | {name: value}).over(36) for value in (low, low + more))
    assert cheap <= dear * (1 + 1e-9)


@given(route=st.sampled_from(ROUTES), low=st.floats(0.05, 0.5), more=st.floats(0.0, 0.5))
def test_no_cost_rises_when_machines_are_used_better(route: tco_routes.Route, low: float, more: float) -> None:
    idle, busy = (route(CASE | {"requests": 1e7, "utilisation": value}).over(36) for value in (low, low + more))
    assert busy <= idle * (1 + 1e-9)


FIGURES = {"price": Band(1, 2, 6), "volume": Band(10, 10, 10), "seconds": Band(0.5, 1, 1.5)}


def cost(v: tco_routes.Values) -> float:
    return v["price"] * v["volume"] * v["seconds"]


def test_the_same_figures_give_the_same_draws_and_one_more_figure_changes_no_other() -> None:
    once, again = draws(FIGURES, 50), draws(FIGURES, 50)
    more = draws({"extra": Band(0, 1, 2), **FIGURES}, 50)
    assert once == again != draws(FIGURES, 50, seed=1)
    assert [case["price"] for case in more] == [case["price"] for case in once]


def test_draws_stay_in_their_bands_and_fill_them() -> None:
    prices = [case["price"] for case in draws(FIGURES, 2000)]
    assert min(prices) >= 1 and max(prices) <= 6 and max(prices) - min(prices) > 4
    assert sum(prices) / 2000 == pytest.approx((1 + 2 + 6) / 3, rel=0.03)  # the mean of a triangle


def test_the_interval_is_of_percentiles_and_may_be_open() -> None:
    assert interval([float(value) for value in range(100)]) == (5, 50, 95)
    assert interval([1.0] * 10 + [math.inf] * 10) == (1, math.inf, math.inf)


def test_the_tornado_ranks_by_swing_and_leaves_out_what_is_certain() -> None:
    swings = tornado(cost, FIGURES)
    assert [swing.name for swing in swings] == ["price", "seconds"]
    assert (swings[0].at_low, swings[0].at_high) == (10, 60)
    assert cost(typical(FIGURES)) == 20
