"""The catalogues: figures that agree with one another, and a support matrix without holes."""

import datetime as dt
import itertools
import json
from pathlib import Path

import pytest
import yaml
from conftest import Run
from jsonschema import Draft202012Validator

from tunesmith import catalog, package_data
from tunesmith.catalog import Model
from tunesmith.costs import prices
from tunesmith.planner.architecture import Architecture
from tunesmith.questions import defaults, questions

CATALOGUE = catalog.load()
MODELS = [pytest.param(model, id=key) for key, model in CATALOGUE.models.items()]
AXES = ("approach", "backend", "objective", "method", "dataset_format", "serving", "tracker")
BUILT = {
    "approach": {"prompting", "rag", "finetune", "rag_finetune"},
    "backend": {"trl"},
    "objective": {"sft"},
    "method": {"qlora", "lora", "rslora", "dora", "full"},
    "dataset_format": {"jsonl", "alpaca", "sharegpt", "messages"},
    "serving": {"local"},
    "tracker": {"none"},
}


@pytest.mark.parametrize("model", MODELS)
def test_the_published_parameter_count_follows_from_the_architecture(model: Model) -> None:
    assert Architecture(**model.architecture).parameters == model.parameters


def test_there_are_enough_models_and_every_device_of_the_catalogue() -> None:
    assert len(CATALOGUE.models) >= 25
    assert sum(not row.cpu for row in CATALOGUE.hardware.values()) == 15
    assert sum(row.cpu for row in CATALOGUE.hardware.values()) >= 2
    assert {row.key for row in CATALOGUE.hardware.values()} == set(prices.machines(prices.load(CATALOGUE)))


@pytest.mark.parametrize("name", ["models", "hardware", "frameworks", "throughput"])
def test_a_catalogue_keeps_to_its_schema(name: str) -> None:
    schema = json.loads(package_data.schema_file("catalog", f"{name}.schema.json").read_text(encoding="utf-8"))
    loaded = yaml.safe_load(package_data.schema_file("catalog", f"{name}.yaml").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert not list(Draft202012Validator(schema).iter_errors(json.loads(json.dumps(loaded, default=str))))
    broken = json.loads(json.dumps(loaded, default=str)) | {"a_key_that_nobody_knows": 1}
    assert list(Draft202012Validator(schema).iter_errors(broken))


def test_every_shipped_figure_has_its_date() -> None:
    for row in (*CATALOGUE.models.values(), *CATALOGUE.hardware.values()):
        assert row.figures["source"] and isinstance(row.figures["date"], dt.date), row.key
    for model in CATALOGUE.models.values():
        assert model.terms["source"] and isinstance(model.terms["date"], dt.date), model.key


def test_what_was_not_read_somewhere_says_so_and_is_little() -> None:
    files = [package_data.schema_file("catalog", f"{name}.yaml") for name in ("models", "hardware", "prices")]
    named = [
        line
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if " source: " in line or "{source: " in line
    ]
    recalled = [key for key, row in CATALOGUE.models.items() if "recalled" in row.terms["source"]]
    assert recalled == ["qwen3-30b-a3b-instruct-2507"], "its gating"
    assert len(named) > 150 and sum("recalled" in line for line in named) == 1


def test_a_licence_or_gating_names_what_was_read() -> None:
    for model in CATALOGUE.models.values():
        said = model.terms["source"]
        assert all(part in said for part in ("licence", "gating", "chat template")), model.key


def test_the_three_clouds_are_asked() -> None:
    offers = [offer for row in catalog.table("prices.yaml")["hardware"].values() for offer in row["offers"]]
    assert len(offers) > 40
    assert {"AWS", "Lambda", "RunPod"} <= {offer["provider"] for offer in offers}


def test_a_users_own_figures_of_models_and_machines_win(tunesmith: Run, tmp_path: Path) -> None:
    own = tmp_path / "tunesmith"
    own.mkdir()
    (own / "hardware.yaml").write_text("hardware: {l4: {memory_gib: 22}}\n")
    (own / "models.yaml").write_text("models:\n  qwen3-8b: {context_length: 1000}\n")
    options = ("plan", "--defaults", "--set", "model=qwen3-8b", "--set", "hardware=l4", "--json")
    made = json.loads(tunesmith(*options, XDG_CONFIG_HOME=str(tmp_path)).stdout)
    assert made["machine"]["memory_gib"] == 22
    assert made["training"]["choices"]["max_length"]["value"] <= 1000


OWN_MACHINE = """hardware:
  house_card:
    {title: House card, memory_gib: 64, bf16: true, generation: hopper, tflops: 500, bandwidth_gb_s: 2000, watts: 400}
"""


def test_a_machine_of_ones_own_is_planned_and_priced(tunesmith: Run, tmp_path: Path) -> None:
    own = tmp_path / "tunesmith"
    own.mkdir()
    (own / "hardware.yaml").write_text(OWN_MACHINE)
    (own / "prices.yaml").write_text(
        "hardware: {house_card: 0.7}\non_prem: {devices: {house_card: {purchase_usd: 9000}}}\n"
    )
    home, options = {"XDG_CONFIG_HOME": str(tmp_path)}, ("--defaults", "--set", "hardware=house_card")
    made = json.loads(tunesmith("plan", *options, "--json", **home).stdout)
    assert (made["machine"]["title"], made["machine"]["memory_gib"]) == ("House card", 64)
    assert made["training"]["usd"]["typical"] == pytest.approx(0.7 * made["training"]["device_hours"]["typical"])
    assert any("own House card" in row["title"] for row in made["cost_to_own"])
    assert "House card" in tunesmith("advise", *options, **home).stdout
    assert tunesmith("plan", *options).returncode == 2, "without the file there is no such machine"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("hardware", "hardware: {l40: {memory_gib: 22}}", "did you mean l4"),
        ("hardware", "hardware: {mine: {memory_gib: 22}}", "a new row also needs bandwidth_gb_s, bf16"),
        ("models", "models: {mine: {context_length: 22}}", "`model: custom`"),
        ("hardware", "hardware: {l4: {memory_gib: much}}", "hardware.l4.memory_gib"),
        ("hardware", "hardware: {l4: 22}", "hardware.l4"),
        ("hardware", "machines: {l4: {memory_gib: 22}}", "unknown section"),
        ("models", "models: {qwen3-8b: {id: other/model}}", "identifies the model and cannot be changed"),
        ("models", "models: [", "cannot be read"),
        ("hardware", "hardware: {5: {memory_gib: 22}}", "the key 5 is not text"),
        ("hardware", "hardware: {true: {memory_gib: 22}}", "the key True is not text"),
        ("hardware", "hardware: {l4: {memory_gib: .nan}}", "hardware.l4.memory_gib: nan is not a figure"),
        ("hardware", "hardware: {l4: {bandwidth_gb_s: .inf}}", "hardware.l4.bandwidth_gb_s: inf is not a figure"),
        ("hardware", OWN_MACHINE.replace("house_card", "'null'"), "does not match"),
        ("hardware", OWN_MACHINE.replace("house_card", "'1e3'"), "does not match"),
    ],
)
def test_own_figures_that_are_none_are_refused(tunesmith: Run, tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / "tunesmith").mkdir()
    (tmp_path / "tunesmith" / f"{name}.yaml").write_text(text)
    done = tunesmith("plan", "--defaults", XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_pinned_or_asks_for_its_pin(model: Model) -> None:
    if model.source == "package":
        assert "==" in model.id and model.file and len(model.sha256) == 64
    else:
        assert model.source == "hub" and model.id.count("/") == 1


def test_every_combination_is_built_or_refused_with_a_reason() -> None:
    """Every pair of values of two axes, with the built defaults on the others."""
    pairs = itertools.chain.from_iterable(
        itertools.product([one], questions()[one].enum, [other], questions()[other].enum)
        for one, other in itertools.combinations(AXES, 2)
    )
    for one, value, other, second in pairs:
        answers = defaults() | {one: value, other: second}
        refusals = CATALOGUE.refusals(answers)
        built = all(answers[axis] in BUILT[axis] for axis in AXES)
        assert built == (not refusals), answers
        assert all(refusal.reason and refusal.instead for refusal in refusals)


def test_the_rules_name_values_that_exist() -> None:
    for rule in itertools.chain(*catalog.support_rules().values()):
        for key, values in rule["when"].items():
            assert set(values) <= set(questions()[key].enum)
        for key, value in rule["instead"].items():
            assert value in questions()[key].enum


def test_impossible_and_planned_are_told_apart() -> None:
    impossible = CATALOGUE.refusals(defaults() | {"objective": "ppo", "dataset_format": "prompt_only"})
    assert [str(refusal) for refusal in impossible if "rloo" in str(refusal) and "TRL" in str(refusal)]
    (planned,) = CATALOGUE.refusals(defaults() | {"serving": "vllm"})
    assert str(planned).startswith("planned, not built yet")
