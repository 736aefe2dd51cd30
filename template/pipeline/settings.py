"""``params.yaml`` as one frozen, strict value: a misspelt or mistyped knob stops the stage before any work."""

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from pipeline.files import ProjectError

PARAMS = Path("params.yaml")

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every group: immutable, and an unknown key is an error."""


class ModelSettings(Strict, frozen=True):
    """Where the base model comes from, pinned so that it can never change unnoticed."""

    name: str
    source: Literal["package", "hub", "path"]
    id: str  # package: "name==version"; hub: "owner/name"; path: a folder
    file: str | None = None  # package only: the GGUF file inside the wheel
    sha256: str | None = None  # package only: of that file
    revision: str | None = None  # hub only: a full commit hash


class CurateSettings(Strict, frozen=True):
    path: str
    format: Literal["jsonl", "alpaca", "sharegpt", "messages"]
    group_key: str | None
    label_key: str | None
    min_answer_chars: NonNegativeInt
    max_chars: PositiveInt
    near_duplicate_threshold: Fraction  # Jaccard similarity of two records' shingles
    test_items: PositiveInt
    dev_items: PositiveInt
    max_reject_fraction: Fraction
    benchmark_version: PositiveInt


class FormatSettings(Strict, frozen=True):
    max_length: PositiveInt  # tokens, prompt and answer together


class EvaluateSettings(Strict, frozen=True):
    primary_metric: Literal["exact_match", "json_match", "contains", "label_accuracy", "token_f1", "rouge_l"]
    minimum_effect: Fraction  # the smallest gain in the primary metric that is worth shipping
    alpha: Fraction
    shots: NonNegativeInt
    max_new_tokens: PositiveInt
    batch_size: PositiveInt
    bootstrap_samples: PositiveInt


class TrainSettings(Strict, frozen=True):
    method: Literal["full", "lora", "qlora", "dora", "rslora"]
    lora_rank: PositiveInt
    lora_alpha: PositiveInt
    lora_dropout: Fraction
    target_modules: str | list[str]
    learning_rate: PositiveFloat
    lr_scheduler: str
    warmup_fraction: Fraction
    weight_decay: Annotated[float, Meta(ge=0)]
    max_steps: PositiveInt
    micro_batch_size: PositiveInt  # rows per device and forward pass
    gradient_accumulation_steps: PositiveInt
    eval_steps: PositiveInt  # steps between two evaluations on dev; a checkpoint is kept at each
    compute_dtype: Literal["auto", "bf16", "fp32"]
    activation_checkpointing: bool
    optimizer: str


class CostSettings(Strict, frozen=True):
    hardware: str  # a row of prices.yaml
    monthly_requests: PositiveInt
    utilisation: Fraction  # share of a rented hour that serves requests


class ServeSettings(Strict, frozen=True):
    parity_items: PositiveInt  # benchmark items answered again by the real server


class GateSettings(Strict, frozen=True):
    require_ship: bool  # true: any verdict but SHIP TUNED fails `dvc repro`
    minimum_parity: Fraction


class Settings(Strict, frozen=True):
    smoke: bool
    seed: NonNegativeInt
    model: ModelSettings
    curate: CurateSettings
    format: FormatSettings
    evaluate: EvaluateSettings
    train: TrainSettings
    cost: CostSettings
    serve: ServeSettings
    gate: GateSettings


class _Yaml12Loader(yaml.SafeLoader):
    """YAML 1.2 numbers: PyYAML's 1.1 rules read ``1e-3`` as text."""


_Yaml12Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


@cache
def load(path: Path = PARAMS) -> Settings:
    """Read and check ``params.yaml``.

    Raises:
        ProjectError: the file is missing, is not YAML, or a knob is unknown, missing or out of range.
    """
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=_Yaml12Loader)
    except FileNotFoundError:
        raise ProjectError("params.yaml not found", str(path), "run from the project's root") from None
    except yaml.YAMLError as error:
        raise ProjectError(f"not valid YAML: {error}", str(path)) from None
    try:
        return msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise ProjectError(str(error), str(path), _nearest(str(error))) from None


def _nearest(message: str) -> str:
    """The knob that a misspelt key most likely meant."""
    if "unknown field" not in message:
        return ""
    unknown = message.split("`")[1]
    known = {field for group in _groups() for field in group.__struct_fields__}
    close = difflib.get_close_matches(unknown, sorted(known), n=1)
    return f"did you mean `{close[0]}`?" if close else "remove it"


def _groups() -> list[type[Struct]]:
    return [Settings, *Strict.__subclasses__()]
