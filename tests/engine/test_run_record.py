"""What a training run took in all survives a kill, because it travels in the checkpoints."""

import json
from pathlib import Path

import torch

from engine.core.device import Device
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
