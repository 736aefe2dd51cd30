"""A machine of the user's own: generated, priced, updated, and planned where nobody has the file it came from."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, Run

from tunesmith import catalog, wizard
from tunesmith.costing import price_list
from tunesmith.questions import questions

HARDWARE = """hardware:
  house_card:
    {title: "House 'card' <64>", memory_gib: 64, bf16: true, generation: hopper, tflops: 500,
     bandwidth_gb_s: 2000, watts: 400}
  old_card:
    {title: Old card, memory_gib: 24, bf16: false, generation: turing, tflops: 60, bandwidth_gb_s: 500, watts: 250}
  amd_card:
    {title: AMD card, memory_gib: 24, bf16: true, generation: cdna3, tflops: 60, bandwidth_gb_s: 500, watts: 250}
  cpu_house:
    {title: House CPU, memory_gib: 64, bf16: true, generation: cpu, tflops: 1, bandwidth_gb_s: 90, watts: 90}
"""
PRICES = "hardware: {house_card: 0.7}\non_prem: {devices: {house_card: {purchase_usd: 9000}}}\n"
TUNED = ("--defaults", "--set", "approach=finetune", "--set")


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("configured") / "tunesmith"
    folder.mkdir()
    (folder / "hardware.yaml").write_text(HARDWARE)
    (folder / "prices.yaml").write_text(PRICES)
    return {"XDG_CONFIG_HOME": str(folder.parent)}


@pytest.fixture(scope="module")
def made(tunesmith: Run, home: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "project"
    done = tunesmith("new", path, *TUNED, "hardware=house_card", "--set", "devices=2", **home)
    assert done.returncode == 0, done.stderr
    assert "2 x House 'card' <64>" in done.stderr
    return path


def test_its_figures_and_prices_are_in_the_project(made: Path) -> None:
    params = yaml.safe_load((made / "params.yaml").read_text())
    assert params["cost"]["hardware"] == "house_card"
    assert params["train"]["devices"] == 2 and params["train"]["compute_dtype"] == "bf16"
    assert json.loads((made / "plan.json").read_text())["hardware"] == "house_card"


def test_the_price_list_holds_its_rows_and_is_otherwise_the_catalogues(made: Path, project: Path) -> None:
    listed, plain = (yaml.safe_load((folder / "prices.yaml").read_text()) for folder in (made, project))
    price = listed["hardware"].pop("house_card")
    assert (price["title"], price["usd_per_hour"]) == ("House 'card' <64>", 0.7)
    device = listed["on_prem"]["devices"].pop("house_card")
    assert (device["purchase_usd"], device["watts"]) == (9000, 400)
    figure = price_list.machine(
        {"hardware": {"house_card": price}}, "house_card", "prices.yaml"
    )  # as the cost stage reads
    assert figure.amount == (0.7, 0.7, 0.7) and figure.source == "yours, prices.yaml"
    assert listed == plain == yaml.safe_load((REPOSITORY / "schemas/catalog/prices.yaml").read_text())
    catalogue = (REPOSITORY / "schemas/catalog/prices.yaml").read_bytes()
    assert (project / "prices.yaml").read_bytes() == catalogue, "without such a machine nothing is added"


def test_somebody_without_the_file_plans_checks_and_updates_it(tunesmith: Run, made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "clone"
    shutil.copytree(made, copy)
    planned = json.loads(tunesmith("plan", copy, "--json").stdout)
    assert (planned["machine"]["title"], planned["devices"]) == ("House 'card' <64>", 2)
    hours = planned["training"]["device_hours"]["typical"]
    assert planned["training"]["usd"]["typical"] == pytest.approx(0.7 * hours)
    assert "ENV003" in tunesmith("doctor", copy).stdout, "nvidia-smi finds no such card here"
    done = tunesmith("update", copy, "--set", "good_examples=4000", "--here")
    assert done.returncode == 0, done.stderr
    recorded = yaml.safe_load((copy / ".copier-answers.yml").read_text())
    assert recorded["hardware"] == "house_card" and recorded["good_examples"] == 4000
    assert recorded["plan_max_steps"] == 3 * 4000 // 16, "planned anew for the recorded machine"
    assert (copy / "prices.yaml").read_bytes() == (made / "prices.yaml").read_bytes(), (
        "with what was known of its price"
    )
    advised = tunesmith("advise", "--spec", copy / ".copier-answers.yml")  # as DECISION.md says
    assert "own House 'card' <64>" in advised.stdout, advised.stderr
    moved = tunesmith("update", copy, "--set", "hardware=l4", "--here")
    assert moved.returncode == 0, moved.stderr
    assert "house_card" not in (copy / "prices.yaml").read_text() + (copy / ".copier-answers.yml").read_text()


def test_plain_copier_copies_and_recopies_it(
    made: Path, tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    plain, options = tmp_path / "plain", ["--defaults", "--quiet", "--vcs-ref", "HEAD"]
    answers = ["--data-file", str(made / ".copier-answers.yml")]
    copier = [sys.executable, "-m", "copier"]
    subprocess.run([*copier, "copy", *options, *answers, str(REPOSITORY), str(plain)], check=True)
    assert {name for name, content in tree(made).items() if tree(plain).get(name) != content} <= {".copier-answers.yml"}
    git(plain, "init", "--quiet")
    git(plain, "add", "--all")
    git(plain, "commit", "--quiet", "--message", "Generate")
    subprocess.run([*copier, "recopy", "--overwrite", *options, "--data", "seed=7", str(plain)], check=True)
    changed = git(plain, "status", "--short").split()[1::2]
    assert sorted(changed) == [".copier-answers.yml", "params.yaml"]
    assert yaml.safe_load((plain / "params.yaml").read_text())["cost"]["hardware"] == "house_card"


def test_a_machine_that_the_locks_have_no_torch_for_is_generated_with_a_word(
    tunesmith: Run, home: dict[str, str], tmp_path: Path
) -> None:
    for name in ("amd_card", "mi300x"):
        for command in (("plan",), ("new", tmp_path / name)):
            done = tunesmith(*command, *TUNED, f"hardware={name}", **home)
            assert done.returncode == 0 and "have no build of torch for it" in done.stderr, done.stderr


def test_a_machine_without_a_price_is_generated_and_the_price_is_asked_for(
    tunesmith: Run, home: dict[str, str], tmp_path: Path
) -> None:
    new = tunesmith("new", tmp_path / "p", *TUNED, "hardware=old_card", **home)
    assert new.returncode == 0 and "no price known for old_card" in new.stderr
    words = tunesmith("plan", *TUNED, "hardware=old_card", **home)
    assert "Money    no price known for old_card" in words.stdout
    fix = f"add `hardware: {{old_card: USD_PER_HOUR}}` to {home['XDG_CONFIG_HOME']}/tunesmith/prices.yaml, or"
    assert "no cost to own" in words.stderr and fix in words.stderr
    asked = tunesmith("advise", *TUNED, "hardware=old_card", **home)
    assert asked.returncode == 2 and fix in asked.stderr and "schema" not in asked.stderr, asked.stderr
    own = tmp_path / "prices.yaml"
    own.write_text("hardware: {old_card: 0.4}\non_prem: {devices: {old_card: {purchase_usd: 900}}}\n")
    priced = tunesmith("advise", *TUNED, "hardware=old_card", "--prices", own, **home)
    assert "own Old card" in priced.stdout, priced.stderr
    listed = yaml.safe_load((tmp_path / "p/prices.yaml").read_text())
    assert listed["hardware"]["old_card"]["usd_per_hour"] is None
    assert yaml.safe_load((tmp_path / "p/params.yaml").read_text())["train"]["compute_dtype"] == "fp16"
    planned = json.loads(tunesmith("plan", tmp_path / "p", "--json").stdout)
    assert planned["training"]["usd"] is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["hardware=old_card", "--set", "devices=2", "--set", "sharding=fsdp"], "FSDP in fp16"),
        (["hardware=old_card", "--set", "compute_dtype=bf16"], "no bf16 arithmetic"),
        (["hardware=cpu_house", "--set", "devices=2"], "devices"),
        (["hardware=house_cart"], "did you mean house_card?"),
        (["hardware=my_card"], "a machine of your own is a row of ~/.config/tunesmith/hardware.yaml"),
    ],
)
def test_what_cannot_be_generated_on_it_is_refused(
    settings: list[str], said: str, tunesmith: Run, home: dict[str, str], tmp_path: Path
) -> None:
    done = tunesmith("new", tmp_path / "p", *TUNED, *settings, **home)
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "p").exists(), done.stderr


@pytest.mark.parametrize(("key", "generation"), [("xeon", "cpu"), ("cpu_card", "ada")])
def test_the_key_of_a_processor_says_so(key: str, generation: str, tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "tunesmith").mkdir()
    row = f"{{title: X, memory_gib: 64, bf16: true, generation: {generation}, tflops: 1, bandwidth_gb_s: 9, watts: 9}}"
    (tmp_path / "tunesmith/hardware.yaml").write_text(f"hardware: {{{key}: {row}}}")
    done = tunesmith("catalog", XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 2 and "only keys of processors begin with cpu_" in done.stderr


def test_a_recorded_machine_that_is_none_changes_nothing(tunesmith: Run, made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "clone"
    shutil.copytree(made, copy)
    answers = yaml.safe_load((copy / ".copier-answers.yml").read_text())
    (copy / ".copier-answers.yml").write_text(yaml.safe_dump({**answers, "plan_machine": '{"key": "house_card"}'}))
    done = tunesmith("plan", copy)
    assert done.returncode == 2 and "cost.hardware: 'house_card' is not known" in done.stderr


def test_the_wizard_offers_it(home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", home["XDG_CONFIG_HOME"])
    offered = [choice.value for choice in wizard._choices(catalog.load(), questions()["hardware"])]
    assert offered == [*questions()["hardware"].enum, "house_card", "old_card", "amd_card", "cpu_house"]
