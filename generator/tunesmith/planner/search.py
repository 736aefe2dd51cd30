"""Every way to run a step that the pins leave open, each judged by memory and speed."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.catalog import Hardware
from tunesmith.planner import throughput
from tunesmith.planner.memory import MemoryEstimate, estimate
from tunesmith.planner.plan_inputs import PlannedModel, profile_of, setup_for
from tunesmith.planner.training_setup import ImpossibleSetup, Setup


@dataclass(frozen=True)
class Fit:
    """One way to run a step, and whether its P90 fits."""

    setup: Setup
    memory: MemoryEstimate
    tokens_per_second: float
    fits: bool


def fits_of(
    answers: Mapping[str, Any], taken: Mapping[str, Any], model: PlannedModel, machine: Hardware, batch: int
) -> Iterator[Fit]:
    """Every micro-batch, optimiser and checkpointing that the pins leave open, judged by memory and speed.

    Raises:
        ImpossibleSetup: no devices.
    """
    devices = int(answers.get("devices", 1))
    if devices < 1:
        raise ImpossibleSetup("devices", f"{devices} is not a positive whole number")
    share = max(1, batch // devices)
    choices = (
        _open(taken, "sharding", _shardings(answers, taken)),
        _open(taken, "optimizer", _optimizers(answers["method"], machine)),
        _open(taken, "activation_checkpointing", (False, True)),
        _open(taken, "micro_batch_size", [size for size in (16, 8, 4, 2, 1) if size <= share]),
    )
    for sharding, optimizer, recompute, size in itertools.product(*choices):
        if sharding == "fsdp" and "8bit" in optimizer:  # schemas/support_matrix.yaml
            continue
        knob = {"sharding": sharding, "optimizer": optimizer, "activation_checkpointing": recompute}
        yield judge(answers, {**taken, **knob, "micro_batch_size": size}, model, machine)


def judge(answers: Mapping[str, Any], values: Mapping[str, Any], model: PlannedModel, machine: Hardware) -> Fit:
    """Memory and speed of one complete set of knobs."""
    planned = setup_for(answers, values, machine)
    memory = estimate(model.shape, planned, profile_of(answers))
    speed = throughput.tokens_per_second(model.shape, planned, machine, throughput.constants())
    return Fit(planned, memory, speed, memory.fits(machine.memory_gib))


def fastest(fits: list[Fit]) -> Fit:
    """The fastest that fits; if none does, the one that needs least. Earlier ones win a tie."""
    fitting = [fit for fit in fits if fit.fits]
    if fitting:
        return max(fitting, key=lambda fit: fit.tokens_per_second)
    return min(fits, key=lambda fit: fit.memory.high)


def _open(taken: Mapping[str, Any], key: str, values: Any) -> Any:
    return (taken[key],) if key in taken else values


def _shardings(answers: Mapping[str, Any], taken: Mapping[str, Any]) -> tuple[str, ...]:
    if "sharding" in answers:
        return (str(answers["sharding"]),)
    if int(answers.get("devices", 1)) == 1:
        return ("none",)
    return ("ddp",) if taken["compute_dtype"] == "fp16" else ("ddp", "fsdp")


def _optimizers(method: str, machine: Hardware) -> tuple[str, ...]:
    if machine.cpu:
        return ("adamw_torch",)
    return ("adamw_torch_fused", "paged_adamw_8bit") if method == "full" else ("adamw_torch_fused",)
