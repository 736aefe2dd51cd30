"""Stage `train`: fine-tune the base model with TRL, resumable after a kill and byte-identical when repeated.

``python -m pipeline.train_sft --calibrate`` trains twenty steps in a throw-away folder and records the speed.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from engine.core.artifacts import CURVES, DEV_ROWS, MEASURED_TRAINING, TRAIN_ROWS
from engine.core.device import Device, place, prepare
from engine.core.errors import ProjectError, run_stage
from engine.core.fingerprint import code_key
from engine.core.io import write_json
from engine.core.params import load
from engine.models.base import base_model
from engine.models.load import load_base
from engine.settings.train import TrainParams
from engine.training import checkpoints, run_record
from engine.training.calibration import calibrate
from engine.training.callbacks import step_printer, stopwatch
from engine.training.contract import curves
from engine.training.trl.common import build_adapter, build_sharding, keep_adapters_in_fp32, read_rows, save, whole

SMOKE_STEPS = 8


def main() -> None:
    settings = load(TrainParams)
    own = place(settings.train.devices)
    device = prepare(settings.seed, settings.train.compute_dtype)
    base = base_model(settings)
    folder = checkpoints.folder_of(settings, [TRAIN_ROWS, DEV_ROWS], code_key(__file__))
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
    write_json(MEASURED_TRAINING, run_record.describe(trainer, settings, device, spent, TRAIN_ROWS))
    shutil.rmtree(folder)


def build_trainer(settings: TrainParams, device: Device, base: Path, folder: Path) -> Any:
    """TRL's SFTTrainer over the formatted files, with the loss on the completion only."""
    from peft.utils.error import NoMatchingPeftModuleError
    from transformers import AutoTokenizer, PrinterCallback
    from trl import SFTTrainer

    data = read_rows({"train": TRAIN_ROWS, "dev": DEV_ROWS}, folder / "dataset")
    try:
        arguments = build_arguments(settings, device, folder)  # joins the other processes, so it comes first
    except ValueError as error:  # a scheduler or an optimiser that transformers does not know
        raise ProjectError(str(error), "params.yaml: train", "set it to one of these") from error
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


def build_arguments(settings: TrainParams, device: Device, folder: Path) -> Any:
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


if __name__ == "__main__":
    sys.exit(run_stage((lambda: calibrate(build_trainer)) if sys.argv[1:] == ["--calibrate"] else main))
