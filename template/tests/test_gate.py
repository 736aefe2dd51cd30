"""The terminal verdict and the exit code."""

from pathlib import Path

import pytest
from finished_project import PARAMS, finish_project

from pipeline import cost, gate, report
from pipeline.files import read_json, run_stage, write_json


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    assert "big-model at https://models.example/v1" in told and "pipeline.server" not in told


def test_a_losing_tuned_model_passes_unless_shipping_is_required(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    losing = {"zero_shot": 0.1, "few_shot": 0.8, "tuned": 0.3}
    finish_project(project, shares=losing)
    assert run() == 0
    assert "VERDICT: USE THE PROMPT" in capsys.readouterr().out
    finish_project(project, shares=losing, params=PARAMS.replace("require_ship: false", "require_ship: true"))
    assert run() == 1
    captured = capsys.readouterr()
    assert "gate.require_ship" in captured.err and "VERDICT: USE THE PROMPT" in captured.out


def test_a_server_that_answers_otherwise_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish_project(project)
    serving = project / "reports/serve.json"
    write_json(serving, read_json(serving) | {"parity": {"items": 8, "equal": 7}})
    assert run() == 1
    assert "7 of 8" in capsys.readouterr().err


def test_a_baseline_of_another_benchmark_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish_project(project)
    marker = project / "results/baseline.json"
    write_json(marker, read_json(marker) | {"benchmark_sha256": "f" * 64})
    assert run() == 1
    assert "another benchmark" in capsys.readouterr().err


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
    params = PARAMS.replace("smoke: false", "smoke: true").replace("require_ship: false", "require_ship: true")
    finish_project(project, params=params, n=8, shares={"zero_shot": 0, "few_shot": 0, "tuned": 0})
    assert run() == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "NO VERDICT" in told and "says nothing about the model" in told and "Ship:" not in told
