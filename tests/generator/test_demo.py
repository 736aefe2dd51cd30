"""What the demo shows at its end, and what it needs to begin."""

from pathlib import Path

import pytest
from conftest import Run

from tunesmith import demo, package_data, project_env, spec
from tunesmith.errors import FileProblem

VERDICT = {"decision": "INSUFFICIENT EVIDENCE", "ship": None, "report": "reports/report.html"}


def test_the_end_tells_decision_report_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    demo.show(VERDICT, Path("project"))
    shown = capsys.readouterr().out
    assert "INSUFFICIENT EVIDENCE; ship: nothing yet" in shown
    assert "report: project/reports/report.html" in shown and "cd project" in shown


@pytest.mark.parametrize("name", package_data.examples())
def test_an_example_is_a_valid_spec_of_its_own_data(name: str) -> None:
    assert spec.validate(spec.from_file(package_data.examples()[name])).answers["example"] == name


def test_a_directory_that_is_no_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="not a generated project"):
        project_env.run(tmp_path, "dvc", "repro")


def test_a_demo_that_was_cut_off_goes_on(tunesmith: Run, tmp_path: Path) -> None:
    """The environment stands in by a script: what matters is that it is asked again and that nothing is overwritten."""
    path = tmp_path / "demo"
    assert tunesmith("new", path, "--spec", package_data.examples()["home_assistant"]).returncode == 0
    (path / "environment.py").write_text("import sys; print('asked:', *sys.argv[1:]); sys.exit(9)\n")
    (path / "params.yaml").write_text("mine\n")
    done = tunesmith("demo", path)
    assert (
        "continues; finished stages are kept" in done.stderr
        and "asked: dvc repro" in done.stdout
        and done.returncode != 0
    )
    assert (path / "params.yaml").read_text() == "mine\n"
    assert tunesmith("demo", path, "--example", "facts").returncode == 3, "another example's project is in use"


def test_what_to_run_next_names_the_environment_that_was_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROJECT_VENV", "/a place/env")
    monkeypatch.setenv("PROJECT_CACHE", "/a-cache")
    demo.show(VERDICT, Path("/demo"))
    monkeypatch.delenv("PROJECT_VENV")
    monkeypatch.delenv("PROJECT_CACHE")
    demo.show(VERDICT, Path("/demo"))
    first, second = (line for line in capsys.readouterr().out.splitlines() if "again" in line)
    assert first.endswith(
        "cd /demo  &&  PROJECT_VENV='/a place/env' PROJECT_CACHE=/a-cache python3 environment.py dvc repro"
    )
    assert second.endswith("cd /demo  &&  python3 environment.py dvc repro")
