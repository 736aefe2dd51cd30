"""What a spec or a project asks of a machine: shape, setup, device and tokens, gathered from answers and knobs."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalogue, Hardware, Model
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.errors import FileProblem
from tunesmith.planner.architecture import Architecture, from_config
from tunesmith.planner.inference import InferenceMemory, inference_memory
from tunesmith.planner.throughput import LENGTH_SPREAD
from tunesmith.planner.training_setup import ALL_LINEAR, ImpossibleSetup, Profile, Setup, profiles
from tunesmith.questions import defaults

FRAMEWORK = "trl"  # what generated projects train with
SCENARIO = ("method", "framework", "devices", "sharding", "loss", "packing")  # can be planned beyond what is generated
STAND_IN = "qwen3-4b"  # shape taken for a custom model whose config.json is not on this machine
MODULES = {
    "q_proj": "q",
    "k_proj": "k",
    "v_proj": "v",
    "o_proj": "o",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
    "qkv_proj": "qkv",
    "query_key_value": "qkv",
}
OPTIMIZERS = {"adamw_torch": "adamw", "adamw_torch_fused": "adamw"}
MEAN_SHARE = 0.5  # mean length of a record as a share of the longest allowed, where no data was counted
VIRTUAL_TOKENS = 20  # of prefix and prompt tuning, which are planned and not generated
P95 = 1.645  # standard deviations from the median to the 95th percentile


@dataclass(frozen=True)
class PlannedModel:
    """The model that is planned for; ``source``: where its shape comes from; ``eager``: why sdpa will not do.

    ``row`` is that of the catalogue, None for a custom model.
    """

    key: str
    shape: Architecture
    source: str
    context_length: int
    known: bool
    eager: str = ""
    row: Model | None = None


def planned_model(catalogue: Catalogue, answers: Mapping[str, Any]) -> PlannedModel:
    """The model of the answers: a row of the catalogue, by key or by its id on the hub, or a custom one's config.json.

    Raises:
        FileProblem: the config.json cannot be read.
        UnsupportedConfig: it describes no decoder that is modelled.
    """
    row = catalogue.models.get(answers["model"])
    source, identity = str(answers.get("model_source", "")), str(answers.get("model_id", ""))
    if row:
        return replace(_of_row(row, row.key, str(row.figures["source"])), row=row)
    listed = catalogue.models.values() if source == "hub" else ()
    if same := next((row for row in listed if row.id == identity), None):
        return _of_row(same, "custom", f"the catalogue's {same.key}, which has the same id")
    path = _config_path(source, identity)
    if path is None:
        stand_in = catalogue.models[STAND_IN]
        guess = f"no config.json on this machine: planned as {stand_in.title}"
        fix = f"{_obtain(source, answers)}, then plan again"
        shape = Architecture(**stand_in.architecture)
        return PlannedModel("custom", shape, f"{guess}; {fix}", stand_in.context_length, False)
    wanted = "the config.json of the model's publisher"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileProblem(path, f"cannot be read: {error}", wanted) from None
    text = (config.get("text_config") or config) if isinstance(config, dict) else None
    if not isinstance(text, dict):
        raise FileProblem(path, "has no model settings", wanted)
    context = text.get("max_position_embeddings")
    if context is not None and (isinstance(context, bool) or not isinstance(context, int) or context < 1):
        raise FileProblem(path, f"max_position_embeddings: {context!r} is not a number of tokens", wanted)
    eager = "Gemma 2 caps its attention scores, which sdpa does not do" if text.get("model_type") == "gemma2" else ""
    return PlannedModel("custom", from_config(config, str(path)), str(path), int(context or 0), True, eager)


def _of_row(row: Model, key: str, source: str) -> PlannedModel:
    eager = "Gemma 2 caps its attention scores, which sdpa does not do" if row.key.startswith("gemma-2") else ""
    return PlannedModel(key, Architecture(**row.architecture), source, row.context_length, True, eager)


def _obtain(source: str, answers: Mapping[str, Any]) -> str:
    """How the config.json of a custom model gets onto this machine."""
    identity, revision = str(answers.get("model_id", "")), str(answers.get("model_revision", ""))
    if source == "hub":
        return f"`hf download {identity} config.json --revision {revision if revision.strip('0') else 'main'}`"
    return f"copy its config.json to {identity}" if source == "path" else "name it with model_source: path or hub"


def _config_path(source: str, identity: str) -> Path | None:
    """The config.json of a custom model: in its folder, or in the hub's cache on this machine."""
    if source == "path" or (identity and Path(identity).expanduser().exists()):
        path = Path(identity).expanduser()
        path = path if path.suffix == ".json" else path / "config.json"
        return path if path.exists() else None
    if source != "hub":
        return None
    return next((path for folder in hub_snapshots(identity) if (path := folder / "config.json").exists()), None)


def hub_snapshots(identity: str, revision: str = "") -> list[Path]:
    """Folders of a hub model in the hub's cache on this machine, that of ``revision`` alone where it is a commit."""
    if "/" not in identity:
        return []
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = cache / f"models--{identity.replace('/', '--')}" / "snapshots"
    pinned = revision if revision.strip("0") else "*"  # noughts stand for a commit that nobody named
    return sorted(snapshots.glob(pinned))


def profile_of(answers: Mapping[str, Any]) -> Profile:
    """The framework that is planned for.

    Raises:
        ImpossibleSetup: nobody has described it.
    """
    key = answers.get("framework", FRAMEWORK)
    if key not in profiles():
        raise ImpossibleSetup("framework", f"{key!r} is not one of {', '.join(profiles())}")
    return profiles()[key]


def setup_for(answers: Mapping[str, Any], knobs: Mapping[str, Any], machine: Hardware) -> Setup:
    """The setup that these knobs render to, or would, where ``answers`` hold some of `SCENARIO` besides.

    Raises:
        ImpossibleSetup: several processors.
    """
    devices = int(answers.get("devices", 1))
    if devices > 1 and machine.cpu:
        raise ImpossibleSetup("devices", "several processors do not share a model; name a graphics card")
    method = str(answers["method"])
    return Setup(
        method=method,
        micro_batch=int(knobs["micro_batch_size"]),
        length=int(knobs["max_length"]),
        rank=int(knobs["lora_rank"]),
        targets=_targets(str(knobs["lora_targets"])),
        quantisation="nf4-dq" if method == "qlora" else "",
        checkpointing=bool(knobs["activation_checkpointing"]) and method != "prefix",
        optimizer=OPTIMIZERS.get(str(knobs["optimizer"]), str(knobs["optimizer"])),
        eager_attention=knobs["attention_implementation"] == "eager",
        scales_outputs=method == "dora",  # by the learnt magnitudes
        virtual_tokens=VIRTUAL_TOKENS if method in ("prefix", "prompt") else 0,
        devices=devices,
        sharding=str(answers.get("sharding") or knobs["sharding"]),
        loss=str(answers.get("loss", "")),
        cpu=machine.cpu,
        # `auto` on a processor may come to 32 bits, so that is what the plan allows for.
        wide=knobs["compute_dtype"] == "fp32" or (machine.cpu and knobs["compute_dtype"] == "auto"),
    )


TOKENS_PER_CHARACTER = Band(0.2, 0.25, 0.35)  # of English text and of code, for the tokenizers of today
EITHER_WAY = Band(0.7, 1.0, 1.4)  # what a token count in the spec may be off by
PROMPT_TOKENS = Band(50, 200, 600)  # of a worked-out system prompt, where the spec has none
TOKENS_PER_WORD = 1.5


def instructions(text: str) -> Band:
    """Tokens of a system prompt; of a usual one where there is none."""
    return TOKENS_PER_CHARACTER.times(len(text)) if text else PROMPT_TOKENS


def row_from_spec(answers: Mapping[str, Any]) -> Band | None:
    """Tokens of a training row by the spec's own figures; None where it has none but the defaults."""
    asked, answered = int(answers["request_tokens"]), int(answers["answer_tokens"])
    if (asked, answered) == (defaults()["request_tokens"], defaults()["answer_tokens"]):
        return None
    passages = answers["passages"] * answers["chunk_words"] * TOKENS_PER_WORD
    beside = instructions(answers["system_prompt"]).typical + (passages if answers["approach"] == "rag_finetune" else 0)
    spec_row = EITHER_WAY.times(asked + answered)
    return Band(spec_row.low + beside, spec_row.typical + beside, spec_row.high + beside)


def asked_tokens(answers: Mapping[str, Any], knobs: Mapping[str, Any]) -> int:
    """Tokens that a prompt of the benchmark shares with no other: its passages and its request, as training allows."""
    retrieves = answers["approach"] in ("rag", "rag_finetune") or answers["with_knowledge"]
    passages = answers["passages"] * answers["chunk_words"] * TOKENS_PER_WORD if retrieves else 0
    return max(math.ceil(passages) + int(answers["request_tokens"]), int(knobs["max_length"]))


def answered_tokens(answers: Mapping[str, Any], knobs: Mapping[str, Any]) -> int:
    """Tokens of the longest prompt of the benchmark with its answer, that of the few-shot arm."""
    shown = int(answers["shots"]) * (int(answers["request_tokens"]) + int(answers["answer_tokens"]))
    words = math.ceil(instructions(answers["prompted_system_prompt"]).typical)
    return words + shown + asked_tokens(answers, knobs) + int(answers["max_new_tokens"])


def evaluation(
    answers: Mapping[str, Any], knobs: Mapping[str, Any], model: PlannedModel, machine: Hardware
) -> InferenceMemory:
    """Memory of the stages `baseline` and `tuned`: 16-bit weights on one device, whatever the method trains in."""
    return inference_memory(
        model.shape,
        profiles()[FRAMEWORK],
        tokens=answered_tokens(answers, knobs),
        own_tokens=asked_tokens(answers, knobs),
        requests=int(knobs["evaluation_batch_size"]),
        cpu=machine.cpu,
        wide=machine.cpu and knobs["compute_dtype"] in ("auto", "fp32"),
        eager=bool(model.eager),
    )


def _targets(text: str) -> tuple[str, ...]:
    if text == "all-linear":
        return ALL_LINEAR
    return tuple(MODULES.get(name.strip(), "o") for name in text.split(","))


@dataclass(frozen=True)
class Tokens:
    """Tokens of training as (low, typical, high), padding not counted; ``source`` says how they were counted."""

    low: float
    typical: float
    high: float
    longest: int
    source: str
    spread: float = LENGTH_SPREAD  # of the logarithm of row lengths
    lengths: tuple[int, ...] = ()  # of rows, evenly spaced in their order, where they were counted


@dataclass(frozen=True)
class RowLengths:
    """Tokens of training rows before curation, all or evenly spaced ones; ``band`` is that of their mean, as a share.

    ``exact``: every row was counted by the model's tokenizer, so that none is longer than the longest of them.
    """

    lengths: tuple[int, ...]
    source: str
    band: Band
    exact: bool


def tokens_of(
    knobs: Mapping[str, Any],
    counted: Mapping[str, Any] | None = None,
    devices: int = 1,
    rows_counted: RowLengths | None = None,
    spec_row: Band | None = None,
) -> Tokens:
    """Tokens of a run of ``max_steps``.

    ``counted`` is the split `train` of a project's reports/format.json, where the model's own tokenizer counted;
    ``rows_counted`` are the user's raw data, where that stage did not run yet; ``spec_row`` is `row_from_spec`.
    """
    rows = (
        int(knobs["max_steps"]) * int(knobs["micro_batch_size"]) * int(knobs["gradient_accumulation_steps"]) * devices
    )
    longest = int(knobs["max_length"])
    if counted:
        mean = counted["tokens"] / max(1, counted["rows"])
        source = f"counted by the model's tokenizer over {counted['rows']} training rows"
        spread = math.log(max(counted["p95"], counted["median"], 1) / max(counted["median"], 1)) / P95
        lengths = tuple(counted.get("lengths", ()))
        return Tokens(rows * mean, rows * mean, rows * mean, int(counted["longest"]), source, spread, lengths)
    if rows_counted:
        return _of_rows(rows_counted, rows, longest)
    uncounted = "no data counted yet; name it with --data"
    if spec_row:
        low, typical, high = (min(tokens, longest) for tokens in spec_row)
        source = f"{uncounted}; rows of {spec_row.typical:.0f} tokens by the spec's request_tokens and answer_tokens"
        source += f"; rows longer than max_length: {longest} are left out" if spec_row.high > longest else ""
        return Tokens(rows * low, rows * typical, rows * high, longest, source)
    source = f"{uncounted}; rows assumed as {MEAN_SHARE:.0%} of max_length, at least a fifth and at most all of it"
    return Tokens(rows * longest * 0.2, rows * longest * MEAN_SHARE, rows * longest, longest, source)


def _of_rows(counted: RowLengths, rows: int, longest: int) -> Tokens:
    """Tokens of ``rows`` rows like these; those beyond ``longest`` never reach the trainer."""
    kept = sorted(length for length in counted.lengths if length <= longest)
    left_out = len(counted.lengths) - len(kept)
    note = f"; {left_out} of {len(counted.lengths)} rows are longer than max_length: {longest}" if left_out else ""
    kept = kept or [longest]
    mean, count = sum(kept) / len(kept), len(kept)
    median, high = kept[count // 2], kept[min(count - 1, math.ceil(0.95 * count))]
    low, typical, most = (rows * min(share * mean, longest) for share in counted.band)
    spread = math.log(max(high, median, 1) / max(median, 1)) / P95
    reached = kept[-1] if counted.exact else longest
    return Tokens(low, typical, most, reached, counted.source + note, spread, tuple(kept))
