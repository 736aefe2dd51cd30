"""What tuning made a model forget: the four answers, and when the gate refuses."""

from pathlib import Path

import numpy as np
import pytest
from finished_project import HARNESS_PARAMS, PARAMS, finish_project
from msgspec.structs import asdict
from scipy import stats

from engine.core.errors import run_stage
from engine.core.io import write_json
from engine.core.params import load
from engine.evaluation.lm_eval.forgetting import BLIND, HELD, LOST, OPEN, forgetting, interval, non_inferior
from engine.settings.everything import Everything
from pipeline import cost, gate, report


@pytest.fixture
def project(project: Path) -> Path:
    finish_project(project, params=PARAMS + HARNESS_PARAMS)
    return project


def scores(right: int, of: int) -> list[float]:
    return [1.0] * right + [0.0] * (of - right)


def test_a_suite_is_held_lost_open_or_too_hard(project: Path) -> None:
    settings, base = load(Everything), scores(120, 200)
    assert forgetting(base, scores(118, 200), 0.0, settings).status == HELD
    assert forgetting(base, scores(60, 200), 0.0, settings).status == LOST
    assert forgetting(base, scores(108, 200)[::-1], 0.0, settings).status == OPEN
    assert forgetting(base, scores(120, 200), 0.55, settings).status == BLIND


def test_few_items_show_nothing(project: Path) -> None:
    """Six of ten against five of ten: a loss beyond the margin is not ruled out, and more items are asked for."""
    found = forgetting(scores(6, 10), scores(5, 10), 0.0, load(Everything))
    assert found.status == OPEN and found.items_needed > 10 and found.discordant == 1


def test_a_gain_is_not_a_loss(project: Path) -> None:
    assert forgetting(scores(20, 50), scores(40, 50), 0.0, load(Everything)).status == HELD


def harness(base: int, tuned: int) -> dict[str, object]:
    """A report of the stage with one suite of 200 items."""
    settings = load(Everything)
    suite = {
        "metric": "acc",
        "shots": 5,
        "items": 200,
        "chance": 0.25,
        "base": interval(scores(base, 200), settings),
        "tuned": interval(scores(tuned, 200), settings),
        **asdict(forgetting(scores(base, 200), scores(tuned, 200), 0.25, settings)),
    }
    opinion = {"items": 32, "shots": 6, "same_prompts": 32, "same_answers": 31, "exact_match": 0.5}
    return {
        "smoke": False,
        "suites": {"general_choice": suite},
        "domain": {
            "few_shot": {**opinion, "exact_match_of_lm_eval": 0.53125},
            "tuned": {"skipped": "lm-eval cannot express items with earlier turns"},
        },
        "choice": {"base": {"items": 32, "chance": 0.25, "acc": interval(scores(20, 32), settings)}},
    }


@pytest.mark.parametrize(("tuned", "wanted"), [(148, HELD), (90, LOST)])
def test_the_gate_refuses_a_suite_that_is_not_held(
    project: Path, capsys: pytest.CaptureFixture[str], tuned: int, wanted: str
) -> None:
    write_json(project / "reports/harness.json", harness(150, tuned))
    cost.main()
    report.main()
    page = (project / "reports/report.html").read_text("utf-8")
    assert (
        "What tuning made the model forget" in page
        and f">{wanted}<" in page
        and "31 of 32" in page
        and "200 items, 5 examples" in page
        and "not run" in page
    )
    assert run_stage(gate.main) == 0
    assert f"75.0% before tuning, {tuned / 2:.1f}% after: {wanted}" in capsys.readouterr().out
    params = (project / "params.yaml").read_text("utf-8")
    asked = params.replace("minimum_parity: 0.9", "minimum_parity: 0.9, require_no_regression: true")
    (project / "params.yaml").write_text(asked, "utf-8")
    assert run_stage(gate.main) == (0 if wanted == HELD else 1)
    assert ("gate.require_no_regression" in capsys.readouterr().err) == (wanted != HELD)


def test_a_report_where_lm_eval_could_be_asked_no_item(project: Path) -> None:
    asked = harness(150, 148) | {"domain": {"tuned": {"skipped": "items with tools"}}, "choice": {}}
    write_json(project / "reports/harness.json", asked)
    cost.main()
    report.main()
    page = (project / "reports/report.html").read_text("utf-8")
    assert "tuned: not run, items with tools." in page and "Picking the right answer" not in page


def test_non_inferiority_is_the_shifted_one_sided_test() -> None:
    generator = np.random.default_rng(4)
    first, second = generator.normal(0.50, 0.1, 400), generator.normal(0.51, 0.1, 400)
    holds, p_value = non_inferior(first, second, 0.05)
    # scipy's t test on the shifted differences; 400 items make t and z the same to three digits
    theirs = stats.ttest_1samp(first - second + 0.05, 0, alternative="greater").pvalue
    assert holds and p_value == pytest.approx(theirs, rel=0.2, abs=1e-6)
    assert not non_inferior(first, second, 0.0)[0]
    assert non_inferior([1.0, 1.0], [1.0, 1.0], 0.01) == (True, 0.0)
    assert non_inferior([0.0, 0.0], [1.0, 1.0], 0.5) == (False, 1.0)


def test_non_inferiority_errs_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    wrong = 0
    for _ in range(400):  # truly worse by exactly the margin
        second = generator.random(200)
        wrong += non_inferior(second - 0.05 + generator.normal(0, 0.2, 200), second, 0.05)[0]
    assert 0.02 < wrong / 400 < 0.085
