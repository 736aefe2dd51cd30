"""Callbacks of a trainer: its progress, and what it took."""

import time
from pathlib import Path
from typing import Any

from engine.core.device import Device, peak_memory_gib
from engine.core.io import read_json


def step_printer() -> Any:
    """A callback that prints one line at each logging step: step, loss, seconds left."""
    from transformers import TrainerCallback

    class StepPrinter(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.start, self.first = time.monotonic(), state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
            shown = [f"{name} {logs[name]:.4f}" for name in ("loss", "eval_loss") if name in logs]
            done = state.global_step - self.first
            if shown and done and state.is_world_process_zero:
                left = (time.monotonic() - self.start) / done * (state.max_steps - state.global_step)
                print(
                    f"step {state.global_step}/{state.max_steps}  {'  '.join(shown)}  about {left:.0f} s left",
                    flush=True,
                )

    return StepPrinter()


def stopwatch(device: Device, resumed: Path | None) -> Any:
    """A callback that knows what training has taken in all: seconds and peak memory travel in its checkpoints.

    What a killed process did after its last checkpoint is lost, is done again, and is counted once.

    Args:
        resumed: the checkpoint that training goes on from.
    """
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    saved = read_json(resumed / "trainer_state.json")["stateful_callbacks"] if resumed else {}
    before = saved.get("Stopwatch", {}).get("attributes", {"seconds": 0.0, "peak_memory_gib": 0.0})

    class Stopwatch(TrainerCallback, ExportableState):  # type: ignore[misc]
        def __init__(self) -> None:
            self.resumed, self.start = resumed is not None, time.perf_counter()

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.start = time.perf_counter()  # building the trainer, the model's loading above all, is left out

        @property
        def seconds(self) -> float:
            return float(before["seconds"] + time.perf_counter() - self.start)

        @property
        def peak_memory_gib(self) -> float:
            return float(max(before["peak_memory_gib"], peak_memory_gib(device)))

        def state(self) -> dict[str, Any]:
            return {"args": {}, "attributes": {"seconds": self.seconds, "peak_memory_gib": self.peak_memory_gib}}

    return Stopwatch()
