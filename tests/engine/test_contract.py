"""What every trainer must keep, whatever its backend is."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import engine
from engine.core.artifacts import TUNED_WEIGHTS
from engine.core.errors import ProjectError
from engine.settings.model import ModelSettings
from engine.training.contract import curves, run_in, tuned_weights

MODEL = ModelSettings(name="base", source="hub", id="org/base", revision="0" * 40)
CONFIG = {"base_model_name_or_path": "/home/me/base", "target_modules": ["v_proj", "q_proj"]}
BACKEND = """
import json, pathlib, sys
from engine_of_the_backend import method
rows = pathlib.Path("data/formatted/train.jsonl").read_text().splitlines()
pathlib.Path(sys.argv[1], "losses.json").write_text(json.dumps([method, len(rows)]))
"""


def adapter(folder: Path) -> None:
    save_file({"lora": np.ones((2, 2), np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))


def test_weights_name_the_pinned_base_and_replace_the_former_ones(project: Path) -> None:
    TUNED_WEIGHTS.mkdir(parents=True)
    (TUNED_WEIGHTS / "old.safetensors").touch()
    with tuned_weights(MODEL) as folder:
        adapter(folder)
        (folder / "README.md").write_text("# Model card\n")
    assert sorted(path.name for path in TUNED_WEIGHTS.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((TUNED_WEIGHTS / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "org/base" and config["revision"] == "0" * 40
    assert config["target_modules"] == ["q_proj", "v_proj"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "optimizer.pt").touch(), "pickled file: optimizer.pt"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no safetensors"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "neither adapter_config.json nor config.json"),
    ],
)
def test_weights_that_break_the_contract_leave_the_former_ones(project: Path, spoil, message: str) -> None:
    with tuned_weights(MODEL) as folder:
        adapter(folder)
    before = {path.name: path.read_bytes() for path in TUNED_WEIGHTS.iterdir()}
    with pytest.raises(ProjectError, match=message), tuned_weights(MODEL) as folder:
        adapter(folder)
        spoil(folder)
    assert {path.name: path.read_bytes() for path in TUNED_WEIGHTS.iterdir()} == before
    assert [path.name for path in TUNED_WEIGHTS.parent.iterdir()] == ["tuned"]


def test_a_backend_runs_in_an_environment_of_its_own(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """From formatted rows to `models/tuned`, with a package that the project's own environment lacks."""
    shutil.copy(Path(engine.__file__).parents[1] / "environment.py", project)
    (project / "pyproject.toml").write_text('[dependency-groups]\nbackend = ["engine-of-the-backend"]\n')
    (project / "locks").mkdir()
    package = project / "package"
    package.mkdir()
    (package / "engine_of_the_backend.py").write_text("method = 'lora'\n")
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "back"\nbackend-path = ["."]\n'
        '[project]\nname = "engine-of-the-backend"\nversion = "1.0"\n'
    )
    (package / "back.py").write_text(WHEEL)
    (project / "locks" / "backend.txt").write_text(f"engine-of-the-backend @ {package.as_uri()}\n")
    (project / "train.py").write_text(BACKEND)
    (project / "data" / "formatted").mkdir(parents=True)
    (project / "data" / "formatted" / "train.jsonl").write_text("{}\n{}\n")

    with tuned_weights(MODEL) as folder:
        run_in("backend", ["python", "train.py", str(folder)])
        adapter(folder)
    assert json.loads((TUNED_WEIGHTS / "losses.json").read_text()) == ["lora", 2]
    assert (project / ".venvs" / "backend" / "bin" / "python").exists()
    assert not (Path(sys.prefix) / "engine_of_the_backend.py").exists()

    with pytest.raises(ProjectError, match="exit code 3"):
        run_in("backend", ["python", "-c", "raise SystemExit(3)"])
    with pytest.raises(ProjectError, match="exit code 1"):
        run_in("absent", ["python", "train.py"])
    assert "no environment 'absent'" in capfd.readouterr().err


WHEEL = """
import zipfile


def build_wheel(folder, config_settings=None, metadata_directory=None):
    about = "engine_of_the_backend-1.0.dist-info"
    with zipfile.ZipFile(f"{folder}/engine_of_the_backend-1.0-py3-none-any.whl", "w") as archive:
        archive.write("engine_of_the_backend.py")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\\nName: engine-of-the-backend\\nVersion: 1.0\\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{about}/RECORD", "")
    return "engine_of_the_backend-1.0-py3-none-any.whl"
"""


def test_curves_have_both_losses_in_every_row() -> None:
    history = [{"step": 1, "loss": 2.0}, {"step": 2, "eval_loss": 1.5}, {"step": 2, "train_runtime": 3.0}]
    assert curves(history) == [
        {"step": 1, "loss": 2.0, "eval_loss": None},
        {"step": 2, "loss": None, "eval_loss": 1.5},
    ]
