"""Groups `format` and `train`."""

from typing import Annotated, Literal

from pydantic import Field

from engine.core.params import Fraction, Group, Part, PositiveFloat, PositiveInt
from engine.settings.model import ModelParams


class FormatSettings(Group):
    max_length: PositiveInt  # tokens, prompt and answer together
    too_long: Literal["error", "drop"]  # what to do with a longer record; none is ever cut
    with_passages: bool = False  # train on questions asked with their retrieved passages


class TrainSettings(Group):
    method: Literal["full", "lora", "qlora", "dora", "rslora"]
    lora_rank: PositiveInt
    lora_alpha: PositiveInt
    lora_dropout: Fraction
    target_modules: str | list[str]
    learning_rate: PositiveFloat
    lr_scheduler: str
    warmup_fraction: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    max_steps: PositiveInt
    micro_batch_size: PositiveInt  # rows per device and forward pass
    gradient_accumulation_steps: PositiveInt
    eval_steps: PositiveInt  # steps between two evaluations on dev; a checkpoint is kept at each
    compute_dtype: Literal["auto", "bf16", "fp16", "fp32"]
    activation_checkpointing: bool
    attention_implementation: Literal["sdpa", "eager"]
    optimizer: str
    devices: PositiveInt = 1  # equal graphics cards of one machine, a process for each
    sharding: Literal["none", "ddp", "fsdp"] = "none"  # ddp: each holds the model; fsdp: each holds its part of it


class Machine(Part):
    """What the record of a training run reads of the group `cost`."""

    hardware: str


class TrainParams(ModelParams):
    """What training needs to know."""

    format: FormatSettings
    train: TrainSettings
    cost: Machine
