"""What the stage `train` records of a run in ``reports/measured/train.json``."""

from typing import Any

from engine.core.io import Result


class RunRecord(Result, frozen=True, kw_only=True):
    """What was trained on what, with which versions, how long and how large."""

    method: str
    setup: dict[str, Any]  # what speed and memory hold for: `tunesmith plan` compares it with params.yaml
    device: str
    device_kind: str
    threads: int
    compute_dtype: str
    devices: int
    seconds: float
    steps: int
    resumed: bool
    tokens: int
    tokens_per_second: float
    peak_memory_gib: float
    best_eval_loss: float | None
    trainable_parameters: int
    data_sha256: str
    base_sha256: str
    tuned_sha256: str
    settings: list[dict[str, Any]]  # in a list, which DVC leaves out of its tables of metrics: params.yaml has its own
    versions: dict[str, str]

    @property
    def device_seconds(self) -> float:
        """Seconds that are paid for: devices that train together are paid each."""
        return self.seconds * self.devices
