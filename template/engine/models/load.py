"""Load a model in the number type and the quantisation that it is trained with."""

from pathlib import Path
from typing import Any

from engine.core.device import Device
from engine.settings.train import TrainSettings


def build_quantization(train: TrainSettings, device: Device, *, sharded: bool = False) -> Any:
    """NF4 with double quantisation (QLoRA, arXiv:2305.14314), or None for the methods that keep 16-bit weights."""
    if train.method != "qlora":
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=device.dtype,
        # FSDP shards floating-point numbers only, and would cast any that are not of the type it computes in.
        bnb_4bit_quant_storage=device.dtype if sharded else None,
    )


def load_base(folder: Path, train: TrainSettings, device: Device, *, sharded: bool = False) -> Any:
    """The base model in the device's dtype, quantised when the method asks for it.

    To be sharded, it waits in the host's memory: no card ever holds the whole.
    """
    import torch
    from transformers import AutoModelForCausalLM

    # Full fine-tuning updates the weights themselves: bf16 would round the small updates away.
    dtype = torch.float32 if train.method == "full" else device.dtype
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation=train.attention_implementation,
        quantization_config=build_quantization(train, device, sharded=sharded),
        device_map={"": "cpu" if sharded else device.place},
    )
    keep_weights_unpacked(model)
    return model


def keep_weights_unpacked(model: Any) -> None:
    """Never let bitsandbytes repack 4-bit weights on processors with AVX512-BF16.

    It repacks them at the first evaluation, with scales rounded to bf16, and training goes on with the rounded
    weights. A run that was killed and resumed would end in other weights than one that was not. Seen with bitsandbytes
    0.50.2 (``Linear4bit.forward``); remove this if it packs a copy.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
