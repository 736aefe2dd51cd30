"""What the demo shows at its end, and what it needs to begin."""

from pathlib import Path

import pytest

from tunesmith import demo, resources, runner, spec
from tunesmith.errors import FileProblem

VERDICT = {"decision": "INSUFFICIENT EVIDENCE", "ship": None, "report": "reports/report.html"}


def test_the_end_tells_decision_report_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    demo.show(VERDICT, Path("project"))
    shown = capsys.readouterr().out
    assert "INSUFFICIENT EVIDENCE; ship: nothing yet" in shown
    assert "report: project/reports/report.html" in shown and "cd project" in shown


@pytest.mark.parametrize("name", resources.examples())
def test_an_example_is_a_valid_spec_of_its_own_data(name: str) -> None:
    assert spec.validate(spec.from_file(resources.examples()[name])).answers["example"] == name


def test_a_directory_that_is_no_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="not a generated project"):
        runner.run(tmp_path, "dvc", "repro")
