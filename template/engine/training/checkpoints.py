"""Checkpoints of the stage `train`: where they are, which one to resume from, whether they will fit."""

import json
import shutil
from pathlib import Path

from engine.core.artifacts import BASE_MANIFEST, CHECKPOINTS
from engine.core.device import versions
from engine.core.errors import ProjectError
from engine.core.io import read_json, sha256_file, sha256_json
from engine.settings.train import TrainParams


def folder_of(settings: TrainParams, data: list[Path], code: str) -> Path:
    """A folder named by everything that shapes the weights: a checkpoint never continues another run.

    Args:
        code: the trainer's `fingerprint.code_key`.
    """
    shaping = [
        *[sha256_file(path) for path in data],
        read_json(BASE_MANIFEST)["sha256"],
        code,
        versions(),
        settings.seed,
        settings.smoke,
        settings.train.model_dump(),
        settings.format.model_dump(),
    ]
    return CHECKPOINTS / sha256_json(shaping)[:16]


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint. A kill leaves one without a readable trainer state: that one is removed."""
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        try:
            json.loads((checkpoint / "trainer_state.json").read_bytes())
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(checkpoint)
            continue
        return checkpoint
    return None


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was written, from its name."""
    return int(checkpoint.name.rpartition("-")[2])


def refuse_full_disk(folder: Path, weights: int, method: str) -> None:
    """Raise `ProjectError` before the first step, not at the first checkpoint, when the disk cannot hold three.

    Args:
        weights: bytes of the base model's files.
        method: full fine-tuning keeps fp32 weights and two Adam moments, adapters a few percent of that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    needed = 3 * weights * (6 if method == "full" else 0.25)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ProjectError(
            f"{free / 2**30:.1f} GiB free, but checkpoints may need {needed / 2**30:.1f} GiB",
            str(folder),
            "free some space, or link checkpoints/ to a larger disk",
        )
