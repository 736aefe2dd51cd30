"""What every recipe of TRL shares: rows, adapters, sharding, saving."""

from pathlib import Path
from typing import Any

from engine.core.device import Device
from engine.settings.train import TrainParams, TrainSettings
from engine.training.contract import tuned_weights

ADAPTER_METHODS = {"lora", "qlora", "dora", "rslora"}


def read_rows(files: dict[str, Path], cache: Path) -> Any:
    """The formatted files, turn by turn as JSON: a table would give every turn and call the fields of all others."""
    from datasets import Features, Json, List, Value, load_dataset

    columns = Features({"prompt": List(Json()), "completion": List(Json()), "tools": Value("string")})
    paths = {split: str(path) for split, path in files.items()}
    return load_dataset("json", data_files=paths, features=columns, cache_dir=str(cache))


def build_adapter(settings: TrainParams) -> Any:
    """The LoRA configuration of the chosen method, or None for full fine-tuning."""
    train = settings.train
    if train.method not in ADAPTER_METHODS:
        return None
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=train.lora_rank,
        lora_alpha=train.lora_alpha,
        lora_dropout=train.lora_dropout,
        target_modules=train.target_modules,
        use_dora=train.method == "dora",
        use_rslora=train.method == "rslora",
    )


def build_sharding(train: TrainSettings, device: Device) -> dict[str, Any]:
    """FSDP2 block by block, with its own recomputation. On processors nothing is sharded: each process has it all."""
    if train.sharding != "fsdp" or device.kind == "cpu":
        return {"activation_checkpointing": train.activation_checkpointing}
    config = {"version": 2, "reshard_after_forward": True, "activation_checkpointing": train.activation_checkpointing}
    return {"activation_checkpointing": False, "fsdp": True, "fsdp_config": config}  # not both; TRL's default is True


def whole(trainer: Any) -> Any:
    """The weights, gathered from all processes, each of which must call this; None if nothing is sharded."""
    if not trainer.is_fsdp_enabled:
        return None
    return trainer.accelerator.get_state_dict(trainer.model)


def keep_adapters_in_fp32(model: Any) -> None:
    """TRL casts adapters over a quantised base to bf16, but a resumed run continues in fp32: two different results.

    Fresh and resumed runs both train fp32 adapters, so a kill does not change the outcome.
    """
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def save(trainer: Any, settings: TrainParams, weights: Any = None) -> None:
    """Write the best weights to ``models/tuned``."""
    with tuned_weights(settings.model) as folder:
        trainer.model.save_pretrained(folder, state_dict=weights, safe_serialization=True)
