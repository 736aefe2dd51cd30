"""The terminal verdict and the exit code."""

from pathlib import Path

import pytest
from finished_project import PARAMS, finish_project

from engine.core.artifacts import SCORES
from engine.core.errors import run_stage
from engine.core.io import read, read_json, write_json
from engine.evaluation.results import Scores
from engine.serving.trial import served_arm
from pipeline import cost, gate, report


def run() -> int:
    cost.main()
    report.main()
    return run_stage(gate.main)


def test_the_verdict_is_told_in_80_columns(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish_project(project)
    assert run() == 0
    told = capsys.readouterr().out.split("wrote ", 1)[1].split("\n", 1)[1]
    for wanted in (
        "VERDICT: SHIP TUNED",
        "zero_shot",
        "95% interval",
        "exact McNemar",
        "Ship: the tuned model",
        "reports/report.html",
    ):
        assert wanted in told
    assert max(len(line) for line in told.splitlines()) <= 80


def test_an_endpoint_to_ship_is_named_with_its_address(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = "endpoint: {base_url: https://models.example/v1, model: big-model, concurrency: 4}"
    params = PARAMS.replace("endpoint: null", address)
    finish_project(project, params=params, shares={"few_shot": 0.05, "endpoint_few_shot": 0.9, "tuned": 0.3})
    run()
    told = " ".join(capsys.readouterr().out.split())
    assert "big-model at https://models.example/v1" in told and "engine.serving.server" not in told
    assert "results/baseline/prompts/endpoint_few_shot.jsonl" in told, "examples and passages too"


def test_a_gguf_file_to_ship_is_named_with_what_serves_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = PARAMS.replace("endpoint: null", "endpoint: null, gguf: {path: big.gguf, sha256: " + "ab" * 32 + "}")
    finish_project(project, params=params, shares={"few_shot": 0.05, "gguf_few_shot": 0.9, "tuned": 0.3})
    assert run() == 0, "the arm that was tried on the server is this project's own best, not the one that ships"
    told = " ".join(capsys.readouterr().out.split())
    assert "VERDICT: USE THE PROMPT" in told and "Ship: the few-shot prompt on the GGUF file's model" in told
    assert "big.gguf (llama-server -m)" in told and "results/baseline/prompts/gguf_few_shot.jsonl" in told
    assert "engine.serving.server" not in told
    page = (project / "reports/report.html").read_text("utf-8")
    assert "the few-shot prompt on the GGUF file" in page
    assert served_arm(read(SCORES, Scores, "evaluate")) == "tuned"


LOSING = {"zero_shot": 0.1, "few_shot": 0.8, "tuned": 0.3}
OPEN = {"zero_shot": 0.1, "few_shot": 0.5, "tuned": 0.55}


@pytest.mark.parametrize(
    ("shares", "decision", "passing"),
    [
        (None, "SHIP TUNED", "any ships goal"),
        (LOSING, "USE THE PROMPT", "any ships"),
        (OPEN, "INSUFFICIENT EVIDENCE", "any"),
    ],
)
def test_a_verdict_stops_the_run_as_params_say(
    project: Path, capsys: pytest.CaptureFixture[str], shares: dict[str, float] | None, decision: str, passing: str
) -> None:
    finish_project(project, shares=shares)
    serve_what_ships(project)
    run()
    for wanted in ("any", "ships", "goal"):
        finish_project(project, shares=shares, params=PARAMS.replace("verdict: ships", f"verdict: {wanted}"))
        serve_what_ships(project)
        capsys.readouterr()
        assert run_stage(gate.main) == (wanted not in passing.split())
        captured = capsys.readouterr()
        assert f"VERDICT: {decision}" in captured.out
        assert (f"gate.verdict is {wanted}" in captured.err) == (wanted not in passing.split())


def serve_what_ships(project: Path) -> None:
    """Write the report that `serve` makes of the arm that it picks."""
    arm = served_arm(read(SCORES, Scores, "evaluate"))
    path = project / "reports/serve.json"
    write_json(path, read_json(path) | {"arm": arm})


def test_the_arm_that_is_tried_on_the_server_is_the_one_that_ships(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_project(project, shares=LOSING)  # ships the prompt; its report says that the tuned model was tried
    assert run() == 1
    assert "tuned was tested on the server, but the verdict ships few_shot" in capsys.readouterr().err
    serve_what_ships(project)
    assert run() == 0


def test_an_endpoint_that_ships_leaves_the_best_arm_of_this_machine_to_try(project: Path) -> None:
    finish_project(project, shares={"few_shot": 0.05, "endpoint_few_shot": 0.9, "tuned": 0.3})
    assert served_arm(read(SCORES, Scores, "evaluate")) == "tuned"
    finish_project(project, shares=OPEN)
    assert served_arm(read(SCORES, Scores, "evaluate")) == "tuned", "nothing ships: the one asked about"


def test_evaluation_items_in_the_training_data_stop_the_run_unless_that_is_allowed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for allowed in (False, True):
        text = f"allow_contamination: {str(allowed).lower()}"
        finish_project(project, params=PARAMS.replace("allow_contamination: false", text))
        data = project / "reports/data.json"
        found = {"policy": "keep", "records": 3, "benchmarks": {"data/eval": {"items": 304, "found": 3}}}
        write_json(data, read_json(data) | {"contamination": found})
        capsys.readouterr()
        assert run() == (not allowed)
        assert ("3 training records contain an evaluation item" in capsys.readouterr().err) == (not allowed)
        assert "3 training records contain an evaluation item" in (project / "reports/report.html").read_text("utf-8")


def test_a_server_that_answers_otherwise_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish_project(project)
    serving = project / "reports/serve.json"
    write_json(serving, read_json(serving) | {"parity": {"items": 8, "equal": 7, "equal_unbatched": 0}})
    assert run() == 1
    assert "7 of 8" in capsys.readouterr().err


def test_a_baseline_of_another_benchmark_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish_project(project)
    marker = project / "results/baseline.json"
    write_json(marker, read_json(marker) | {"benchmark_sha256": "f" * 64})
    assert run() == 1
    assert "different benchmarks" in capsys.readouterr().err


def test_a_model_that_was_tuned_before_any_baseline_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_project(project)
    cost.main()
    report.main()
    (project / "results/baseline.json").unlink()
    assert run_stage(gate.main) == 1
    assert "results/baseline.json" in capsys.readouterr().err


def test_a_smoke_run_draws_no_verdict_and_is_no_failure(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = PARAMS.replace("smoke: false", "smoke: true").replace("verdict: ships", "verdict: goal")
    finish_project(project, params=params, n=8, shares={"zero_shot": 0, "few_shot": 0, "tuned": 0})
    assert run() == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "NO VERDICT" in told and "says nothing about the model" in told and "Ship:" not in told
