"""Chooses the knobs that a spec leaves open, by rules, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith import catalog
from tunesmith.catalog import Hardware, Model
from tunesmith.questions import knobs

SMALL = 500_000_000  # parameters
LARGE = 4_000_000_000
CPU_BATCH = 8
GPU_BATCH = 16
BYTES_PER_PARAMETER = {
    "full": 16.0,
    "qlora": 0.8,
}  # weights, gradients and optimiser state; the rest hold 16-bit weights
GIB = 2**30


@dataclass(frozen=True)
class Choice:
    """A value with the reason for it."""

    value: Any
    reason: str


def resolve(answers: Mapping[str, Any]) -> dict[str, Choice]:
    """What the planner and the catalogue choose for every knob; pins are applied by the template.

    ``answers`` holds every question that is no knob. A custom model, of unknown size, is planned as large.
    """
    model = catalog.models().get(answers["model"])
    machine = catalog.hardware()[answers["hardware"]]
    parameters = model.parameters if model else LARGE
    chosen = _model(model) | _training(answers, parameters, machine)
    return {key: chosen[key] for key in knobs()}


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


def _training(answers: Mapping[str, Any], parameters: int, machine: Hardware) -> dict[str, Choice]:
    on_cpu = machine.key == "cpu"
    batch = CPU_BATCH if on_cpu else GPU_BATCH
    micro = _micro_batch(answers["method"], parameters, machine, batch)
    return {
        "learning_rate": _learning_rate(answers["method"], parameters),
        "max_steps": _steps(on_cpu, answers["good_examples"], batch),
        "max_length": _length(on_cpu),
        "micro_batch_size": micro,
        "gradient_accumulation_steps": Choice(batch // micro.value, f"{batch} records in one optimiser step"),
        "compute_dtype": _dtype(machine),
        "activation_checkpointing": _checkpointing(answers["method"], parameters, machine),
    }


def _learning_rate(method: str, parameters: int) -> Choice:
    if method == "full":
        rate = 5e-5 if parameters <= SMALL else 1e-5
        return Choice(rate, "full training moves every weight, so each step is small")
    if parameters <= SMALL:
        return Choice(1e-3, "adapters of a model below half a billion parameters take a high rate")
    return Choice(2e-4 if parameters <= LARGE else 1e-4, "the usual rate for adapters of a model of this size")


def _steps(on_cpu: bool, examples: int, batch: int) -> Choice:
    if on_cpu:
        return Choice(96, "minutes on two cores, and enough for a narrow behaviour")
    return Choice(
        min(max(3 * examples // batch, 96), 2000), f"three passes over {examples} examples, at least 96 steps"
    )


def _length(on_cpu: bool) -> Choice:
    if on_cpu:
        return Choice(256, "short requests, and a CPU pays for every token")
    return Choice(1024, "room for a request with its instructions")


def _micro_batch(method: str, parameters: int, machine: Hardware, batch: int) -> Choice:
    if machine.key == "cpu":
        return Choice(batch, "a CPU gains nothing from smaller pieces")
    free = machine.memory_gib - _static_gib(method, parameters)
    size = batch if free > 20 else 4 if free > 8 else 1
    return Choice(size, f"about {max(free, 0):.0f} GiB are left beside the weights on {machine.title}")


def _static_gib(method: str, parameters: int) -> float:
    return parameters * BYTES_PER_PARAMETER.get(method, 2.2) / GIB


def _dtype(machine: Hardware) -> Choice:
    if machine.key == "cpu":
        return Choice("auto", "bf16 where the processor has the instructions, else fp32")
    if machine.bf16:
        return Choice("bf16", f"{machine.title} computes in bf16")
    return Choice("fp32", f"{machine.title} has no bf16")


def _checkpointing(method: str, parameters: int, machine: Hardware) -> Choice:
    if machine.key == "cpu":
        return Choice(False, "memory is not what is short on a CPU")
    tight = machine.memory_gib - _static_gib(method, parameters) < 12
    return Choice(
        tight, "memory is tight" if tight else "there is memory to spare, and recomputing costs a third more time"
    )
