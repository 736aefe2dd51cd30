"""A killed run resumes from its last complete checkpoint, and only from its own."""

from pathlib import Path

import pytest

from engine.core.errors import ProjectError
from engine.training import checkpoints


def checkpoint(folder: Path, step: int, state: str | None) -> None:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    if state is not None:
        (path / "trainer_state.json").write_text(state)


def test_the_newest_complete_checkpoint_is_chosen_by_its_step(tmp_path: Path) -> None:
    for step in (8, 16, 128):
        checkpoint(tmp_path, step, "{}")
    assert checkpoints.latest(tmp_path) == tmp_path / "checkpoint-128"


@pytest.mark.parametrize("state", [None, '{"global_step": 3'], ids=["no state", "half a state"])
def test_a_checkpoint_cut_off_by_a_kill_is_removed(tmp_path: Path, state: str | None) -> None:
    checkpoint(tmp_path, 8, "{}")
    checkpoint(tmp_path, 16, state)
    assert checkpoints.latest(tmp_path) == tmp_path / "checkpoint-8"
    assert not (tmp_path / "checkpoint-16").exists()


def test_a_first_run_has_none(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path / "absent") is None


def test_a_disk_that_cannot_hold_the_checkpoints_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="GiB free") as caught:
        checkpoints.refuse_full_disk(tmp_path, weights=2**60, method="full")
    assert "free some space" in caught.value.fix
