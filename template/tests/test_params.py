"""params.yaml is read strictly, and dvc.yaml names no knob that it does not have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from engine.core.artifacts import PARAMS
from engine.core.errors import ProjectError
from engine.core.fingerprint import INVISIBLE
from engine.core.params import load
from engine.evaluation.metrics import metrics_of
from engine.settings.everything import Everything

KNOBS = yaml.safe_load((ROOT / PARAMS).read_text("utf-8"))
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
NAMED = sorted({name for stage in STAGES.values() for name in stage.get("params", []) if isinstance(name, str)})


def test_every_knob_is_one_that_the_stages_know(at_root: Path) -> None:
    settings = load(Everything, at_root / PARAMS)
    assert settings.evaluate.primary_metric in metrics_of(settings)


@pytest.mark.parametrize("group", KNOBS)
def test_a_misspelt_group_is_refused(group: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / PARAMS).read_text("utf-8").replace(f"\n{group}:", f"\n{group}s:"), "utf-8")
    with pytest.raises(ProjectError):
        load(Everything, path)


@pytest.mark.parametrize("name", NAMED)
def test_a_knob_that_dvc_watches_exists(name: str) -> None:
    value = KNOBS
    for part in name.split("."):
        assert part in value
        value = value[part]


def test_no_knob_has_a_name_that_dvc_ignores() -> None:
    assert not INVISIBLE & set(names(KNOBS))  # treeverse/dvc#10296


def names(value: Any) -> Iterator[str]:
    """The names of all knobs, of nested groups too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from names(inner)
