"""The run record of the stage `train`: what was trained on what, with which versions, how long and how large."""

from pathlib import Path
from typing import Any

from engine.core.device import Device, versions
from engine.core.io import sha256_file
from engine.models.base import base_sha256, tuned_sha256
from engine.models.run_record import RunRecord
from engine.settings.train import TrainParams

SHAPING = (
    "method",
    "lora_rank",
    "target_modules",
    "micro_batch_size",
    "gradient_accumulation_steps",
    "compute_dtype",
    "activation_checkpointing",
    "attention_implementation",
    "optimizer",
    "devices",
    "sharding",
)  # knobs of training that change its speed or its memory


def describe(trainer: Any, settings: TrainParams, device: Device, spent: Any, data: Path) -> RunRecord:
    """One training run, what went before a kill included.

    Args:
        spent: the run's `callbacks.stopwatch`.
    """
    seconds, tokens = spent.seconds, trainer.state.num_input_tokens_seen
    return RunRecord(
        method=settings.train.method,
        setup=setup_of(settings),
        device=device.name,
        device_kind=device.kind,
        threads=device.threads,
        compute_dtype=device.dtype_name,
        devices=settings.train.devices,
        seconds=round(seconds, 2),
        steps=trainer.state.global_step,
        resumed=spent.resumed,
        tokens=tokens,
        tokens_per_second=round(tokens / seconds, 2),
        peak_memory_gib=round(spent.peak_memory_gib, 3),
        best_eval_loss=trainer.state.best_metric,
        trainable_parameters=sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        data_sha256=sha256_file(data),
        base_sha256=base_sha256(),
        tuned_sha256=tuned_sha256(),
        settings=[settings.model_dump()],
        versions=versions(),
    )


def setup_of(settings: TrainParams) -> dict[str, Any]:
    """What a speed and a peak hold for; `tunesmith plan` compares it with params.yaml before it trusts them."""
    return {
        "smoke": settings.smoke,
        "hardware": settings.cost.hardware,
        "model": [settings.model.source, settings.model.id, settings.model.revision],
        "max_length": settings.format.max_length,
        **{key: getattr(settings.train, key) for key in SHAPING},
    }
