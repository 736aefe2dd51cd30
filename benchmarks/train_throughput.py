"""Tokens per second of the emitted `train` stage, against bare TRL scripts with the same settings.

    cd PROJECT && python3 environment.py python PATH/TO/benchmarks/train_throughput.py [--steps 8] [--rounds 3]

PROJECT has run `dvc repro` at least as far as `baseline`. All sides train in this process, in turn, on the same rows;
model loading is left out. TRL keeps adapters over a quantised base in bf16, which a CPU without such instructions
emulates, and the stage in fp32: so one script is as TRL makes it, and one has fp32 adapters. Prints each median and
the ratio to it. Target: at least 0.97 of both.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, os.getcwd())


from engine.core.device import Device, prepare
from engine.core.params import load
from engine.models.base import base_model
from engine.settings.train import TrainParams
from pipeline import train_sft


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    loaded = load(TrainParams)
    shortened = loaded.train.model_copy(update={"max_steps": options.steps, "eval_steps": options.steps})
    settings = loaded.model_copy(update={"train": shortened})
    makers = {"train stage": stage_trainer, "bare TRL": bare_trainer, "bare TRL, fp32 adapters": fp32_trainer}
    speeds: dict[str, list[float]] = {name: [] for name in makers}
    for number in range(options.rounds):
        order = list(speeds) if number % 2 else list(speeds)[::-1]
        for name in order:
            with tempfile.TemporaryDirectory() as scratch:
                device = prepare(settings.seed, settings.train.compute_dtype)
                speeds[name].append(speed(makers[name](settings, device, Path(scratch))))
            print(f"{name}: {speeds[name][-1]:.1f} tokens/s", flush=True)
    ours, *bare = (statistics.median(values) for values in speeds.values())
    print(f"median of the train stage {ours:.1f} tokens/s")
    for name, other in zip(list(speeds)[1:], bare, strict=True):
        print(f"median of {name} {other:.1f} tokens/s, ratio {ours / other:.3f}")


def speed(trainer: Any) -> float:
    """Tokens per second of a whole ``train()`` call, without the evaluation and saving that only the stage does."""
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.load_best_model_at_end = False
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    tokens = [row["num_tokens"] for row in trainer.state.log_history if "num_tokens" in row][-1]
    return float(tokens / seconds)


def stage_trainer(settings: TrainParams, device: Device, folder: Path) -> Any:
    return train_sft.build_trainer(settings, device, base_model(settings), folder)


def fp32_trainer(settings: TrainParams, device: Device, folder: Path) -> Any:
    trainer = bare_trainer(settings, device, folder)
    train_sft.keep_adapters_in_fp32(trainer.model)
    return trainer


def bare_trainer(settings: TrainParams, device: Device, folder: Path) -> Any:
    """What a TRL tutorial would write, with this project's numbers."""
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    base, knobs = base_model(settings), settings.train
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=device.dtype,
    )
    return SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            base, dtype=device.dtype, quantization_config=quantization, device_map={"": device.kind}
        ),
        args=SFTConfig(
            output_dir=str(folder),
            seed=settings.seed,
            data_seed=settings.seed,
            max_steps=knobs.max_steps,
            per_device_train_batch_size=knobs.micro_batch_size,
            gradient_accumulation_steps=knobs.gradient_accumulation_steps,
            learning_rate=knobs.learning_rate,
            max_length=settings.format.max_length,
            activation_checkpointing=knobs.activation_checkpointing,
            completion_only_loss=True,
            bf16=device.dtype is torch.bfloat16,
            use_cpu=device.kind == "cpu",
            logging_steps=knobs.max_steps,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=load_dataset(
            "json", data_files=str(train_sft.TRAIN), split="train", cache_dir=str(folder / "dataset")
        ),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=knobs.lora_rank, lora_alpha=knobs.lora_alpha, target_modules="all-linear"
        ),
    )


if __name__ == "__main__":
    main()
