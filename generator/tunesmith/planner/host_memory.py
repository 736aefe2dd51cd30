"""Memory that training on graphics cards asks of the host: a bound by arithmetic, no published peak to judge it by."""

from collections.abc import Mapping
from dataclasses import dataclass

from tunesmith.planner.architecture import Architecture
from tunesmith.planner.memory import CPU_PROCESS_GIB, GIB, MemoryEstimate, weight_bytes
from tunesmith.planner.training_setup import Profile, Setup

SHARDED = ("fsdp", "zero3")


@dataclass(frozen=True)
class HostMemory:
    """``terms`` in GiB over all processes. ``low`` is what surely is held, ``high`` what is at most."""

    terms: Mapping[str, float]
    low: float
    high: float


def host_memory(shape: Architecture, setup: Setup, profile: Profile, memory: MemoryEstimate) -> HostMemory:
    """What the processes of a run hold in the host's memory, while they load or train.

    A model that is to be sharded is loaded whole by each process (microsoft/DeepSpeed,
    runtime/zero/stage3.py, estimate_zero3_model_states_mem_needs without zero.Init: all parameters x processes;
    pytorch/pytorch, "FSDP with meta device": 8 x 160 GB for Falcon 40B); frameworks that let one process load and send
    it on hold it once, which is ``low``. Otherwise weights are mapped and sent to the card tensor by tensor, of which
    the embeddings are the largest. Paged optimiser states and offloaded activations are on the host at most whole.
    """
    width = profile.full_weight_bytes if setup.method == "full" else 4 if setup.wide else 2
    whole = weight_bytes(shape, profile, setup.quantisation, width) / GIB
    terms = {"processes": setup.devices * CPU_PROCESS_GIB}
    low = terms["processes"]
    if setup.sharding in SHARDED:
        terms["weights while loading"] = setup.devices * whole
        low += whole
    else:
        terms["largest tensor"] = setup.devices * shape.embedding_parameters * width / GIB
    if setup.optimizer.startswith("paged"):
        terms["paged optimizer"] = setup.devices * memory.terms.get("optimizer", 0.0)
    if setup.offload_activations:
        terms["activations"] = setup.devices * 2.0 * shape.hidden_size * shape.layers * setup.tokens / GIB
        low += terms["activations"]
    return HostMemory(terms, low, sum(terms.values()))
