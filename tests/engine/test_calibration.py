"""The speed of a short run, and that it stops early and is compared with the plan by its setup."""

from pathlib import Path

import pytest
from finished_project import PARAMS

from engine.core.errors import ProjectError
from engine.core.params import load
from engine.settings.everything import Everything
from engine.training.calibration import STEPS, WARM_UP, shortened, speed
from engine.training.run_record import setup_of


def test_the_speed_leaves_out_the_warm_up() -> None:
    slow_start = [(100.0, 50.0), (110.0, 100.0)]  # ten seconds a step, then one
    steps = slow_start + [(110.0 + step, 100.0 + 50.0 * step) for step in range(1, 6)]
    found = speed(steps)
    assert (found["tokens_per_second"], found["steps"]) == (50.0, len(steps) - WARM_UP)


def test_too_short_a_run_says_no_speed() -> None:
    with pytest.raises(ProjectError, match="steps"):
        speed([(1.0, 5.0), (2.0, 10.0)])


def test_a_short_run_is_the_same_setup_with_fewer_steps(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    settings = load(Everything, tmp_path / "params.yaml")
    short = shortened(settings)
    assert short.train.max_steps == STEPS < settings.train.max_steps
    assert setup_of(short) == setup_of(settings) != {}
