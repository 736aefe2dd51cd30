"""The run record of the stage `train`: what was trained on what, with which versions, how long and how large."""

from pathlib import Path
from typing import Any

from pipeline.checkpoints import step_of
from pipeline.files import sha256_file, sha256_json
from pipeline.model import base_sha256
from pipeline.runtime import Device, peak_memory_gib, versions
from pipeline.settings import Settings

TUNED = Path("models/tuned")
QUANTISED = Path("reports/measured/quantisation.json")
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
)  # knobs of training that change its speed or its memory


def describe(
    trainer: Any, settings: Settings, device: Device, seconds: float, resumed: Path | None, data: Path
) -> dict[str, Any]:
    """One training run as JSON. Seconds, tokens and steps are of this process: a resumed run covers its last part."""
    tokens = int(trainer.state.num_input_tokens_seen or last_logged(trainer.state.log_history, "num_tokens"))
    return {
        "method": settings.train.method,
        "setup": setup_of(settings),
        "device": device.name,
        "device_kind": device.kind,
        "threads": device.threads,
        "compute_dtype": device.dtype_name,
        "seconds": round(seconds, 2),
        "steps": trainer.state.global_step - (step_of(resumed) if resumed else 0),
        "resumed": resumed is not None,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 2),
        "peak_memory_gib": round(peak_memory_gib(device), 3),
        "best_eval_loss": trainer.state.best_metric,
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "data_sha256": sha256_file(data),
        "base_sha256": base_sha256(),
        "tuned_sha256": tuned_sha256(),
        "params_sha256": sha256_json(repr(settings)),
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


def manifest_of(settings: Settings) -> Path:
    """The manifest of the weights that would be served: the tuned ones, or the untouched ones."""
    return Path("models/served.json" if settings.trains else "models/base.json")


def tuned_sha256() -> str:
    """The tuned weights as one hash."""
    return sha256_json({path.name: sha256_file(path) for path in sorted(TUNED.glob("*.safetensors"))})


def last_logged(history: list[dict[str, float]], name: str) -> float:
    """The latest value that the trainer logged under ``name``; 0 if it never did."""
    return next((row[name] for row in reversed(history) if name in row), 0.0)
