"""Stage `train`: fine-tune the base model with TRL, resumable after a kill and byte-identical when repeated."""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.files import ProjectError, read_json, run_stage, sha256_file, sha256_json, write_json
from pipeline.model import MANIFEST, base_model, building
from pipeline.runtime import Device, peak_memory_gib, prepare, versions
from pipeline.settings import Settings, TrainSettings, load

TRAIN = Path("data/formatted/train.jsonl")
DEV = Path("data/formatted/dev.jsonl")
CHECKPOINTS = Path("checkpoints")  # outside the stage's outs, which DVC deletes before it runs the stage again
TUNED = Path("models/tuned")
CURVES = Path("reports/curves.json")
RECORD = Path("reports/measured/train.json")
ADAPTER_METHODS = {"lora", "qlora", "dora", "rslora"}
SMOKE_STEPS = 2


def main() -> None:
    settings = load()
    device = prepare(settings.seed, settings.train.compute_dtype)
    folder = CHECKPOINTS / checkpoint_key(settings)
    refuse_full_disk(folder, settings)
    trainer = build_trainer(settings, device, folder)

    resumed = last_checkpoint(folder)
    if resumed:
        print(f"resuming from {resumed}", flush=True)
    start = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    seconds = time.perf_counter() - start

    save(trainer, settings)
    write_json(CURVES, curves(trainer.state.log_history))
    write_json(RECORD, record(trainer, settings, device, seconds, resumed))
    shutil.rmtree(folder)


def build_trainer(settings: Settings, device: Device, folder: Path) -> Any:
    """TRL's SFTTrainer over the formatted files, with the loss on the completion alone."""
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTTrainer

    base = base_model(settings)
    data = load_dataset(
        "json", data_files={"train": str(TRAIN), "dev": str(DEV)}, cache_dir=str(folder / "dataset")
    )
    trainer = SFTTrainer(
        model=load_base(base, settings.train, device),
        args=build_arguments(settings, device, folder),
        train_dataset=data["train"],
        eval_dataset=data["dev"],
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=build_adapter(settings),
        callbacks=[step_printer()],
    )
    trainer.pop_callback(_default_printer())
    keep_adapters_in_fp32(trainer.model)
    return trainer


def build_quantization(train: TrainSettings, device: Device) -> Any:
    """NF4 with double quantisation (QLoRA, arXiv:2305.14314), or None for the methods that keep 16-bit weights."""
    if train.method != "qlora":
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=device.dtype,
    )


def load_base(folder: Path, train: TrainSettings, device: Device) -> Any:
    """The base model in the device's dtype, quantised when the method asks for it."""
    import torch
    from transformers import AutoModelForCausalLM

    # Full fine-tuning updates the weights themselves: bf16 would round the small updates away.
    dtype = torch.float32 if train.method == "full" else device.dtype
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation="sdpa",
        quantization_config=build_quantization(train, device),
        device_map={"": device.kind},
    )


def build_adapter(settings: Settings) -> Any:
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


def build_arguments(settings: Settings, device: Device, folder: Path) -> Any:
    """Every training argument that matters, spelt out; the rest are TRL's defaults at the locked version."""
    import torch
    from trl import SFTConfig

    train = settings.train
    steps = SMOKE_STEPS if settings.smoke else train.max_steps
    every = min(train.eval_steps, steps)
    return SFTConfig(
        output_dir=str(folder),
        seed=settings.seed,
        data_seed=settings.seed,
        max_steps=steps,
        per_device_train_batch_size=train.micro_batch_size,
        per_device_eval_batch_size=train.micro_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.lr_scheduler,
        warmup_steps=train.warmup_fraction,  # below 1, transformers reads it as a share of max_steps
        weight_decay=train.weight_decay,
        optim=train.optimizer,
        max_length=settings.format.max_length,
        completion_only_loss=True,
        packing=False,
        bf16=device.dtype is torch.bfloat16,
        fp16=device.dtype is torch.float16,
        use_cpu=device.kind == "cpu",
        activation_checkpointing=train.activation_checkpointing,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the best and the latest
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        logging_steps=max(1, every // 4),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        dataloader_pin_memory=device.kind == "cuda",
        report_to="none",
    )


def keep_adapters_in_fp32(model: Any) -> None:
    """TRL casts adapters over a quantised base to bf16, but a resumed run continues in fp32: two different results.

    Fresh and resumed runs both train fp32 adapters, so a kill does not change the outcome.
    """
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def checkpoint_key(settings: Settings) -> str:
    """A name that changes with everything that shapes the weights: a checkpoint never continues another run."""
    return sha256_json(
        [sha256_file(TRAIN), sha256_file(DEV), read_json(MANIFEST)["sha256"], versions(), settings.seed, settings.smoke]
        + [repr(settings.train), repr(settings.format)]
    )[:16]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint. One that a kill left half-written has no readable trainer state; it is removed."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1]))
    for checkpoint in newest_first:
        try:
            json.loads((checkpoint / "trainer_state.json").read_bytes())
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(checkpoint)
            continue
        return checkpoint
    return None


def refuse_full_disk(folder: Path, settings: Settings) -> None:
    """Raise `ProjectError` now rather than at the first checkpoint when the disk cannot hold three of them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = sum(path.stat().st_size for path in base_model(settings).glob("*.safetensors"))
    # Full: fp32 weights and two Adam moments over 16-bit files. Adapters: a few percent of the model, with moments.
    checkpoint = weights * 6 if settings.train.method == "full" else weights * 0.25
    free = shutil.disk_usage(folder).free
    if free < 3 * checkpoint:
        raise ProjectError(
            f"{free / 2**30:.1f} GiB free, but checkpoints need up to {3 * checkpoint / 2**30:.1f} GiB",
            str(folder),
            "free some space, or link checkpoints/ to a larger disk",
        )


def save(trainer: Any, settings: Settings) -> None:
    """Write the best weights to ``models/tuned``: safetensors only, naming the pinned base and not this machine."""
    with building(TUNED) as folder:
        trainer.model.save_pretrained(folder, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; the report writes a real one
        config_path = folder / "adapter_config.json"
        if config_path.exists():
            config = json.loads(config_path.read_text("utf-8"))
            config.update(base_model_name_or_path=settings.model.id, revision=settings.model.revision)
            config["target_modules"] = sorted(config["target_modules"])  # PEFT writes a set, in no fixed order
            write_json(config_path, config)
        if TUNED.exists():
            shutil.rmtree(TUNED)


def curves(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Loss by step: rows of ``step`` with ``loss`` (training) or ``eval_loss`` (dev)."""
    names = ("loss", "eval_loss")
    return [{"step": row["step"], **{name: row[name] for name in names if name in row}} for row in history if any(n in row for n in names)]


def record(trainer: Any, settings: Settings, device: Device, seconds: float, resumed: Path | None) -> dict[str, Any]:
    """The run record: what was trained on what, with which versions, how long, how large."""
    tokens = trainer.state.num_input_tokens_seen or int(_last(trainer.state.log_history, "num_tokens"))
    steps = trainer.state.global_step - (int(resumed.name.split("-")[1]) if resumed else 0)
    return {
        "method": settings.train.method,
        "device": device.name,
        "device_kind": device.kind,
        "threads": device.threads,
        "compute_dtype": device.dtype_name,
        "seconds": round(seconds, 2),
        "steps": steps,
        "resumed": resumed is not None,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 2),
        "peak_memory_gib": round(peak_memory_gib(device), 3),
        "best_eval_loss": trainer.state.best_metric,
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "data_sha256": sha256_file(TRAIN),
        "base_sha256": sha256_json(read_json(MANIFEST)["sha256"]),
        "tuned_sha256": tuned_sha256(),
        "params_sha256": sha256_json(repr(settings)),
        "versions": versions(),
    }


def tuned_sha256() -> str:
    """One hash over the tuned weights' files."""
    return sha256_json({path.name: sha256_file(path) for path in sorted(TUNED.glob("*.safetensors"))})


def _last(history: list[dict[str, float]], name: str) -> float:
    return next((row[name] for row in reversed(history) if name in row), 0.0)


def step_printer() -> Any:
    """A callback that prints one line at each logging step: step, loss, seconds left."""
    from transformers import TrainerCallback

    class StepPrinter(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.start, self.first = time.monotonic(), state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
            shown = [f"{name} {logs[name]:.4f}" for name in ("loss", "eval_loss") if name in logs]
            done = state.global_step - self.first
            if shown and done:
                left = (time.monotonic() - self.start) / done * (state.max_steps - state.global_step)
                print(f"step {state.global_step}/{state.max_steps}  {'  '.join(shown)}  about {left:.0f} s left", flush=True)

    return StepPrinter()


def _default_printer() -> Any:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


if __name__ == "__main__":
    sys.exit(run_stage(main))
