"""Rows of published measurements, read into what the planner takes: a shape, a setup and a framework."""

import csv
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tunesmith import catalog
from tunesmith.planner.architecture import Architecture, UnsupportedConfig, from_config
from tunesmith.planner.memory import GB, GIB
from tunesmith.planner.training_setup import ALL_LINEAR, LOW_RANK, Setup

DATA = Path(__file__).parent / "data"
SUFFIXES = re.compile(
    r"(chat|instruct|hf|base|awq|gptq|aqlm|int4|int8|bnb|it|v\d+(\.\d+)?|4k|8k|128k|deduped|\d+bit|\d+x\d+)$"
)
TARGETS = {
    "q": ("q",), "k": ("k",), "v": ("v",), "o": ("o",), "mlp": ("gate", "up", "down"), "head": ("head",),
    "q_proj": ("q",), "k_proj": ("k",), "v_proj": ("v",), "o_proj": ("o",), "gate_proj": ("gate",), "up_proj": ("up",),
    "down_proj": ("down",), "w_pack": ("qkv",), "c_attn": ("qkv",), "query_key_value": ("qkv",),
    "c_proj": ("o", "down"), "w1": ("up",), "w2": ("gate",),
    "all": ALL_LINEAR, "all-linear": ALL_LINEAR, "dense": ("o",),
}  # fmt: skip


class NoEstimate(Exception):
    """Why a row cannot be estimated."""


@dataclass(frozen=True)
class Anchor:
    """A published row. ``model`` is the key of its shape; ``known`` is False where the shape is guessed from a size."""

    row: dict[str, str]
    model: str
    shape: Architecture
    known: bool
    framework: str


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; what a short row lacks is empty, what a long row has beyond the columns is left out."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = csv.DictReader(handle)
        return [{key.strip(): (value or "").strip() for key, value in row.items() if key is not None} for row in rows]


def unit_bytes(row: dict[str, str]) -> int:
    """Bytes of the row's unit. A bare GB is 10**9; Qwen's "G" is taken for nvidia-smi's, which counts in 2**30."""
    unit = row.get("unit", "").lower()
    return GIB if unit.startswith("gib") or 'printed "g"' in unit else GB


def anchor(row: dict[str, str]) -> Anchor:
    """The row with its model's shape.

    Raises:
        NoEstimate: no model of this name is known, and the row has neither config nor size.
    """
    model, shape, known = _shape(row)
    framework = _framework(row.get("framework", ""))
    quantised = "lora" in row["method"].lower() and bool(_method(row)[1])
    if framework == "qwen_finetune" and (quantised or row["method"].startswith("full")):
        framework = "qwen_deepspeed"  # its scripts for Q-LoRA and full training run DeepSpeed, even on one GPU
    if framework == "litgpt" and "2023" in row["framework"]:
        framework = "litgpt_2023"
    return Anchor(row, model, shape, known, framework)


def _shape(row: dict[str, str]) -> tuple[str, Architecture, bool]:
    if row.get("config"):
        try:
            return row["model"], from_config(json.loads(Path(row["config"]).read_text(encoding="utf-8"))), True
        except (OSError, json.JSONDecodeError, UnsupportedConfig) as error:
            raise NoEstimate(f"config: {error}") from None
    found = _by_name(row["model"])
    if found:
        return found, shapes()[found], True
    size = _number(row.get("params_b", ""))
    if not 0 < size < 1e4:
        raise NoEstimate(f"no shape is known for {row['model']!r}; add a column config (a config.json) or params_b")
    return row["model"], _like_llama(size * 1e9), False


def mixture(name: str) -> bool:
    """Whether a name says that the model is a mixture of experts: 8x7B, 30B-A3B, moe."""
    return bool(re.search(r"\d+x\d+(\.\d+)?b|[-_ ]a\d+(\.\d+)?b|moe|mixtral", name.lower()))


@cache
def shapes() -> dict[str, Architecture]:
    """Every known shape by key: those of the yardsticks, then those of the catalogue."""
    reference = _reference()
    known = {key: Architecture(**row["architecture"]) for key, row in reference.items()}
    return known | {
        key: Architecture(**row.architecture) for key, row in catalog.load().models.items() if key not in known
    }


@cache
def _reference() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DATA / "models.yaml").read_text(encoding="utf-8"))["models"]
    return loaded


@cache
def _names() -> dict[str, str]:
    names = {_plain(key): key for key in catalog.load().models}
    names |= {_plain(row.id.split("/")[-1]): key for key, row in catalog.load().models.items()}
    for key, row in _reference().items():
        names |= {_plain(name): key for name in (key, *row["names"])}
    return names


def _plain(name: str) -> str:
    words = re.split(r"[\s_/-]+", name.lower().split("/")[-1])
    while len(words) > 1 and SUFFIXES.fullmatch(words[-1]):
        words.pop()
    return "".join(words)


def _by_name(name: str) -> str:
    """The key of a model by its name, or by a name that begins or ends with a known one of the same size."""
    plain = _plain(name)
    if plain in _names():
        return _names()[plain]
    inside = [known for known in _names() if len(known) >= 5 and known in plain]
    return _names()[max(inside, key=len)] if inside else ""


def _like_llama(parameters: float) -> Architecture:
    """A shape of about this size with the proportions of Llama: depth 32 at 7 billion, vocabulary of 64,000."""
    layers = max(8, round(32 * (parameters / 7e9) ** 0.35))
    hidden = 64
    while (
        Architecture(layers, hidden, hidden // 64, hidden // 64, 64, round(2.7 * hidden), 64000).parameters < parameters
    ):
        hidden += 64
    return Architecture(layers, hidden, hidden // 64, hidden // 64, 64, round(2.7 * hidden), 64000)


def _framework(text: str) -> str:
    """The profile's key of a framework's name; unknown ones get the generic profile."""
    plain = re.sub(r"[^a-z]", "", text.lower())
    for word, key in (
        ("litgpt", "litgpt"), ("qwen", "qwen_finetune"), ("swift", "ms_swift"), ("torchtune", "torchtune"),
        ("unsloth", "unsloth"), ("llamafactory", "llamafactory"), ("axolotl", "axolotl"), ("trl", "trl"),
        ("peft", "peft"),
    ):  # fmt: skip
        if word in plain:
            return key
    return "generic"


def setup(found: Anchor) -> Setup:
    """The row's training setup; what it leaves unsaid takes the framework's habit.

    Raises:
        NoEstimate: the batch, the length or the method is not stated or not modelled.
    """
    row = found.row
    method, quantisation = _method(row)
    batch, length = _number(row.get("micro_batch", "")), _number(row.get("seq_len", ""))
    if not batch or not length:
        raise NoEstimate("micro_batch or seq_len is not stated")
    notes = row.get("notes", "").lower()
    devices = devices_of(row)
    if found.framework == "ms_swift" and row.get("per_gpu", "").startswith("no"):
        devices = 1  # one model split over the cards by device_map; the figure is the sum
    embeddings = "embeddings" in row["method"]
    virtual = re.search(r"virtual tokens (\d+)", notes)
    return Setup(
        method=method,
        micro_batch=int(batch),
        length=int(length),
        rank=int(_number(row.get("lora_rank", "")) or 8),
        targets=_targets(row.get("lora_targets", "")),
        quantisation=quantisation,
        checkpointing=_checkpointing(row, found.framework) and method != "prefix",
        optimizer="paged_adamw_8bit" if "8bit" in row.get("optimizer", "").lower() or "8-bit" in notes else "adamw",
        optimizer_in_backward="fuse optimizer" in notes or "in-backward" in row.get("optimizer", "").lower(),
        loss=_loss(found.framework, notes),
        # ms-swift asks for eager attention unless told otherwise; the first Qwen and ChatGLM bring their own code.
        eager_attention=found.framework == "ms_swift" and _eager(found.model, notes),
        compiled=found.framework == "torchtune" and "compile" in notes,
        accumulates=not (found.framework == "torchtune" and ("baseline" in notes or "batch size 2" in notes)),
        scales_outputs=row["method"].startswith(("llama-adapter-v2", "ia3")),
        offload_activations="activation offload" in notes,
        train_embeddings=embeddings,
        virtual_tokens=int(virtual[1]) if virtual else 20 if method in ("prefix", "prompt") else 0,
        trainable=0 if method == "full" or embeddings else _trainable(notes),
        devices=devices,
        sharding=_sharding(found.framework, notes, row.get("grad_ckpt", ""), devices),
    )


# What a framework's own recipes do where a row does not say.
RECOMPUTES = {"qwen_finetune", "qwen_deepspeed", "ms_swift", "torchtune", "unsloth", "llamafactory"}
YES, NO = re.compile(r"(true|yes|y|on|1|unsloth|full|selective)\b"), re.compile(r"(false|no|n|off|0|none|disabled)\b")


def _checkpointing(row: dict[str, str], framework: str) -> bool:
    stated = states_checkpointing(row)
    return framework in RECOMPUTES if stated is None else stated


def states_checkpointing(row: dict[str, str]) -> bool | None:
    """What the row says about gradient checkpointing; None where it says nothing that can be read."""
    text = row.get("grad_ckpt", "").strip().lower()
    return True if YES.match(text) else False if NO.match(text) else None


def devices_of(row: dict[str, str]) -> int:
    """Devices of the row: 8, or "8xA100"; one where it does not say."""
    stated = re.match(r"\d+", row.get("num_gpus", "").strip())
    return max(1, int(stated[0])) if stated else 1


def assumed(found: Anchor, planned: Setup) -> list[str]:
    """What the row leaves unsaid and the estimate takes for granted."""
    row, notes = found.row, []
    if states_checkpointing(row) is None:
        notes.append(f"grad_ckpt not stated: taken as {'on' if planned.checkpointing else 'off'}, the band covers both")
    if planned.method in LOW_RANK and not _number(row.get("lora_rank", "")) and not planned.trainable:
        notes.append(f"lora_rank not stated: taken as {planned.rank}")
    if not found.known:
        kind = (
            "a mixture of experts by its name, planned as dense" if mixture(row["model"]) else "shape guessed by size"
        )
        notes.append(f"{kind}: the band is wider")
    if found.framework == "generic":
        notes.append("an unknown framework: the constants of all together")
    return notes


def _trainable(notes: str) -> int:
    """The number of trained parameters where a row states it, else 0."""
    stated = re.search(r"trainable (?:params )?([\d,]+)", notes)
    return int(stated[1].replace(",", "")) if stated and len(stated[1]) > 3 else 0


def _eager(model: str, notes: str) -> bool:
    stated = re.search(r"flash[_ -]?att(?:n|ention)\W*(true|false|on|off|yes|no)\b", notes)
    return stated[1] in ("false", "off", "no") if stated else not re.match(r"qwen-|chatglm", model)


def _method(row: dict[str, str]) -> tuple[str, str]:
    """Method and quantisation of the base."""
    words = f"{row['method']} {row.get('precision', '')}".lower()
    notes = row.get("notes", "").lower()
    quantisation = ""
    if "gptq" in words or "awq" in words:
        quantisation = "int8" if "int8" in words else "gptq4"
    elif any(word in words for word in ("qlora", "nf4", "int4", "+q4")) or "quantize=bnb" in notes:
        doubly = "nf4-dq" in notes or ("qlora" in words and "litgpt" not in row["framework"])
        quantisation = "nf4-dq" if doubly else "nf4"
    name = row["method"].lower()
    if special := re.search(r"galore|lisa|freeze|longlora|llamapro|badam", name):
        raise NoEstimate(f"{special[0]} is not modelled")
    if name.startswith("full"):
        return "full", ""
    for word in ("prefix", "prompt"):
        if name.startswith(word):
            return word, ""
    if "dora" in name:
        return "dora", quantisation
    if "lora" in name or "adapter" in name or name in ("ia3", "vera", "oft", "ln", "p-tuning"):
        return "lora", quantisation
    raise NoEstimate(f"the method {row['method']!r} is not modelled")


def _targets(text: str) -> tuple[str, ...]:
    words = [word for word in re.split(r"[+,\s/]+", text.lower().replace("(default)", "")) if word]
    if words == ["c_attn", "qkv"] or not words:
        return ("qkv",)
    return tuple(dict.fromkeys(name for word in words for name in TARGETS.get(word, ()))) or ("q", "v")


def _loss(framework: str, notes: str) -> str:
    if framework == "torchtune":
        return "chunked" if "chunked" in notes else "full" if "baseline" in notes else ""
    return "fused" if "liger" in notes or "fused linear" in notes else ""


def _sharding(framework: str, notes: str, checkpointing: str, devices: int) -> str:
    if devices == 1:
        return "none"
    if framework == "torchtune" or "fsdp" in notes or "fsdp" in checkpointing.lower():
        return "fsdp"
    zero = re.search(r"zero-?\s?(\d)", notes)
    return f"zero{zero[1]}" if zero else "ddp"


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return 0.0
