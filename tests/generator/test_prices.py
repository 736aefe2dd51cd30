"""The price list: valid by its schema, in step with the hardware catalogue, and overruled by a user's own file."""

import datetime as dt
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import Run

from tunesmith import catalog, package_data
from tunesmith.costing import price_list
from tunesmith.costing.price_list import Figure, PriceError
from tunesmith.costs import prices
from tunesmith.errors import FileProblem

CATALOGUE = catalog.load()
REPOSITORY = Path(__file__).resolve().parents[2]


def as_json(value: Any) -> Any:
    """YAML's dates as JSON knows them."""
    return json.loads(json.dumps(value, default=str))


def test_the_list_is_valid_by_its_schema() -> None:
    schema = json.loads(package_data.schema_file("catalog", "prices.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(as_json(prices.load(CATALOGUE)), schema)


def test_every_machine_has_a_price_under_its_own_title() -> None:
    titles = {key: row["title"] for key, row in prices.load(CATALOGUE)["hardware"].items()}
    assert titles == {key: row.title for key, row in CATALOGUE.hardware.items()}
    bought = prices.load(CATALOGUE)["on_prem"]["devices"]
    assert {key: row["watts"] for key, row in bought.items()} == {key: CATALOGUE.hardware[key].watts for key in bought}


def test_the_three_clouds_of_the_catalogue_are_there() -> None:
    providers = {offer["provider"] for row in prices.load(CATALOGUE)["hardware"].values() for offer in row["offers"]}
    assert {"Lambda", "RunPod", "AWS"} <= providers


def test_every_figure_is_a_band_with_a_source_and_a_date() -> None:
    for section, key, _, figure in prices.figures(prices.load(CATALOGUE)):
        assert figure.amount and 0 <= figure.amount.low <= figure.amount.typical <= figure.amount.high, (section, key)
        assert figure.source and figure.age_days(dt.date.today()) is not None, (section, key)


def test_the_spread_of_offers_is_cheapest_middle_dearest() -> None:
    price = price_list.machine(prices.load(CATALOGUE), "h100_sxm", "test")
    assert price.amount == (2.69, 3.99, 12.29)
    assert price.source.startswith("RunPod secure [RunPod community to Azure ND H100]") and price.date == "2026-11-09"
    assert price_list.machine(prices.load(CATALOGUE), "rtx_3090", "test").source.startswith("OpenRelay RTX 3090, "), (
        "one offer"
    )


def test_a_price_goes_stale_after_ninety_days() -> None:
    figure = Figure("a", None, "somewhere", "2026-01-01")
    assert not figure.old(dt.date(2026, 4, 1)) and figure.old(dt.date(2026, 4, 2))
    assert Figure("a", None, "somewhere", "").old(dt.date(2026, 1, 1)), "an undated price is never fresh"


def test_a_users_own_figures_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "tunesmith" / "prices.yaml"
    own.parent.mkdir()
    own.write_text("hardware: {l4: {usd_per_hour: 0.3, source: our contract, date: 2026-11-01}}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    mine = price_list.machine(prices.load(CATALOGUE), "l4", "test")
    assert (mine.amount, mine.source, mine.title) == ((0.3, 0.3, 0.3), "our contract", "NVIDIA L4")
    assert price_list.machine(prices.load(CATALOGUE), "t4", "test").amount == (0.526, 0.526, 0.59), "the rest stays"
    named = tmp_path / "other.yaml"
    named.write_text("hardware: {l4: {usd_per_hour: {low: 1, typical: 2, high: 3}, source: x, date: 2026-11-01}}\n")
    assert price_list.machine(prices.load(CATALOGUE, named), "l4", "test").amount == (1, 2, 3), (
        "a named file before the own one"
    )


@pytest.mark.parametrize(
    ("text", "said"), [("hardware: [", "cannot be read"), ("- 1", "no sections"), ("gpus: {}", "gpus")]
)
def test_a_price_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(FileProblem, match=said):
        prices.load(CATALOGUE, path)
    with pytest.raises(FileProblem, match="cannot be read"):
        prices.load(CATALOGUE, tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("text", "key", "amount"),
    [
        ("hardware: {l4: {usd_per_hour: 0.3}}", "l4", (0.3, 0.3, 0.3)),
        ("hardware: {l4: 0.3}", "l4", (0.3, 0.3, 0.3)),
        ("hardware:\nstorage: {usd_per_gb_month: 0.02}", "usd_per_gb_month", (0.02, 0.02, 0.02)),
        ("on_prem: {devices: {l4: {purchase_usd: 2500}}}", "l4", (2500, 2500, 2500)),
        ("hosted: {ours: {usd_per_million_input: 1, usd_per_million_output: 2}}", "ours", (1, 1, 1)),
    ],
)
def test_a_short_price_of_ones_own_is_read_as_undated_and_yours(
    tmp_path: Path, text: str, key: str, amount: tuple[float, ...]
) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    listed = prices.load(CATALOGUE, path)
    found = [row for _, name, _, row in prices.figures(listed) if name == key and row.source == "yours, prices.yaml"]
    assert found and (found[0].amount, found[0].date) == (amount, "")
    assert prices.machines(listed)["l4"].amount


def test_an_offer_of_ones_own_joins_the_listed_ones(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("hardware:\n  l4:\n    more_offers: [{provider: Us, offer: rack 3, usd_per_hour: 0.01}]\n")
    listed, before = prices.load(CATALOGUE, path), prices.load(CATALOGUE)
    offers = listed["hardware"]["l4"]["offers"]
    assert offers[:-1] == before["hardware"]["l4"]["offers"] and offers[-1]["source"] == "yours, prices.yaml"
    (cheap, usual) = (prices.machines(one)["l4"].amount for one in (listed, before))
    assert cheap and usual and cheap.low == 0.01 and cheap.high == usual.high
    path.write_text("hardware: {l4: {more_offers: [{provider: Us}]}}")
    with pytest.raises(FileProblem, match=r"hardware\.l4"):
        prices.load(CATALOGUE, path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("hardware: {l4: {usd_per_hour: {low: 1, typical: 2}}}", "hardware.l4"),
        ("hardware: {l4: {usd_per_hour: {low: 3, typical: 2, high: 1}}}", "hardware.l4"),
        ("hardware: {l4: {usd_per_hour: .nan}}", "hardware.l4"),
        ("hardware: {l4: {usd_an_hour: 1}}", "hardware.l4"),
        ("hardware: {l4: cheap}", "hardware.l4"),
        ("hardware: 3", "hardware"),
        ("on_prem: {devices: {house_card: {purchase_usd: 2500}}}", "on_prem.devices.house_card"),
        ("on_prem: {devices: 3}", "on_prem.devices"),
        ("hosted_tuning: {training: []}", "hosted_tuning.training"),
        ("storage: {usd_per_gb_month: -1}", "storage.usd_per_gb_month"),
    ],
)
def test_a_price_file_with_a_price_that_is_none_is_refused_by_its_place(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(FileProblem, match=place):
        prices.load(CATALOGUE, path)


def test_a_plan_is_priced_by_the_file_that_is_named_and_a_project_by_its_own(
    tunesmith: Run, project: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("hardware: {cpu: 1000}")
    named = json.loads(tunesmith("plan", "--defaults", "--prices", own, "--json").stdout)["training"]
    assert named["usd"]["typical"] == pytest.approx(1000 * named["device_hours"]["typical"])
    copy = Path(shutil.copytree(project, tmp_path / "project"))
    listed = (copy / "prices.yaml").read_text()
    (copy / "prices.yaml").write_text(
        re.sub(r"(  cpu:\n.*\n)    offers:\n(      - .*\n)+", r"\1    usd_per_hour: 500\n", listed)
    )
    (tmp_path / "tunesmith").mkdir()
    (tmp_path / "tunesmith" / "prices.yaml").write_text("hardware: {cpu: 7}")
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    made = json.loads(tunesmith("plan", copy, "--json", **home).stdout)["training"]
    assert made["usd"]["typical"] == pytest.approx(500 * made["device_hours"]["typical"])


@pytest.mark.parametrize("value", [-1, "cheap", {"low": 2, "typical": 1, "high": 3}, {"low": 1}, float("inf")])
def test_a_price_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(PriceError, match="not"):
        price_list.band(value, "here")


def test_an_unknown_hosted_model_names_the_nearest() -> None:
    with pytest.raises(PriceError, match=r"did you mean gpt-4\.1-mini"):
        prices.hosted(prices.load(CATALOGUE), "gpt-4.1-mni")


def test_the_hosted_models_cost_what_genai_prices_says() -> None:
    pytest.importorskip("genai_prices")
    listed = prices.load(CATALOGUE)["hosted"]
    for key, row in listed.items():
        found = prices.hosted({"hosted": {}}, f"{row['provider']}:{key}")
        assert [side.amount for side in found] == [
            pytest.approx(side.amount) for side in prices.hosted(prices.load(CATALOGUE), key)
        ]
    with pytest.raises(PriceError, match="does not know"):
        prices.hosted({"hosted": {}}, "openai:no-such-model")


@pytest.mark.parametrize("name", ["cost_arithmetic", "tco_routes", "price_list", "monte_carlo"])
def test_generator_and_project_share_one_arithmetic(name: str) -> None:
    ours = REPOSITORY / "generator" / "tunesmith" / "costing" / f"{name}.py"
    assert ours.read_bytes() == (REPOSITORY / "template" / "engine" / "costing" / f"{name}.py").read_bytes()
    assert ours.is_symlink() and "pipeline." not in "".join(
        line for line in ours.read_text(encoding="utf-8").splitlines() if line.startswith(("import ", "from "))
    )
