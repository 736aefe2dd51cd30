"""Turn the tuned weights into the one folder that is evaluated *and* served."""

import shutil
from pathlib import Path

from engine.core.artifacts import TUNED_WEIGHTS
from engine.core.device import Device, versions
from engine.core.errors import ProjectError
from engine.core.fingerprint import code_key
from engine.core.io import read_json, sha256_file, sha256_json
from engine.models.base import base_model, base_sha256, tuned_sha256
from engine.models.load import load_base
from engine.models.store import STORE, building
from engine.settings.model import ModelParams
from engine.settings.train import TrainSettings

TOKENIZER_FILES = {
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "tokenizer.model",
}  # fmt: skip


def served_model(settings: ModelParams, train: TrainSettings, device: Device) -> Path:
    """The folder of the tuned model as it will be served, built if this machine does not have it."""
    key = [base_sha256(), tuned_sha256(), device.dtype_name, code_key(__file__), versions()]
    destination = STORE / f"{settings.model.name}-tuned-{sha256_json(key)[:12]}"
    if not destination.exists():
        print("merging the adapter into the base model", flush=True)
        merge(settings, train, device, destination)
    return destination


def merge(settings: ModelParams, train: TrainSettings, device: Device, destination: Path) -> None:
    """Merge the adapter into the weights that it was trained on.

    For QLoRA these are the *dequantised NF4* weights: merged into the original 16-bit weights an adapter loses part of
    what it learnt, because it has also learnt to correct the quantisation error.
    """
    import torch
    from peft import PeftModel

    base = base_model(settings)
    with building(destination) as folder:
        for path in base.iterdir():
            if path.name in TOKENIZER_FILES:
                shutil.copyfile(path, folder / path.name)
        if train.method == "full":
            for path in TUNED_WEIGHTS.iterdir():
                shutil.copyfile(path, folder / path.name)
            return
        model = load_base(base, train, device)
        if train.method == "qlora":
            model = model.dequantize()
        merged = PeftModel.from_pretrained(model, TUNED_WEIGHTS).merge_and_unload()
        merged.config.__dict__.pop("quantization_config", None)
        merged.to(getattr(torch, read_json(base / "config.json")["dtype"]))  # the checkpoint's own 16-bit type
        merged.save_pretrained(folder)


def describe(folder: Path) -> dict[str, object]:
    """The manifest of the served weights: from what they were merged, and the SHA-256 of each file."""
    weights = {path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))}
    if not weights:
        raise ProjectError("the served model has no weights", str(folder), "delete the folder; it is built again")
    return {"base_sha256": base_sha256(), "tuned_sha256": tuned_sha256(), "sha256": weights}
