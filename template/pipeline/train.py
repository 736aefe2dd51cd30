"""Stage `train`: fine-tune the base model with TRL, resumable after a kill and byte-identical when repeated."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline import checkpoints, run_record
from pipeline.cost import read_price
from pipeline.files import ProjectError, run_stage, write_json
from pipeline.fingerprint import code_key
from pipeline.model import base_model, building
from pipeline.progress import step_printer, stopwatch
from pipeline.run_record import TUNED
from pipeline.runtime import Device, place, prepare
from pipeline.settings import Settings, TrainSettings, load

TRAIN = Path("data/formatted/train.jsonl")
DEV = Path("data/formatted/dev.jsonl")
CURVES = Path("reports/curves.json")
RECORD = Path("reports/measured/train.json")
ADAPTER_METHODS = {"lora", "qlora", "dora", "rslora"}
SMOKE_STEPS = 8


def main() -> None:
    settings = load()
    price = read_price(settings.cost.hardware)
    own = place(settings.train.devices)
    device = prepare(settings.seed, settings.train.compute_dtype)
    base = base_model(settings)
    folder = checkpoints.folder_of(settings, [TRAIN, DEV], code_key(__file__))
    weights = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    checkpoints.refuse_full_disk(folder, weights, settings.train.method)
    trainer = build_trainer(settings, device, base, folder)

    with trainer.accelerator.main_process_first():  # it removes what a kill left half-written
        resumed = checkpoints.latest(folder)
    if resumed and own == 0:
        print(f"resuming from {resumed}", flush=True)
    spent = stopwatch(device, resumed)
    trainer.add_callback(spent)
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)

    weights_of_all = whole(trainer)
    if own != 0:
        return  # one process writes
    save(trainer, settings, weights_of_all)
    write_json(CURVES, curves(trainer.state.log_history))
    write_json(RECORD, run_record.describe(trainer, settings, device, spent, price, TRAIN))
    shutil.rmtree(folder)


def build_trainer(settings: Settings, device: Device, base: Path, folder: Path) -> Any:
    """TRL's SFTTrainer over the formatted files, with the loss on the completion alone."""
    from peft.utils.error import NoMatchingPeftModuleError
    from transformers import AutoTokenizer, PrinterCallback
    from trl import SFTTrainer

    data = read_rows({"train": TRAIN, "dev": DEV}, folder / "dataset")
    try:
        arguments = build_arguments(settings, device, folder)  # joins the other processes, so it comes first
    except ValueError as error:  # a scheduler or an optimiser that transformers does not know
        raise ProjectError(str(error), "params.yaml: train", "set the knob to one of these") from error
    try:
        trainer = SFTTrainer(
            model=load_base(base, settings.train, device, sharded=bool(arguments.fsdp)),
            args=arguments,
            train_dataset=data["train"],
            eval_dataset=data["dev"],
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=build_adapter(settings),
            callbacks=[step_printer()],
        )
    except NoMatchingPeftModuleError as error:
        raise ProjectError(str(error), "params.yaml: train.target_modules", "all-linear, or names of layers") from error
    trainer.pop_callback(PrinterCallback)
    keep_adapters_in_fp32(trainer.model)
    return trainer


def read_rows(files: dict[str, Path], cache: Path) -> Any:
    """The formatted files, turn by turn as JSON: a table would give every turn and call the fields of all others."""
    from datasets import Features, Json, List, Value, load_dataset

    columns = Features({"prompt": List(Json()), "completion": List(Json()), "tools": Value("string")})
    paths = {split: str(path) for split, path in files.items()}
    return load_dataset("json", data_files=paths, features=columns, cache_dir=str(cache))


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
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation=train.attention_implementation,
        quantization_config=build_quantization(train, device, sharded=sharded),
        device_map={"": "cpu" if sharded else device.place},
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
    every = SMOKE_STEPS // 4 if settings.smoke else min(train.eval_steps, steps)
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
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the best and the latest
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        logging_steps=max(1, every // 4),
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        disable_tqdm=True,
        dataloader_pin_memory=device.kind == "cuda",
        ddp_find_unused_parameters=False,
        **build_sharding(train, device),
        report_to="none",
    )


def build_sharding(train: TrainSettings, device: Device) -> dict[str, Any]:
    """FSDP2 block by block, with its own recomputation. On processors nothing is sharded: each process has it all."""
    if train.sharding != "fsdp" or device.kind == "cpu":
        return {"activation_checkpointing": train.activation_checkpointing}
    config = {"version": 2, "reshard_after_forward": True, "activation_checkpointing": train.activation_checkpointing}
    return {"activation_checkpointing": False, "fsdp": True, "fsdp_config": config}  # not both; TRL's default is True


def whole(trainer: Any) -> Any:
    """The weights, gathered from every process's part of them, which each has to do; None where nothing is sharded."""
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


def save(trainer: Any, settings: Settings, weights: Any = None) -> None:
    """Write the best weights to ``models/tuned``: safetensors only, naming the pinned base and not this machine."""
    with building(TUNED) as folder:
        trainer.model.save_pretrained(folder, state_dict=weights, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; the report writes a real one
        config_path = folder / "adapter_config.json"
        if config_path.exists():
            config = json.loads(config_path.read_text("utf-8"))
            config.update(base_model_name_or_path=settings.model.id, revision=settings.model.revision)
            config["target_modules"] = sorted(config["target_modules"])  # PEFT writes a set, in no fixed order
            write_json(config_path, config)
        if TUNED.exists():
            shutil.rmtree(TUNED)


def curves(history: list[dict[str, float]]) -> list[dict[str, float | None]]:
    """Loss by step: ``loss`` on training data and ``eval_loss`` on dev. DVC's plots want both keys in every row."""
    rows = [row for row in history if "loss" in row or "eval_loss" in row]
    return [{"step": row["step"], "loss": row.get("loss"), "eval_loss": row.get("eval_loss")} for row in rows]


if __name__ == "__main__":
    sys.exit(run_stage(main))
