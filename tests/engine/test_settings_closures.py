"""A new knob of a group changes the code of the stages that read the group, and of no other."""

from pathlib import Path

import pytest

import engine
from engine.core.fingerprint import closure

ROOT = Path(engine.__file__).parents[1]
RECIPES = {path.stem: path.relative_to(ROOT) for path in (ROOT / "pipeline").glob("*.py") if path.stem != "__init__"}
READERS = {  # group -> the recipes that read knobs of it
    "cost": {"cost", "judge"},
    "curate": {"curate", "format"},
    "everything": set(),
    "gate": {"gate"},
    "harness": {"harness", "gate", "report"},
    "judge": {"judge"},
    "report": {"report"},
    "retrieval": {"index", "serve"},
    "serve": {"serve"},
    "train": {"cost", "format", "harness", "judge", "report", "serve", "train_sft", "tuned"},
}


@pytest.mark.parametrize("group", READERS)
def test_a_group_is_in_the_closure_of_its_readers_alone(group: str) -> None:
    module = Path(f"engine/settings/{group}.py")
    found = {name for name, recipe in RECIPES.items() if module in closure(ROOT, [recipe])}
    assert found == READERS[group] & RECIPES.keys()
