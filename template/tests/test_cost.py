"""The cost stage on a finished project."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from finished_project import PARAMS, PRICES, TRAINING, finish_project, measure

from pipeline import cost
from pipeline.files import ProjectError, write_json


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run() -> dict[str, Any]:
    cost.main()
    result: dict[str, Any] = json.loads(cost.COST.read_text())
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


def test_a_tuned_model_that_is_slower_never_pays_for_itself(project: Path) -> None:
    finish_project(project)
    write_json(project / "reports/measured/evaluate.json", {"tuned": measure(240, 240 * 2.0, 60)})
    assert run()["break_even"]["requests"] == "never"


def test_times_that_are_too_close_may_never_pay(project: Path) -> None:
    finish_project(project)
    write_json(project / "reports/measured/evaluate.json", {"tuned": measure(240, 240 * 0.44, 60)})
    even = run()["break_even"]
    assert even["requests"]["high"] is None and "too close" in even["reason"]


def test_a_resumed_training_is_priced_as_a_whole(project: Path) -> None:
    finish_project(project)
    write_json(project / "reports/measured/train.json", TRAINING | {"resumed": True, "steps": 48})
    report = run()
    assert report["training"]["seconds"] == pytest.approx(744.8)
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
    finish_project(
        project, prices=PRICES + "hosted:\n  small: {title: Small, " + rates + ", source: x, date: 2026-11-01}\n"
    )
    arms = run()["hosted"]["small"]["arms"]
    assert arms["few_shot"]["typical"] == pytest.approx((520 * 0.2 + 24 * 0.8) / 1000)
