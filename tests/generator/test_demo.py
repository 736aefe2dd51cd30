"""What the demo shows at its end, and what it needs to begin."""

from pathlib import Path

import pytest

from tunesmith import demo, resources, runner, spec
from tunesmith.errors import FileProblem

VERDICT = {
    "decision": "SHIP TUNED",
    "ship": "tuned",
    "reason": "The tuned model scores 71.7%.",
    "best_baseline": "few_shot",
    "tuned": "tuned",
    "difference": {"mean": 0.4875, "low": 0.408, "high": 0.562},
    "p_value": 3.9e-24,
    "test": "exact McNemar",
    "items": 240,
    "primary_metric": "json_match",
    "arms": {
        "few_shot": {"mean": 0.229, "low": 0.18, "high": 0.286},
        "tuned": {"mean": 0.717, "low": 0.657, "high": 0.77},
    },
    "cost": {"usd_per_1000_requests": {"tuned": {"low": 0.0047, "typical": 0.0075, "high": 0.01}}},
    "report": "reports/report.html",
}


def test_the_end_tells_scores_test_price_decision_and_report(capsys: pytest.CaptureFixture[str]) -> None:
    demo.show(VERDICT, Path("project"))
    shown = capsys.readouterr().out
    for part in (
        "0.717 (0.657 to 0.770)",
        "0.0075 (0.0047 to 0.0100)",
        "tuned against few_shot: +0.487 (+0.408 to +0.562), exact McNemar, p = 3.9e-24, 240 items",
        "SHIP TUNED. The tuned model scores 71.7%.",
        "report: project/reports/report.html",
    ):
        assert part in shown


@pytest.mark.parametrize("name", ["home_assistant", "facts"])
def test_an_example_is_a_valid_spec_of_its_own_data(name: str) -> None:
    assert spec.validate(spec.from_file(resources.examples()[name])).answers["example"] == name


def test_a_directory_that_is_no_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="not a generated project"):
        runner.run(tmp_path, "dvc", "repro")
