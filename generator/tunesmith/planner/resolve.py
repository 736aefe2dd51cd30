"""Chooses the knobs that a spec leaves open, each with its reason, so that the project runs as generated."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.catalog import Catalogue, Hardware, Model
from tunesmith.planner.plan_inputs import PlannedModel, evaluation, planned_model, row_from_spec
from tunesmith.planner.search import Fit, fastest, fits_of
from tunesmith.planner.training_setup import ImpossibleSetup
from tunesmith.questions import knobs

SMALL = 500_000_000  # parameters
LARGE = 4_000_000_000
CPU_BATCH = 8
GPU_BATCH = 16
EVALUATION_BATCHES = (48, 32, 16, 8, 4, 2, 1)
MANY_EXAMPLES = 10_000  # more than an adapter of rank 16 can be expected to hold


@dataclass(frozen=True)
class Choice:
    """A value with the reason for it."""

    value: Any
    reason: str


def resolve(
    catalogue: Catalogue, answers: Mapping[str, Any], pins: Mapping[str, Any] | None = None
) -> dict[str, Choice]:
    """What the planner and the catalogue choose for every knob.

    ``answers`` holds every question that is no knob. ``pins`` are taken as given and bound the other choices.

    Raises:
        FileProblem, UnsupportedConfig: the config.json of a custom model cannot be read or modelled.
        ImpossibleSetup: the length is more than the model attends to.
    """
    pins = pins or {}
    model = catalogue.models.get(answers["model"])
    machine = catalogue.hardware[answers["hardware"]]
    chosen = _model(model)
    chosen |= _training(answers, pins, planned_model(catalogue, {**answers, **pins}), machine)
    return {key: chosen[key] for key in knobs()}


def planned(catalogue: Catalogue, answers: Mapping[str, Any], pins: Mapping[str, Any]) -> dict[str, Choice]:
    """`resolve`, but of a pinned knob what the planner would take without that pin (nor any but the model's own).

    Raises:
        FileProblem, UnsupportedConfig: see `resolve`.
    """
    choices = resolve(catalogue, answers, pins)
    if pins:
        free = resolve(catalogue, answers, {key: value for key, value in pins.items() if key.startswith("model_")})
        choices |= {key: free[key] for key in pins}
    return choices


def _model(model: Model | None) -> dict[str, Choice]:
    if model is None:
        reason = "a custom model is named by the spec"
        return {key: Choice(value, reason) for key, value in _EMPTY_MODEL.items()}
    reason = f"the catalogue's row for {model.key}"
    values = {
        "model_source": model.source,
        "model_id": model.id,
        "model_file": model.file,
        "model_sha256": model.sha256,
    }
    return {key: Choice(value, reason) for key, value in (_EMPTY_MODEL | values).items()}


_EMPTY_MODEL = {"model_source": "hub", "model_id": "", "model_file": "", "model_sha256": "", "model_revision": ""}


def _training(
    answers: Mapping[str, Any], pins: Mapping[str, Any], model: PlannedModel, machine: Hardware
) -> dict[str, Choice]:
    batch = CPU_BATCH if machine.cpu else GPU_BATCH
    fixed = {
        "lora_rank": _rank(answers),
        "lora_targets": Choice("all-linear", "adapters on every linear layer learn best for their size"),
        "learning_rate": _learning_rate(answers["method"], model.shape.parameters),
        "max_steps": _steps(machine.cpu, answers["good_examples"], batch),
        "max_length": _length(answers, machine.cpu, model.context_length),
        "compute_dtype": _dtype(machine),
        "attention_implementation": _attention(model),
    }
    taken = {key: choice.value for key, choice in fixed.items()} | dict(pins)
    if 0 < model.context_length < int(taken["max_length"]):
        reason = f"{taken['max_length']} is more than the {model.context_length} tokens that {model.key} attends to"
        raise ImpossibleSetup("max_length", reason)
    fixed["evaluation_batch_size"] = _evaluation_batch(answers, taken, model, machine)
    fits = list(fits_of(answers, taken, model, machine, batch))
    best = fastest(fits)
    return fixed | _memory_choices(best, fits, batch, machine, taken)


def _memory_choices(
    best: Fit, fits: list[Fit], batch: int, machine: Hardware, taken: Mapping[str, Any]
) -> dict[str, Choice]:
    need = f"{best.memory.high:.1f} GiB at the P90 of {machine.memory_gib:g} GiB"
    why = f"the fastest that fits: {need}" if best.fits else f"the smallest possible, but {need}"
    size, devices = best.setup.micro_batch, best.setup.devices
    accumulation = max(1, batch // (size * devices))
    passes = "1 pass" if accumulation == 1 else f"{accumulation} passes"
    parts = f"{size} x {devices} devices x {passes}: " if devices > 1 else ""
    step = f"{parts}{size * devices * accumulation} records in one optimiser step"
    optimizer = "adamw" if best.setup.optimizer == "adamw" else best.setup.optimizer
    name = {"adamw": "adamw_torch" if machine.cpu else "adamw_torch_fused"}.get(optimizer, optimizer)
    return {
        "micro_batch_size": Choice(size, why),
        "gradient_accumulation_steps": Choice(accumulation, step),
        "activation_checkpointing": Choice(best.setup.checkpointing, _recompute_reason(best, fits)),
        "optimizer": Choice(taken.get("optimizer", name), _optimizer_reason(best)),
        "sharding": Choice(best.setup.sharding, _sharding_reason(best, fits)),
    }


def _evaluation_batch(
    answers: Mapping[str, Any], taken: Mapping[str, Any], model: PlannedModel, machine: Hardware
) -> Choice:
    """The largest batch of prompts that the untouched weights can answer beside their cache."""
    for size in EVALUATION_BATCHES:
        held = evaluation(answers, {**taken, "evaluation_batch_size": size}, model, machine)
        if held.fits(machine.memory_gib):
            break
    need = f"{held.high:.1f} GiB of {machine.memory_gib:g} with weights in 16 bits or more"
    fits = held.fits(machine.memory_gib)
    return Choice(size, f"the largest batch that fits: {need}" if fits else f"one at a time, but {need}")


def _recompute_reason(best: Fit, fits: list[Fit]) -> str:
    other = [
        fit
        for fit in fits
        if fit.setup == replace(best.setup, checkpointing=not best.setup.checkpointing) and fit is not best
    ]
    if not other:
        return "as pinned"
    if best.setup.checkpointing:
        return f"without it this micro-batch needs {other[0].memory.high:.1f} GiB"
    saved = best.memory.high - other[0].memory.high
    return f"it would save {max(saved, 0):.1f} GiB, which is not needed, and cost about a quarter of the speed"


def _sharding_reason(best: Fit, fits: list[Fit]) -> str:
    kind, devices = best.setup.sharding, best.setup.devices
    if devices == 1:
        return "one device holds everything"
    start = f"a process for each of {devices} devices (torchrun)"
    if kind == "ddp":
        sharded = "" if best.fits or any(fit.setup.sharding == "fsdp" for fit in fits) else "; fp16 is not sharded"
        return f"{start}: each holds the whole model and exchanges only gradients{sharded}"
    whole = [fit for fit in fits if fit.setup.sharding == "ddp"]
    if not whole:
        return f"{start}: as pinned"
    if any(fit.fits for fit in whole):
        return f"{start}: each holds a part of the model, which leaves room for a faster step"
    need = min(fit.memory.high for fit in whole)
    return f"{start}: each holds a part of the model, because the whole model needs at least {need:.1f} GiB"


def _optimizer_reason(best: Fit) -> str:
    if "8bit" in best.setup.optimizer:
        return "moments in 8 bits, paged to the host under pressure: in 32 bits the run does not fit"
    share = best.memory.terms.get("optimizer", 0.0)
    return f"its moments take {share:.2f} GiB; fewer bits would not decide whether the run fits"


def _rank(answers: Mapping[str, Any]) -> Choice:
    if answers["good_examples"] > MANY_EXAMPLES:
        return Choice(32, f"{answers['good_examples']} examples contain more than rank 16 can learn")
    return Choice(16, "rank 16 is enough for most behaviour")


def _learning_rate(method: str, parameters: int) -> Choice:
    if method == "full":
        rate = 5e-5 if parameters <= SMALL else 1e-5
        return Choice(rate, "full training moves every weight, so each step is small")
    if parameters <= SMALL:
        return Choice(1e-3, "adapters of models below half a billion parameters need a high rate")
    return Choice(2e-4 if parameters <= LARGE else 1e-4, "the usual rate for adapters of a model of this size")


def _steps(on_cpu: bool, examples: int, batch: int) -> Choice:
    if on_cpu:
        return Choice(96, "takes minutes on a few cores and is enough for a narrow behaviour")
    passes = min(3 * examples // batch, 2000)
    if passes <= 96:
        return Choice(96, "the minimum for a narrow behaviour, for any number of examples")
    return Choice(passes, f"three passes over {examples} examples, at most 2,000 steps")


def _length(answers: Mapping[str, Any], on_cpu: bool, context: int) -> Choice:
    usual, reason = 1024, "room for a request with its instructions"
    if on_cpu and answers["approach"] == "rag_finetune":
        usual, reason = 512, "a short request with its retrieved passages"
    elif on_cpu:
        usual, reason = 256, "short requests, because every token costs time on a CPU"
    spec_row = row_from_spec(answers)
    if spec_row and spec_row.high > usual:  # a row that is longer is not trained on
        usual = 1 << math.ceil(math.log2(spec_row.high))
        reason = f"room for rows of {spec_row.typical:.0f} tokens, up to {spec_row.high:.0f}, from the spec"
    return Choice(min(usual, context or usual), reason)


def _dtype(machine: Hardware) -> Choice:
    if machine.cpu:
        return Choice("auto", "bf16 if the processor has the instructions, otherwise fp32")
    if machine.bf16:
        return Choice("bf16", f"{machine.title} computes in bf16")
    return Choice("fp16", f"{machine.title} has no bf16; the loss is scaled against underflow")


def _attention(model: PlannedModel) -> Choice:
    if model.eager:
        return Choice("eager", model.eager)
    return Choice("sdpa", "fused: it stores no scores and needs only torch")
