"""`tunesmith plan`: specs, custom models, projects, calibration, and what would fit when nothing does."""

import ast
import datetime as dt
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Run

from tunesmith import catalog, plan_report
from tunesmith.costs import prices
from tunesmith.errors import FileProblem
from tunesmith.planner import plan as planner
from tunesmith.planner import project_reader
from tunesmith.planner.plan import Measured, Plan
from tunesmith.planner.resolve import Choice
from tunesmith.planner.resolve import resolve as resolve_knobs
from tunesmith.planner.training_setup import METHODS, ImpossibleSetup
from tunesmith.questions import defaults

CATALOGUE = catalog.load()
RUN_RECORD = Path(__file__).parents[2] / "template/engine/training/run_record.py"
PRICES = prices.machines(prices.load(CATALOGUE))

CONFIG = {
    "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
    "tie_word_embeddings": True, "max_position_embeddings": 4096,
}  # fmt: skip


def answers(**changes: object) -> dict[str, object]:
    return defaults() | changes


def plan(asked: dict[str, Any], pins: dict[str, Any], measured: Measured | None = None) -> Plan:
    return planner.plan(CATALOGUE, asked, pins, measured=measured, prices=PRICES)


def resolve(asked: dict[str, Any], pins: dict[str, Any] | None = None) -> dict[str, Choice]:
    return resolve_knobs(CATALOGUE, asked, pins)


def test_a_plan_says_memory_time_and_money_in_words_and_in_json(tunesmith: Run) -> None:
    spec = ("plan", "--defaults", "--set", "model=qwen3-8b", "--set", "hardware=l4")
    words = tunesmith(*spec)
    assert words.returncode == 0, words.stderr
    for word in ("weights", "activations", "P10 to P90", "fits", "Time", "Money    USD", "serving", "micro_batch_size"):
        assert word in words.stdout, word
    made = json.loads(tunesmith(*spec, "--json").stdout)
    training = made["training"]
    memory = training["memory_gib"]
    assert memory["low"] < memory["typical"] < memory["high"] <= memory["usable"]
    assert training["usd"]["low"] < training["usd"]["typical"] < training["usd"]["high"]
    assert training["dominant"] in memory["terms"]
    assert made["inference_gib"]["typical"] > 15  # 8 billion parameters in 16 bits


def test_a_time_below_a_minute_is_said_in_seconds() -> None:
    assert [plan_report._hours(seconds / 3600) for seconds in (0.25, 24, 90, 5400)] == [
        "0.25 s",
        "24 s",
        "2 min",
        "1.5 h",
    ]


def test_every_method_that_plan_names_is_planned(tunesmith: Run) -> None:
    spec = ("plan", "--defaults", "--set", "hardware=l4", "--json", "--method")
    peaks = {}
    for method in METHODS:
        done = tunesmith(*spec, method)
        assert done.returncode == 0, done.stderr
        peaks[method] = json.loads(done.stdout)["training"]["memory_gib"]["typical"]
    assert peaks["full"] > peaks["lora"] > peaks["prompt"]


def test_the_memory_of_the_host_is_said_beside_graphics_cards_alone(tunesmith: Run) -> None:
    spec = ("--defaults", "--set", "model=qwen3-8b", "--set", "hardware=a100_80gb")
    sharded = tunesmith("plan", *spec, "--devices", "4", "--sharding", "fsdp")
    assert "of the host: " in sharded.stdout and "weights while loading" in sharded.stdout, sharded.stderr
    alone = json.loads(tunesmith("plan", *spec, "--json").stdout)["training"]["host_gib"]
    assert alone["high"] < 4 and "weights while loading" not in alone["terms"]
    assert json.loads(tunesmith("plan", "--defaults", "--json").stdout)["training"]["host_gib"] is None


def test_what_does_not_fit_is_said_with_the_changes_that_would_by_price(tunesmith: Run) -> None:
    spec = (
        "plan",
        "--defaults",
        "--set",
        "model=llama-3.1-8b-instruct",
        "--set",
        "hardware=l4",
        "--set",
        "method=full",
    )
    done = tunesmith(*spec, "--json")
    assert done.returncode == 4
    made = json.loads(done.stdout)
    assert not made["training"]["fits"] and "qlora" in {change["settings"].get("method") for change in made["changes"]}
    prices = [change["usd"] for change in made["changes"]]
    assert prices == sorted(prices) and len(prices) >= 3
    for change in made["changes"]:
        assert change["high_gib"] <= change["memory_gib"] * 0.95, change


def test_the_cost_of_what_does_not_fit_says_so(tunesmith: Run) -> None:
    spec = ("plan", "--defaults", "--set", "model=qwen3-32b", "--set", "hardware=l4", "--set", "method=full")
    assert "does not fit on NVIDIA L4;" in tunesmith(*spec).stdout.partition("cost to own")[2]


@pytest.mark.parametrize(("method", "together"), [("qlora", 1), ("lora", 2)])
def test_every_change_that_is_named_fits_when_it_is_made(method: str, together: int) -> None:
    asked = answers(model="llama-3.3-70b-instruct", hardware="a10g", method=method)
    made = plan(asked, {})
    assert not made.fits
    assert {len(change.settings) for change in made.changes if "model" not in change.settings} == {together}
    for change in made.changes:
        settings = dict(change.settings)
        pins = {"max_length": settings.pop("max_length")} if "max_length" in settings else {}
        assert plan(asked | settings, pins).fits, change


@pytest.mark.parametrize("hardware", [key for key, row in CATALOGUE.hardware.items() if not row.cpu])
@pytest.mark.parametrize("method", ["qlora", "lora", "full"])
def test_what_the_planner_chooses_fits_or_is_said_not_to(hardware: str, method: str) -> None:
    made = plan(answers(model="qwen3-4b", hardware=hardware, method=method), {})
    assert made.training_fits == (made.memory.high <= made.machine.memory_gib * 0.95)
    assert made.training_fits or (made.setup.micro_batch == 1 and made.setup.checkpointing)
    knobs = made.knobs
    assert knobs["micro_batch_size"] * knobs["gradient_accumulation_steps"] == 16


@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize(
    ("model", "hardware", "method"), [("qwen3-8b", "l4", "qlora"), ("qwen3-8b", "a100_80gb", "full")]
)
def test_several_devices_share_the_batch_that_one_would_take(
    model: str, hardware: str, method: str, devices: int
) -> None:
    made = plan(answers(model=model, hardware=hardware, method=method, devices=devices), {})
    knobs = made.knobs
    assert knobs["micro_batch_size"] * knobs["gradient_accumulation_steps"] * devices == 16
    assert knobs["sharding"] == made.setup.sharding == {"qlora": "ddp", "full": "fsdp"}[method]
    assert f"{devices} devices" in made.choices["sharding"].reason
    alone = plan(answers(model="qwen3-8b", hardware=hardware, method=method), {})
    assert made.time.typical < alone.time.typical and alone.knobs["sharding"] == "none"


def test_more_devices_are_named_where_their_shards_fit_and_fit_then() -> None:
    asked = answers(model="qwen3-8b", hardware="a100_80gb", method="full")
    made = plan(asked, {})
    (change,) = [change for change in made.changes if "devices" in change.settings]
    assert not made.training_fits and "fsdp" in change.what
    shared = plan(asked | change.settings, {})
    assert shared.fits and shared.setup.sharding == "fsdp"
    whole = plan(asked | change.settings, {"sharding": "ddp"})
    assert not whole.fits and whole.memory.high > made.memory.high, "ddp holds what one device holds, and buckets"


def test_what_fsdp_cannot_do_is_not_planned() -> None:
    on_t4 = plan(answers(model="qwen3-4b", hardware="t4", method="full", devices=4), {})
    assert on_t4.knobs["compute_dtype"] == "fp16" and on_t4.setup.sharding == "ddp"
    sharded = plan(answers(model="qwen3-8b", hardware="a100_80gb", method="full", devices=8), {"sharding": "fsdp"})
    assert "8bit" not in sharded.knobs["optimizer"]


def test_what_trains_and_cannot_answer_its_benchmark_does_not_fit(tunesmith: Run) -> None:
    made = plan(answers(model="qwen3-14b", hardware="l4"), {})
    assert made.training_fits and not made.evaluation_fits and not made.fits  # 16-bit weights take 27.5 GiB of 24
    assert made.evaluation.high > made.machine.memory_gib and made.evaluation.requests == 1
    for change in made.changes:
        settings = dict(change.settings)
        assert "method" not in settings and "max_length" not in settings, "lighter training answers no lighter"
        assert plan(answers(model="qwen3-14b", hardware="l4") | settings, {}).fits, change
    done = tunesmith("plan", "--defaults", "--set", "model=qwen3-14b", "--set", "hardware=l4")
    assert done.returncode == 4 and "does not fit: 22.8 GiB can be used" in done.stdout


def test_a_prompting_project_fits_where_its_benchmark_can_be_answered(tunesmith: Run) -> None:
    spec = ("plan", "--defaults", "--set", "approach=prompting", "--set", "hardware=l4", "--set")
    assert tunesmith(*spec, "model=qwen3-8b").returncode == 0
    assert tunesmith(*spec, "model=qwen3-32b").returncode == 4


@pytest.mark.parametrize("model", ["smollm2-135m-instruct", "qwen3-8b", "gemma-2-9b-it"])
@pytest.mark.parametrize("hardware", ["cpu", "t4", "l4", "a100_80gb"])
def test_the_benchmark_is_answered_in_the_largest_batch_that_fits(model: str, hardware: str) -> None:
    asked = answers(model=model, hardware=hardware)
    made = plan(asked, {})
    size = made.knobs["evaluation_batch_size"]
    assert made.evaluation.requests == size and (made.evaluation_fits or size == 1)
    if size < 48:
        larger = next(other for other in (2, 4, 8, 16, 32, 48) if other > size)
        assert not plan(asked, {"evaluation_batch_size": larger}).evaluation_fits
    assert plan(asked, {"evaluation_batch_size": 3}).evaluation.requests == 3


def test_the_planned_evaluation_batch_is_what_a_project_runs(tunesmith: Run, tmp_path: Path) -> None:
    spec = ("--defaults", "--set", "model=qwen3-8b", "--set", "hardware=l4", "--set", f"model_revision={'1' * 40}")
    assert tunesmith("new", tmp_path / "p", *spec).returncode == 0
    size = resolve(answers(model="qwen3-8b", hardware="l4"))["evaluation_batch_size"].value
    assert 1 < size < 48 and f"  batch_size: {size} " in (tmp_path / "p" / "params.yaml").read_text()
    assert json.loads(tunesmith("plan", tmp_path / "p", "--json").stdout)["evaluation_gib"]["requests"] == size


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"hardware": "l40s"}, ["tuned", "tuned_on_prem", "tuned_hosted"]),
        ({"hardware": "l40s", "data_may_leave": "false"}, ["tuned", "tuned_on_prem"]),
        ({"approach": "rag_finetune"}, ["tuned", "tuned_hosted"]),
        ({"approach": "rag"}, ["retrieval", "retrieval_own"]),
        ({"approach": "prompting"}, ["prompt", "few_shot", "prompt_own", "few_shot_own"]),
        ({"approach": "prompting", "data_may_leave": "false"}, ["prompt", "few_shot"]),
    ],
)
def test_a_plan_says_what_the_chosen_approach_costs_to_own_by_route(
    tunesmith: Run, changes: dict[str, str], keys: list[str]
) -> None:
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    made = json.loads(tunesmith("plan", "--defaults", *settings, "--json").stdout)
    assert [row["key"] for row in made["cost_to_own"]] == keys
    for row in made["cost_to_own"]:
        assert row["three_years_usd"]["low"] >= 35 * row["monthly_usd"]["low"] > 0
    assert "$ over 3 years" in tunesmith("plan", "--defaults", *settings).stdout


def test_a_project_is_billed_at_the_volume_of_its_params(copy: Path, tunesmith: Run) -> None:
    few = json.loads(tunesmith("plan", copy, "--json").stdout)["cost_to_own"][0]
    params = copy / "params.yaml"
    params.write_text(re.sub(r"monthly_requests: \d+", "monthly_requests: 50000000", params.read_text()))
    many = json.loads(tunesmith("plan", copy, "--json").stdout)["cost_to_own"][0]
    assert many["monthly_usd"]["typical"] > 5 * few["monthly_usd"]["typical"]


def test_a_length_that_the_model_cannot_attend_to_is_refused(tunesmith: Run, copy: Path, tmp_path: Path) -> None:
    for verb in ("plan", "advise"):
        done = tunesmith(verb, "--defaults", "--set", "max_length=100000")
        assert done.returncode == 2 and "8192 tokens that smollm2-135m-instruct attends to" in done.stderr, done.stderr
    params = copy / "params.yaml"
    params.write_text(re.sub(r"max_length: \d+", "max_length: 100000", params.read_text()))
    refused = tunesmith("plan", copy)
    assert refused.returncode == 2 and "max_length" in refused.stderr and "Traceback" not in refused.stderr
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(ImpossibleSetup, match="4096"):
        plan(answers(model="custom"), {"model_source": "path", "model_id": str(tmp_path), "max_length": 5000})


SEVENTY = ("plan", "--defaults", "--set", "model=llama-3.3-70b-instruct", "--set", "hardware=h100_sxm", "--json")


def peak(tunesmith: Run, *options: object) -> float:
    return float(json.loads(tunesmith(*SEVENTY, *options).stdout)["training"]["memory_gib"]["typical"])


def test_what_is_not_generated_yet_can_be_planned(tunesmith: Run) -> None:
    full = ("--method", "full", "--set", "micro_batch_size=1")
    whole, zero2, fsdp = (
        peak(tunesmith, *full, "--devices", 8, "--sharding", kind) for kind in ("ddp", "zero2", "fsdp")
    )
    assert fsdp < zero2 < whole
    chunked, plain = (peak(tunesmith, "--set", "micro_batch_size=4", "--loss", loss) for loss in ("chunked", "full"))
    assert chunked < plain
    assert peak(tunesmith, "--framework", "axolotl") != peak(tunesmith)
    done = tunesmith(*SEVENTY, "--method", "prefix", "--devices", 8, "--packing")
    made = json.loads(done.stdout)
    assert (made["method"], made["devices"], made["sharding"]) == ("prefix", 8, "fsdp")
    assert "prefix" in made["training"]["memory_gib"]["terms"] and made["training"]["seconds"]["padding"] == 1
    assert "this version cannot generate: method prefix, devices 8, packing" in made["notes"][0]
    hours, seconds = made["training"]["device_hours"]["typical"], made["training"]["seconds"]["typical"]
    assert hours == pytest.approx(8 * seconds / 3600)


@pytest.mark.parametrize(
    "options",
    [
        ("--framework", "none"),
        ("--devices", "0"),
        ("--method", "magic"),
        ("--loss", "none"),
        ("--devices", "-1"),
        ("--sharding", "fsdp"),
        ("--sharding", "none-such", "--devices", "2"),
        ("--devices", "2", "--set", "hardware=cpu"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_its_reason(tunesmith: Run, options: tuple[str, ...]) -> None:
    done = tunesmith(*SEVENTY[:-1], *options)
    assert done.returncode == 2 and options[0].strip("-") in done.stderr and "Traceback" not in done.stderr


def test_a_larger_machine_is_one_that_projects_can_be_installed_on(tunesmith: Run) -> None:
    asked = answers(model="llama-3.3-70b-instruct", hardware="b200", method="full")
    assert all(change.settings.get("hardware") != "mi300x" for change in plan(asked, {}).changes)
    assert "no build of torch" in tunesmith("plan", "--defaults", "--set", "hardware=mi300x").stderr
    from_cpu = [change.settings.get("hardware") for change in plan(answers(model="qwen3-8b"), {}).changes]
    assert any(key and not CATALOGUE.hardware[key].cpu for key in from_cpu), "a graphics card is offered"


def test_a_pin_wins_and_bounds_the_other_choices() -> None:
    asked = answers(model="qwen3-8b", hardware="l4")
    free, pinned = resolve(asked), resolve(asked, {"max_length": 8192})
    assert pinned["micro_batch_size"].value < free["micro_batch_size"].value
    made = plan(asked, {"micro_batch_size": 2, "optimizer": "paged_adamw_8bit"})
    assert (made.setup.micro_batch, made.setup.optimizer) == (2, "paged_adamw_8bit")
    assert made.knobs["gradient_accumulation_steps"] == 8
    assert "pinned" in plan_report.data(made)["training"]["choices"]["optimizer"]["reason"]


def test_gemma_2_gets_the_attention_that_it_needs_and_a_t4_the_precision_that_it_has() -> None:
    chosen = resolve(answers(model="gemma-2-2b-it", hardware="t4"))
    assert (chosen["attention_implementation"].value, chosen["compute_dtype"].value) == ("eager", "fp16")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("micro_batch_size", "big"),
        ("max_steps", "0"),
        ("max_length", "-1"),
        ("compute_dtype", "fp8"),
        ("lora_rank", "[]"),
    ],
)
def test_a_parameter_that_is_none_is_refused_by_its_name(
    line: str, value: str, project: Path, tunesmith: Run, tmp_path: Path
) -> None:
    shutil.copytree(project, tmp_path / "p")
    params = (project / "params.yaml").read_text()
    changed, count = re.subn(rf"^  {line}: \S+", f"  {line}: {value}", params, flags=re.MULTILINE)
    assert count == 1
    (tmp_path / "p/params.yaml").write_text(changed)
    done = tunesmith("plan", tmp_path / "p")
    assert done.returncode == 2 and f"params.yaml: {line}" in done.stderr and "Traceback" not in done.stderr, (
        done.stderr
    )


def test_a_calibration_beyond_what_the_device_can_do_is_pointed_out(tunesmith: Run, tmp_path: Path) -> None:
    run = tmp_path / "train.json"
    for speed, said in (
        ("5000", "can do at most; it was measured on another machine"),
        ("1e999", "has no tokens_per_second"),
    ):
        run.write_text(f'{{"tokens_per_second": {speed}}}')
        assert said in tunesmith("plan", "--defaults", "--calibration", run).stderr
    run.write_text('{"tokens_per_second": 50}')
    assert "can do at most" not in tunesmith("plan", "--defaults", "--calibration", run).stderr


@pytest.mark.parametrize("content", ["[1]", "null", '"x"', '{"text_config": 3}', "{}", "{", "max", "floats"])
def test_a_config_that_describes_no_model_is_refused(content: str, tunesmith: Run, tmp_path: Path) -> None:
    broken = {"max": {"max_position_embeddings": "many"}, "floats": {"hidden_size": 2048.5}}
    written = json.dumps(CONFIG | broken[content]) if content in broken else content
    (tmp_path / "config.json").write_text(written)
    settings = ("model=custom", "model_source=path", f"model_id={tmp_path}")
    done = tunesmith("plan", "--defaults", *(part for setting in settings for part in ("--set", setting)))
    assert done.returncode == 2 and "config.json" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_custom_model_is_described_by_its_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    custom = answers(model="custom", hardware="l4")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    here = plan(custom, {"model_source": "path", "model_id": str(tmp_path)})
    assert here.model.shape.parameters == CATALOGUE.models["llama-3.2-1b-instruct"].parameters
    assert here.knobs["max_length"] == 1024 and here.model.context_length == 4096

    cached = tmp_path / "hub" / "models--some--model" / "snapshots" / "abc"
    cached.mkdir(parents=True)
    shutil.copy(tmp_path / "config.json", cached)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    hub = plan(custom, {"model_source": "hub", "model_id": "some/model"})
    assert hub.model.shape == here.model.shape and hub.model.known
    absent = plan(custom, {"model_source": "hub", "model_id": "some/other"})
    assert not absent.model.known and "planned as" in absent.model.source
    assert "`hf download some/other config.json --revision main`, then plan again" in absent.model.source
    pins = {"model_source": "hub", "model_id": "some/other", "model_revision": "a" * 40}
    said = plan_report.short_notes(plan(custom, pins))
    assert any("planned as" in line and f"--revision {'a' * 40}`" in line for line in said), said
    listed = plan(custom, {"model_source": "hub", "model_id": "Qwen/Qwen2.5-0.5B-Instruct"})
    assert listed.model.shape == plan(answers(model="qwen2.5-0.5b-instruct"), {}).model.shape and listed.model.known

    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FileProblem):
        plan(custom, {"model_source": "path", "model_id": str(tmp_path)})


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A project of the default answers to change."""
    return Path(shutil.copytree(project, tmp_path / "project"))


def test_a_project_is_planned_from_its_params_its_counts_and_its_run(copy: Path, tunesmith: Run) -> None:
    fresh = json.loads(tunesmith("plan", copy, "--json").stdout)["training"]
    params = copy / "params.yaml"
    params.write_text(params.read_text().replace("micro_batch_size: 8", "micro_batch_size: 4"))
    less = json.loads(tunesmith("plan", copy, "--json").stdout)["training"]
    assert less["choices"]["micro_batch_size"]["value"] == 4
    assert less["memory_gib"]["typical"] < fresh["memory_gib"]["typical"]

    (copy / "reports" / "measured").mkdir(parents=True, exist_ok=True)
    counts = {"rows": 100, "tokens": 5000, "longest": 90, "median": 49, "p95": 60}
    (copy / "reports" / "format.json").write_text(json.dumps({"train": counts}))
    record = measured(copy) | {"tokens_per_second": 40.0, "peak_memory_gib": 3.0}
    (copy / "reports" / "measured" / "train.json").write_text(json.dumps(record))
    after = json.loads(tunesmith("plan", copy, "--json").stdout)["training"]
    assert after["tokens"]["typical"] == 96 * 4 * 50 and "tokenizer" in after["tokens"]["source"]
    assert after["seconds"]["typical"] == pytest.approx(96 * 4 * 50 / 40)
    assert after["seconds"]["high"] / after["seconds"]["low"] == pytest.approx(1.1 / 0.9)
    assert after["seconds"]["calibrated"] > 0
    assert 1 < after["seconds"]["padding"] < fresh["seconds"]["padding"]  # rows of nearly equal length pad little
    (copy / "reports" / "format.json").write_text(json.dumps({"train": counts | {"lengths": [40] * 9 + [140]}}))
    uneven = json.loads(tunesmith("plan", copy, "--json").stdout)["training"]["seconds"]["padding"]
    assert uneven == pytest.approx((40 * 0.9**4 + 140 * (1 - 0.9**4)) / 50)  # four rows, one in ten of them long
    assert after["measured"]["peak_gib"] == 3.0
    assert "measured 3.00 GiB" in tunesmith("plan", copy).stdout


def measured(project: Path) -> dict[str, Any]:
    """The record of a run of this project's own setup on a processor, as its stage `train` writes it."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    train, model = params["train"], params["model"]
    setup = {
        "smoke": False,
        "hardware": params["cost"]["hardware"],
        "model": [model["source"], model["id"], model["revision"]],
        "max_length": params["format"]["max_length"],
        "method": train["method"],
        "micro_batch_size": train["micro_batch_size"],
        "devices": 1,
        "sharding": "none",
    }
    return {"setup": setup, "device": "a processor", "device_kind": "cpu", "tokens_per_second": 40.0}


def keep(project: Path, name: str, record: Any) -> None:
    folder = project / "reports" / "measured"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "full"}, "method"),
        ({"micro_batch_size": 1}, "micro_batch_size"),
        ({"max_length": 4096}, "max_length"),
        ({"model": ["hub", "other/model", "0" * 40]}, "model"),
        ({"hardware": "l4"}, "hardware"),
        ({"smoke": True}, "smoke"),
    ],
)
def test_a_run_of_another_setup_calibrates_nothing(copy: Path, changes: dict[str, Any], said: str) -> None:
    record = measured(copy)
    keep(copy, "train.json", record | {"setup": record["setup"] | changes})
    found = project_reader.project(copy)
    assert found.measured is None and said in found.notes[0] and "not used" in found.notes[0]


def test_a_run_on_another_device_calibrates_nothing(copy: Path) -> None:
    keep(copy, "train.json", measured(copy) | {"device": "NVIDIA L4", "device_kind": "cuda"})
    assert project_reader.project(copy).measured is None
    params = copy / "params.yaml"
    params.write_text(params.read_text().replace("hardware: cpu", "hardware: l4"))
    for device, used in (("NVIDIA L4", True), ("NVIDIA L40S", False), ("NVIDIA A100-SXM4-80GB", False)):
        keep(copy, "train.json", measured(copy) | {"device": device, "device_kind": "cuda"})
        assert bool(project_reader.project(copy).measured) == used, device


def test_a_run_that_does_not_say_its_setup_calibrates_nothing(copy: Path) -> None:
    keep(copy, "train.json", {"method": "qlora", "tokens_per_second": 5})
    assert "does not state" in project_reader.project(copy).notes[0]


def test_a_calibration_stands_in_for_a_run_that_does_not_fit_the_plan(copy: Path) -> None:
    keep(copy, "calibration.json", measured(copy) | {"tokens_per_second": 70.0})
    found = project_reader.project(copy)
    assert found.measured and found.measured.tokens_per_second == 70.0
    keep(copy, "train.json", {"tokens_per_second": 5})
    assert project_reader.project(copy).measured == found.measured
    keep(copy, "train.json", measured(copy))
    whole = project_reader.project(copy).measured
    assert whole and whole.tokens_per_second == 40.0, "a whole run before twenty steps"


def test_calibration_replaces_the_prior_and_says_by_how_much(tmp_path: Path, tunesmith: Run) -> None:
    path = tmp_path / "short.json"
    path.write_text('{"tokens_per_second": 1000}')
    done = tunesmith("plan", "--defaults", "--calibration", path)
    assert "1,000 tokens per second" in done.stdout and "times the estimated speed" in done.stdout
    for text in ('{"tokens_per_second": -1}', "[]", "{", '{"tokens_per_second": true}'):
        path.write_text(text)
        refused = tunesmith("plan", "--defaults", "--calibration", path)
        assert refused.returncode == 2 and str(path) in refused.stderr and "Traceback" not in refused.stderr
    missing = tunesmith("plan", "--defaults", "--calibration", tmp_path / "none.json")
    assert missing.returncode == 2 and "none.json" in missing.stderr


@pytest.mark.parametrize(
    "old, new", [("max_length:", "max_len:"), ("hardware: cpu", "hardware: l5"), ("train:", "tr: [")]
)
def test_a_project_that_cannot_be_read_is_refused(copy: Path, tunesmith: Run, old: str, new: str) -> None:
    params = copy / "params.yaml"
    params.write_text(params.read_text().replace(old, new, 1))
    done = tunesmith("plan", copy)
    assert done.returncode == 2 and "params.yaml" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("approach", ["prompting", "rag"])
def test_a_project_without_training_is_planned_as_its_spec_was(tmp_path: Path, tunesmith: Run, approach: str) -> None:
    spec = ("--defaults", "--set", f"approach={approach}", "--set", "request_tokens=900", "--set", "hardware=l4")
    tunesmith("new", tmp_path / "p", *spec)
    shutil.rmtree(tmp_path / "p" / "prompts")  # which would be counted as they are
    ours, theirs = (json.loads(tunesmith("plan", *of, "--json").stdout) for of in ((tmp_path / "p",), spec))
    assert ours["training"] is None and f"the approach {approach} trains nothing" in ours["notes"]
    assert ours["evaluation_gib"] == theirs["evaluation_gib"] and ours["inference_gib"] == theirs["inference_gib"]
    assert ours["cost_to_own"] == theirs["cost_to_own"] and ours["cost_to_own"]
    said = tunesmith("plan", tmp_path / "p").stdout
    assert "$ per 1,000 requests" in said and "$ over 3 years" in said and "Memory of training" not in said


def test_a_project_is_planned_with_its_prompts_and_what_its_answers_say(copy: Path, tunesmith: Run) -> None:
    before = json.loads(tunesmith("plan", copy, "--json").stdout)
    answers = copy / ".copier-answers.yml"
    answers.write_text(answers.read_text().replace("data_may_leave: true", "data_may_leave: false"))
    (copy / "prompts" / "prompted.txt").write_text("Answer at length. " * 400)
    after = json.loads(tunesmith("plan", copy, "--json").stdout)
    assert after["evaluation_gib"]["typical"] > before["evaluation_gib"]["typical"]
    assert any("hosted" in row["title"] for row in before["cost_to_own"])
    assert not any("hosted" in row["title"] for row in after["cost_to_own"])


def test_a_folder_without_a_project_is_refused(tmp_path: Path, tunesmith: Run) -> None:
    done = tunesmith("plan", tmp_path)
    assert done.returncode == 2 and "params.yaml" in done.stderr


def test_figures_that_nobody_read_for_ninety_days_are_pointed_out() -> None:
    made = plan(answers(), {})
    fresh = max(made.machine.figures["date"], dt.date.fromisoformat(made.price.date))  # type: ignore[union-attr]
    assert len(plan_report._stale(made, fresh + dt.timedelta(days=300))) == 3
    assert not plan_report._stale(replace(made, price=None), made.machine.figures["date"] + dt.timedelta(days=90))


def test_a_measured_speed_is_the_speed_of_the_plan() -> None:
    made = plan(answers(), {}, measured=Measured(50.0, 0.0, "a run"))
    assert made.time.tokens_per_second == 50.0
    assert made.time.typical == pytest.approx(made.tokens.typical / 50)


def test_new_says_whether_it_will_fit(tunesmith: Run, tmp_path: Path) -> None:
    done = tunesmith("new", tmp_path / "p", "--defaults", "--set", "method=full", "--set", "hardware=t4")
    assert done.returncode == 0 and "plan: full of smollm2-135m-instruct" in done.stderr


SPOKEN = ("--set", "request_tokens=1500", "--set", "answer_tokens=600", "--set", "approach=finetune")
LARGE = ("--defaults", "--set", "model=llama-3.3-70b-instruct", "--set", "hardware=h100_sxm", *SPOKEN)


def test_rows_are_as_long_as_the_spec_says_and_none_is_too_long_to_train_on(tunesmith: Run) -> None:
    made = json.loads(tunesmith("plan", *LARGE, "--json").stdout)
    choice, tokens = made["training"]["choices"]["max_length"], made["training"]["tokens"]
    assert choice["value"] == 4096 and "rows of 2105 tokens, up to 2945" in choice["reason"]
    assert "rows of 2105 tokens by the spec's request_tokens and answer_tokens" in tokens["source"]
    assert tokens["low"] < tokens["typical"] < tokens["high"]
    small = json.loads(tunesmith("plan", "--defaults", *SPOKEN[-2:], "--json").stdout)["training"]
    assert (
        small["choices"]["max_length"]["value"] == 256
        and "rows assumed as 50% of max_length" in small["tokens"]["source"]
    )
    passages = ("--set", "approach=rag_finetune", "--set", "request_tokens=300", "--set", "hardware=l4")
    made = json.loads(tunesmith("plan", "--defaults", "--set", "model=qwen3-4b", *passages, "--json").stdout)
    assert made["training"]["choices"]["max_length"]["value"] == 1024
    assert "rows of 715 tokens" in made["training"]["tokens"]["source"], "the passages of the defaults are 360"


def test_a_pinned_length_that_leaves_rows_out_is_said(tunesmith: Run) -> None:
    told = tunesmith("plan", *LARGE, "--set", "max_length=1024").stdout
    assert "rows of 2105 tokens" in told and "rows longer than max_length: 1024 are left out" in told
    assert "are left out" not in tunesmith("plan", *LARGE).stdout


def test_what_would_cut_answers_or_ask_for_terms_is_said(tunesmith: Run) -> None:
    done = tunesmith("plan", *LARGE)
    assert "70.55 B parameters; Llama 3.3 Community License, gated: accept its terms" in done.stdout
    assert "Memory of answering the benchmark, 1 prompt at a time" in done.stdout
    assert "max_new_tokens: 64 would truncate answers of 600 tokens" in done.stderr
    plain = tunesmith("plan", "--defaults")
    assert "0.13 B parameters; Apache-2.0\n" in plain.stdout and "would truncate" not in plain.stderr


def test_every_row_that_a_machine_cannot_serve_says_so(tunesmith: Run) -> None:
    told = json.loads(tunesmith("advise", *LARGE, "--set", "data_may_leave=false", "--json").stdout)
    notes = [row["note"] for row in told["estimates"]]
    assert len(notes) >= 4 and all("does not fit on NVIDIA H100 SXM" in note for note in notes), notes


def test_two_changes_are_offered_where_neither_does_alone(tunesmith: Run) -> None:
    full = ("--set", "model=qwen2.5-32b-instruct", "--set", "hardware=a100_40gb", "--set", "method=full")
    made = json.loads(tunesmith("plan", "--defaults", "--set", "approach=finetune", *full, "--json").stdout)
    offered = {tuple(sorted(change["settings"])) for change in made["changes"]}
    assert offered == {("model",), ("hardware", "method"), ("devices", "hardware"), ("method", "model")}
    (larger,) = (row["what"] for row in made["changes"] if set(row["settings"]) == {"hardware", "method"})
    assert "lora" in larger
    (smaller,) = (row["settings"]["model"] for row in made["changes"] if set(row["settings"]) == {"method", "model"})
    assert smaller == "qwen2.5-14b-instruct", "the largest that fits"


def test_no_length_is_offered_that_leaves_rows_out(tunesmith: Run) -> None:
    tight = ("model=qwen3-8b", "hardware=a100_40gb", "request_tokens=6000", "answer_tokens=1000", "approach=finetune")
    words = [word for pair in tight for word in ("--set", pair)]
    spoken = json.loads(tunesmith("plan", "--defaults", *words, "--json").stdout)
    assert spoken["training"]["choices"]["max_length"]["value"] == 16384 and not spoken["fits"]
    assert spoken["changes"] and not [row for row in spoken["changes"] if "max_length" in row["settings"]], "4096 fits"


def test_advice_that_cannot_be_generated_yet_says_what_to_use_today(tunesmith: Run) -> None:
    wanted = ("prompt_measured=true", "behaviour_gap=true", "good_examples=800", "runs_models=false")
    told = tunesmith("advise", "--defaults", *(word for pair in wanted for word in ("--set", pair)))
    assert "the advice would set backend: hosted (your spec: trl)" in told.stdout
    assert "planned, not built yet" in told.stdout and "today use backend: trl" in told.stdout
    assert "impossible" not in told.stdout


def test_a_plan_of_a_project_pins_every_knob_that_a_measured_speed_holds_for() -> None:
    """The engine lists them for its records, and the planner for what it reads; neither may import the other."""
    (shaping,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(RUN_RECORD.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SHAPING"
    )
    answered = {"method", "target_modules", "devices", "sharding"}  # read under another name, or with a default
    assert set(shaping) == {*project_reader._TRAIN_KNOBS, *answered} - {"max_steps"}
