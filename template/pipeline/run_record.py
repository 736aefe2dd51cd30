"""The run record of the stage `train`: what was trained on what, with which versions, how long, how large, how dear."""

from pathlib import Path
from typing import Any

import msgspec

from pipeline.cost import as_dict, training_cost
from pipeline.files import sha256_file, sha256_json
from pipeline.model import base_sha256
from pipeline.runtime import Device, versions
from pipeline.settings import Settings

TUNED = Path("models/tuned")
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


def describe(
    trainer: Any, settings: Settings, device: Device, spent: Any, price: dict[str, Any], data: Path
) -> dict[str, Any]:
    """One training run as JSON, what went before a kill included.

    Args:
        spent: the run's `progress.stopwatch`.
        price: the row of ``prices.yaml`` for ``cost.hardware``: dollars are estimated from it, energy is not metered.
    """
    seconds, tokens = spent.seconds, trainer.state.num_input_tokens_seen
    run = {"seconds": round(seconds, 2), "devices": settings.train.devices}
    return {
        "method": settings.train.method,
        "setup": setup_of(settings),
        "device": device.name,
        "device_kind": device.kind,
        "threads": device.threads,
        "compute_dtype": device.dtype_name,
        **run,
        "steps": trainer.state.global_step,
        "resumed": spent.resumed,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 2),
        "peak_memory_gib": round(spent.peak_memory_gib, 3),
        "estimated_usd": training_cost(run, price["usd_per_hour"])["usd"],
        "price": [price | {"key": settings.cost.hardware, "usd_per_hour": as_dict(price["usd_per_hour"])}],
        "best_eval_loss": trainer.state.best_metric,
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "data_sha256": sha256_file(data),
        "base_sha256": base_sha256(),
        "tuned_sha256": tuned_sha256(),
        # In lists, which DVC leaves out of its tables of metrics: params.yaml fills their columns already.
        "settings": [msgspec.to_builtins(settings)],
        "versions": versions(),
    }


def setup_of(settings: Settings) -> dict[str, Any]:
    """What a speed and a peak hold for; `tunesmith plan` compares it with params.yaml before it trusts them."""
    return {
        "smoke": settings.smoke,
        "hardware": settings.cost.hardware,
        "model": [settings.model.source, settings.model.id, settings.model.revision],
        "max_length": settings.format.max_length,
        **{key: getattr(settings.train, key) for key in SHAPING},
    }


def tuned_sha256() -> str:
    """The tuned weights as one hash."""
    return sha256_json({path.name: sha256_file(path) for path in sorted(TUNED.glob("*.safetensors"))})
