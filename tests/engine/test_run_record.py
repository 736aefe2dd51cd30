"""What a training run took in all survives a kill, because it travels in the checkpoints."""

import json
from pathlib import Path

import pytest
import torch
from finished_project import TRAINING

from engine.core.device import Device
from engine.core.errors import ProjectError
from engine.core.io import read, write_json
from engine.models.run_record import RunRecord
from engine.training.callbacks import stopwatch

CPU = Device("cpu", "a processor", 2, torch.float32)


def checkpoint(folder: Path, spent: object) -> Path:
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"stateful_callbacks": {"Stopwatch": spent}}))
    return folder


def test_a_first_run_begins_at_nothing() -> None:
    spent = stopwatch(CPU, None)
    spent.on_train_begin(None, None, None)
    assert not spent.resumed and 0 <= spent.seconds < 60
    assert 0 < spent.peak_memory_gib < 100


def test_a_resumed_run_goes_on_from_what_the_checkpoint_holds(tmp_path: Path) -> None:
    killed = {"args": {}, "attributes": {"seconds": 3600.0, "peak_memory_gib": 512.0}}
    spent = stopwatch(CPU, checkpoint(tmp_path / "checkpoint-8", killed))
    assert spent.resumed and spent.seconds > 3600 and spent.peak_memory_gib == 512
    again = stopwatch(CPU, checkpoint(tmp_path / "checkpoint-16", spent.state()))
    assert again.seconds > 3600 and again.peak_memory_gib == 512


def test_a_record_of_an_earlier_release_is_read_and_one_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    write_json(path, TRAINING | {"estimated_usd": {"low": 1.0, "typical": 2.0, "high": 3.0}, "devices": 4})
    assert read(path, RunRecord, "train").device_seconds == 4 * TRAINING["seconds"]
    for wrong in ({"seconds": "long"}, {"seconds": None}):
        write_json(path, TRAINING | wrong)
        with pytest.raises(ProjectError, match=r"not what the stage train writes: .*seconds") as caught:
            read(path, RunRecord, "train")
        assert caught.value.where == str(path) and "--single-item train" in caught.value.fix
    path.write_text("{")
    with pytest.raises(ProjectError, match="not valid JSON") as caught:
        read(path, RunRecord, "train")
    assert "--single-item train" in caught.value.fix
    path.unlink()
    with pytest.raises(ProjectError, match="file not found"):
        read(path, RunRecord, "train")


def test_a_record_is_written_as_the_fields_it_has(tmp_path: Path) -> None:
    write_json(tmp_path / "train.json", TRAINING)
    before = (tmp_path / "train.json").read_bytes()
    write_json(tmp_path / "train.json", read(tmp_path / "train.json", RunRecord, "train"))
    assert (tmp_path / "train.json").read_bytes() == before
