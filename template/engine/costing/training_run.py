"""The record of the training run, which git keeps: DVC restores the weights of an earlier run, but not its seconds."""

from pathlib import Path

from engine.core.errors import ProjectError
from engine.core.io import read
from engine.models.run_record import RunRecord
from engine.settings.cost import CostParams

AGAIN = "train again: `dvc repro --force --single-item train`"


def read_training(path: Path) -> RunRecord:
    """What was measured. Raises `ProjectError` if it is missing or broken."""
    if not path.exists():
        raise ProjectError("the record of the training run is missing", str(path), f"restore it from git, or {AGAIN}")
    return read(path, RunRecord, "train")


def of_another_run(settings: CostParams, training: RunRecord) -> list[str]:
    """A warning that names the settings of the recorded run that have changed since; none if they are the same."""
    recorded, now = training.settings[0], settings.model_dump()
    other = [
        f"{part}.{key}"
        for part in ("format", "train")
        for key, value in recorded.get(part, {}).items()
        if key in now[part] and now[part][key] != value
    ]
    other += [key for key in ("seed", "smoke") if recorded.get(key, now[key]) != now[key]]
    said = f"the seconds of training are from a run with another {', '.join(other)}; to measure, {AGAIN}"
    return [said] if other else []
