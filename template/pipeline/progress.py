"""Progress on the terminal: one line rewritten in place, or a few lines in a log."""

import sys
import time
from pathlib import Path
from typing import Any

from pipeline.files import read_json
from pipeline.runtime import Device, peak_memory_gib


class Progress:
    """One line that tells how far an arm is: rewritten on a terminal, a few lines in a log."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.start, self.next = name, total, time.monotonic(), 0.0

    def __call__(self, done: int) -> None:
        share = done / self.total
        if share < self.next and done < self.total:
            return
        self.next = share + (0.0 if sys.stdout.isatty() else 0.25)
        elapsed = time.monotonic() - self.start
        end = "\r" if sys.stdout.isatty() and done < self.total else "\n"
        print(
            f"{self.name}: {done}/{self.total} items, {elapsed:.0f} s, about {elapsed / share - elapsed:.0f} s left",
            end=end,
            flush=True,
        )


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
