"""Train twenty steps in a throw-away folder and record the speed: ``python -m pipeline.train_sft --calibrate``.

No stage: nothing that DVC tracks changes. `tunesmith plan` on this project then plans with the measured speed, and says
by how much its own estimate is off, as long as what was measured is what params.yaml says. Where several devices train,
start it as dvc.yaml starts the stage `train`.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.core.artifacts import DEV_ROWS, MEASURED_CALIBRATION, TRAIN_ROWS
from engine.core.device import Device, peak_memory_gib, place, prepare
from engine.core.errors import ProjectError
from engine.core.io import write_json
from engine.core.params import load
from engine.models.base import base_model
from engine.settings.train import TrainParams
from engine.training.run_record import setup_of

STEPS = 20
WARM_UP = 2  # steps that are not counted: kernels are chosen and caches filled


Builder = Callable[[TrainParams, Device, Path, Path], Any]  # a recipe's trainer: of settings, device, base and folder


def calibrate(build_trainer: Builder) -> None:
    """Train a few steps as the recipe would, and write the speed to ``reports/measured/calibration.json``.

    Raises:
        ProjectError: there is no formatted data yet, or too little of it.
    """
    settings = load(TrainParams)
    if missing := [path for path in (TRAIN_ROWS, DEV_ROWS) if not path.exists()]:
        raise ProjectError("nothing to train on yet", str(missing[0]), "run `dvc repro format` first")
    own = place(settings.train.devices)
    device = prepare(settings.seed, settings.train.compute_dtype)
    folder = Path(tempfile.mkdtemp(prefix="tunesmith-calibrate-"))
    try:
        trainer = build_trainer(shortened(settings), device, base_model(settings), folder)
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        trainer.args.logging_steps = 1
        clock = step_clock()
        trainer.add_callback(clock)
        trainer.train()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if own != 0:
        return  # one process writes
    measured = speed(clock.seen)
    record = {
        "setup": setup_of(settings),
        "device": device.name,
        "device_kind": device.kind,
        "compute_dtype": device.dtype_name,
        **measured,
        "peak_memory_gib": round(peak_memory_gib(device), 3),
    }
    write_json(MEASURED_CALIBRATION, record)
    print(
        f"{measured['tokens_per_second']:,.0f} tokens per second in {measured['steps']} steps; `tunesmith plan` uses it"
    )


def shortened(settings: TrainParams) -> TrainParams:
    """The same training, stopped early."""
    train = settings.train.model_copy(update={"max_steps": STEPS})
    return settings.model_copy(update={"train": train})


def step_clock() -> Any:
    """A callback that notes the time and the tokens so far at each step."""
    from transformers import TrainerCallback

    class StepClock(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seen: list[tuple[float, float]] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
            if "num_tokens" in logs:
                self.seen.append((time.perf_counter(), logs["num_tokens"]))

    return StepClock()


def speed(seen: list[tuple[float, float]]) -> dict[str, float]:
    """Tokens of data a second after the warm-up, from (seconds, tokens so far) at the end of each step.

    Raises:
        ProjectError: too few steps were run.
    """
    if len(seen) < WARM_UP + 2:
        raise ProjectError(f"only {len(seen)} steps were run", str(TRAIN_ROWS), "give it more training data")
    (start, before), (end, after) = seen[WARM_UP - 1], seen[-1]
    return {
        "steps": len(seen) - WARM_UP,
        "tokens": after - before,
        "seconds": round(end - start, 3),
        "tokens_per_second": round((after - before) / (end - start), 2),
    }
