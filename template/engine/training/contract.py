"""What a trainer takes and what it leaves. A backend is one folder of `engine/training` and one recipe that keeps this.

It takes the rows in ``data/formatted`` (`TRAIN_ROWS`, `DEV_ROWS`), the folder of the base model and `TrainParams`.
It leaves three artefacts:

- ``models/tuned``: an adapter in PEFT's form or a whole model, in safetensors alone (`tuned_weights`);
- ``reports/curves.json``: the loss by step (`curves`);
- ``reports/measured/train.json``: the run record (`run_record`).

The recipe runs in the project's environment. A backend with packages of its own has an environment of its own: the
dependency group NAME of ``pyproject.toml``, pinned by ``locks/NAME.txt``. `run_in` makes it and runs a command there.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.core.artifacts import TUNED_WEIGHTS
from engine.core.errors import ProjectError
from engine.core.io import write_json
from engine.models.store import building
from engine.settings.model import ModelSettings

PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}  # unpickling a file can run any code


def run_in(environment: str, command: Sequence[str]) -> None:
    """Run a command in ``.venvs/ENVIRONMENT``, which is made first if it is not up to date.

    Args:
        environment: written out, not computed: the stage `code` reads it in the source and hashes its lock.

    Raises:
        ProjectError: the environment cannot be made, or the command failed.
    """
    code = subprocess.run([sys.executable, "environment.py", "--env", environment, *command], check=False).returncode
    if code:
        raise ProjectError(f"the trainer stopped with exit code {code}", " ".join(command), "see its message above")


@contextmanager
def tuned_weights(model: ModelSettings) -> Iterator[Path]:
    """A temporary folder for the trained weights. It becomes ``models/tuned`` if the block succeeds.

    Raises:
        ProjectError: the folder has no safetensors, has pickled files, or does not say what the weights are.
    """
    with building(TUNED_WEIGHTS) as folder:
        yield folder
        check_weights(folder)
        (folder / "README.md").unlink(missing_ok=True)  # a trainer's empty model card; the report writes a real one
        name_base(folder, model)
        if TUNED_WEIGHTS.exists():
            shutil.rmtree(TUNED_WEIGHTS)


def check_weights(folder: Path) -> None:
    """Raise `ProjectError` unless the folder holds an adapter or a model, in safetensors alone."""
    pickled = sorted(path.name for path in folder.rglob("*") if path.suffix in PICKLES)
    if pickled:
        fix = "tell the trainer to save safetensors, and leave its optimiser's state out"
        raise ProjectError(f"the trained weights have a pickled file: {pickled[0]}", str(TUNED_WEIGHTS), fix)
    if not any(folder.glob("*.safetensors")):
        raise ProjectError("the trainer left no safetensors", str(TUNED_WEIGHTS), "see its messages above")
    if not any((folder / name).is_file() for name in ("adapter_config.json", "config.json")):
        what = "the trained weights have neither adapter_config.json nor config.json"
        raise ProjectError(what, str(TUNED_WEIGHTS), "tell the trainer to save them")


def name_base(folder: Path, model: ModelSettings) -> None:
    """Let an adapter name the pinned base model and not this machine's folder, the same bytes on every run."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return
    config = json.loads(path.read_text("utf-8"))
    config.update(base_model_name_or_path=model.id, revision=model.revision)
    if isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])  # PEFT writes a set, in no fixed order
    write_json(path, config)


def curves(history: Sequence[dict[str, float]]) -> list[dict[str, float | None]]:
    """Loss by step: ``loss`` on training data and ``eval_loss`` on dev. DVC's plots want both keys in every row."""
    rows = [row for row in history if "loss" in row or "eval_loss" in row]
    return [{"step": row["step"], "loss": row.get("loss"), "eval_loss": row.get("eval_loss")} for row in rows]
