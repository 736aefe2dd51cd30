"""Cost arithmetic against sums done by hand."""

import math

import pytest

from engine.costing.cost_arithmetic import (
    Band,
    break_even_requests,
    hosted_usd_per_1000_requests,
    measured,
    monthly_usd,
    training_usd,
    usd_per_1000_requests,
)


def exactly(value: float) -> Band:
    return Band(value, value, value)


def test_a_machine_at_one_dollar_an_hour_busy_half_the_time() -> None:
    # 1.8 s a request: 2,000 requests an hour, 1,000 of them at half use, so 1,000 requests cost the hour
    assert usd_per_1000_requests(exactly(1.8), exactly(1.0), 0.5) == pytest.approx((1, 1, 1))


def test_bands_multiply_bound_by_bound() -> None:
    cost = usd_per_1000_requests(Band(1, 2, 3), Band(0.36, 0.72, 1.44), 1.0)
    assert cost == pytest.approx((0.1, 0.4, 1.2))


@pytest.mark.parametrize("utilisation", [0, -0.1, 1.1])
def test_an_impossible_utilisation_is_refused(utilisation: float) -> None:
    with pytest.raises(ValueError, match="utilisation"):
        usd_per_1000_requests(exactly(1), exactly(1), utilisation)


def test_training_is_seconds_times_price() -> None:
    assert training_usd(exactly(1800), Band(1, 2, 4)) == pytest.approx((0.5, 1, 2))
    assert measured(100, 0.2) == pytest.approx((80, 100, 120))


def test_a_hosted_model_charges_by_the_token() -> None:
    # 500 tokens in at 1 dollar a million and 100 out at 5: 0.001 dollars a request
    assert hosted_usd_per_1000_requests(500, 100, exactly(1), exactly(5)) == pytest.approx((1, 1, 1))


def test_monthly_cost() -> None:
    assert monthly_usd(Band(1, 2, 3), 50_000) == pytest.approx((50, 100, 150))


def test_break_even_as_an_interval() -> None:
    # 10 to 20 dollars earned back at 0.01 to 0.02 a request
    assert break_even_requests(Band(10, 15, 20), Band(0.01, 0.015, 0.02)) == pytest.approx((500, 1000, 2000))


def test_no_saving_never_breaks_even() -> None:
    assert break_even_requests(Band(10, 15, 20), Band(-0.03, -0.02, 0.0)) is None


def test_a_saving_that_is_not_certain_may_never_break_even() -> None:
    assert break_even_requests(Band(10, 15, 20), Band(-0.01, 0.015, 0.02)) == (500, pytest.approx(1000), math.inf)
    assert break_even_requests(Band(10, 15, 20), Band(-0.02, 0.0, 0.02)) == (500, math.inf, math.inf)


def test_the_extremes_of_a_difference_meet_crosswise() -> None:
    assert Band(3, 4, 5).minus(Band(1, 2, 4)) == (-1, 2, 4)
