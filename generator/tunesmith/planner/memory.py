"""Peak memory of one training device, by term. Pure functions: bytes inside, GiB (2**30) in what is returned."""

from collections.abc import Mapping
from dataclasses import dataclass

from tunesmith.planner.architecture import Architecture
from tunesmith.planner.training_setup import LOW_RANK, QUANTISED_BYTES, Profile, Setup, trainable_parameters

GIB = 2**30
GB = 10**9
USABLE = 0.95  # share of a card's nominal memory that a process can have; driver and display keep the rest
CPU_PROCESS_GIB = 1.2  # Python, torch and transformers: the smoke run, whose model is tiny, peaked at 1.25 GiB resident
PREFETCH = 2  # unsharded blocks that FSDP and ZeRO-3 hold at a time: the one that computes and the next


@dataclass(frozen=True)
class MemoryEstimate:
    """``terms`` in GiB by name; ``typical`` is their sum, ``low`` and ``high`` the P10 and P90 of what was measured."""

    terms: Mapping[str, float]
    low: float
    typical: float
    high: float
    floor: float  # weights, gradients and optimiser states alone
    trainable: int

    @property
    def dominant(self) -> str:
        """The largest term."""
        return max(self.terms, key=lambda name: self.terms[name])

    def fits(self, memory_gib: float) -> bool:
        """Whether the P90 fits into the usable part of a device's memory."""
        return self.high <= memory_gib * USABLE


def estimate(shape: Architecture, setup: Setup, profile: Profile) -> MemoryEstimate:
    """Peak memory of one device.

    Raises:
        ImpossibleSetup: the setup cannot exist.
    """
    setup.checked()
    trainable = trainable_parameters(shape, setup)
    terms = _held(shape, setup, profile, trainable) | _passing(shape, setup, profile)
    moving = terms["activations"] + terms["attention scores"] + terms["logits"]
    terms["fragmentation"] = profile.fragmentation * moving
    floor = sum(terms[name] for name in ("weights", "adapters", "gradients", "optimizer"))
    if not setup.accumulates:
        # Gradients appear as activations go, so the peak holds the larger of the two.
        terms["gradients"] = max(0.0, terms["gradients"] - moving)
    terms["context"] = (profile.overhead_gib + (CPU_PROCESS_GIB if setup.cpu else profile.context_gib)) * GIB
    typical = sum(terms.values())
    # A band never reaches below what arithmetic alone demands.
    return MemoryEstimate(
        terms={name: value / GIB for name, value in terms.items() if value},
        low=max(typical * profile.low, floor) / GIB,
        typical=typical / GIB,
        high=typical * profile.high / GIB,
        floor=floor / GIB,
        trainable=trainable,
    )


def weight_bytes(shape: Architecture, profile: Profile, quantisation: str = "", width: float = 2) -> float:
    """Bytes of the frozen weights: ``width`` each, quantised where the framework quantises."""
    head = 0 if shape.tied_embeddings and not profile.copies_tied_embeddings else shape.embedding_parameters
    plain = shape.embedding_parameters + head + shape.small_parameters
    packed = shape.linear_parameters
    if not profile.quantises_experts:
        plain, packed = plain + shape.expert_parameters, packed - shape.expert_parameters
    if quantisation and profile.quantises_head:
        plain, packed = plain - head, packed + head
    return plain * width + packed * QUANTISED_BYTES.get(quantisation, width)


def _held(shape: Architecture, setup: Setup, profile: Profile, trainable: int) -> dict[str, float]:
    """Terms that last for the whole run, each divided as the sharding divides it."""
    full = setup.method == "full"
    frozen = 4 if setup.wide else 2
    weights = weight_bytes(shape, profile, setup.quantisation, profile.full_weight_bytes if full else frozen)
    upcast = 0.0
    if setup.quantisation.startswith("nf4") and profile.upcasts_unquantised:
        upcast = 2 * (weight_bytes(shape, profile, setup.quantisation) - _packed_bytes(shape, setup, profile))
    state = profile.full_state_bytes if full else profile.adapter_state_bytes
    state *= {"adamw_8bit": 0.25, "paged_adamw_8bit": 0.25, "sgd": 0.0}.get(setup.optimizer, 1.0) * (
        2 if state == 4 and "8bit" in setup.optimizer else 1
    )
    gradient = profile.full_gradient_bytes if full else profile.adapter_gradient_bytes
    if setup.optimizer_in_backward:
        gradient = 0
    temporary = profile.full_temporary_bytes if full else profile.adapter_temporary_bytes
    if setup.optimizer_in_backward or "8bit" in setup.optimizer:
        temporary = 0
    shard = _shards(setup)
    buckets = 2 if setup.sharding == "ddp" else 1  # DDP copies gradients into the buckets that it sends
    gathered = _gathered(shape, profile, weights, width=profile.full_weight_bytes if full else frozen)
    return {
        "weights": weights / shard["weights"] + (gathered if shard["weights"] > 1 else 0.0),
        "upcasts": upcast / shard["weights"],
        "adapters": 0.0 if full else trainable * profile.adapter_weight_bytes / shard["weights"],
        "gradients": trainable * gradient * buckets / shard["gradients"],
        "optimizer": trainable * (state + temporary) / shard["optimizer"],
    }


def _gathered(shape: Architecture, profile: Profile, weights: float, width: float) -> float:
    """Bytes that FSDP and ZeRO-3 hold whole beside the shard: embeddings and head, which wrap the blocks and stay, and
    the blocks at work; all weights where the framework gathers them for a checkpoint.
    """
    if profile.gathers_whole:
        return weights
    head = 0 if shape.tied_embeddings and not profile.copies_tied_embeddings else shape.embedding_parameters
    outer = (shape.embedding_parameters + head) * width
    return outer + (weights - outer) / shape.layers * PREFETCH


def _packed_bytes(shape: Architecture, setup: Setup, profile: Profile) -> float:
    """Bytes that only quantised weights take."""
    packed = shape.linear_parameters - (0 if profile.quantises_experts else shape.expert_parameters)
    return packed * QUANTISED_BYTES[setup.quantisation]


def _shards(setup: Setup) -> dict[str, int]:
    """Into how many parts each group is divided: ZeRO stages 1 to 3 (arXiv:1910.02054); FSDP is stage 3."""
    n = setup.devices
    return {
        "weights": n if setup.sharding in ("zero3", "fsdp") else 1,
        "gradients": n if setup.sharding in ("zero2", "zero3", "fsdp") else 1,
        "optimizer": n if setup.sharding in ("zero1", "zero2", "zero3", "fsdp") else 1,
    }


def _passing(shape: Architecture, setup: Setup, profile: Profile) -> dict[str, float]:
    """Terms of one micro-step. They do not shard: every device has a micro-batch of its own."""
    tokens = setup.tokens
    keeps_inputs = setup.method == "full" or bool(setup.quantisation)
    layer = profile.activations * layer_bytes(shape, setup, keeps_inputs=keeps_inputs)
    whole = profile.activations * layer_bytes(shape, setup, keeps_inputs=True)
    if setup.quantisation.startswith("nf4"):
        layer += profile.quantised_activations * output_bytes(shape)
        whole += profile.quantised_activations * output_bytes(shape)
    residual = 0.0 if setup.offload_activations else 2.0 * shape.hidden_size
    activations = tokens * (shape.layers * residual + whole) if setup.checkpointing else tokens * shape.layers * layer
    activations *= 2 if setup.wide else 1
    loss = setup.loss or profile.loss
    live = 1 if setup.checkpointing else shape.layers
    scores = SCORE_BYTES * shape.attention_heads * tokens * setup.length * live if setup.eager_attention else 0.0
    prefix = 2.0 * 2 * shape.layers * shape.key_size * setup.virtual_tokens * setup.micro_batch
    return {
        "activations": activations,
        "attention scores": scores,
        "logits": profile.logit_bytes[loss] * shape.vocabulary * tokens,
        "prefix": prefix if setup.method == "prefix" else 0.0,
    }


SCORE_BYTES = 10.0  # scores in 16 bits, softmax in 32, its gradient in 32


def layer_bytes(shape: Architecture, setup: Setup, *, keeps_inputs: bool) -> float:
    """Bytes that one block keeps for the backward pass, for each token.

    A modern block in 16 bits, with norms in 32: Korthikanti et al. (arXiv:2205.05198) without dropout and without the
    attention scores. A frozen linear layer keeps no input unless it has an adapter; bitsandbytes' layers always do.
    """
    h, q, k, f = shape.hidden_size, shape.query_size, shape.key_size, shape.active_intermediate
    norms = (2 if setup.compiled else 4) * h * shape.norms_per_layer
    attention = 2 * (2 * q + 2 * k)
    mlp = (4 if setup.compiled else 6) * f if shape.gated_mlp else 2 * f
    kept: float = norms + attention + 2 * h + mlp
    targets = set(setup.targets) if setup.method in LOW_RANK else set()
    if keeps_inputs or targets & {"q", "k", "v", "qkv"}:
        kept += 2 * h
    if keeps_inputs or targets & {"gate", "up"}:
        kept += 2 * h
    if keeps_inputs or "down" in targets:
        kept += 2 * f
    if setup.scales_outputs:
        kept += output_bytes(shape)
    return kept


def output_bytes(shape: Architecture) -> float:
    """Bytes of the 16-bit outputs of all linear layers of one block, for each token."""
    mlp = (shape.matrices - 1) * shape.active_intermediate
    return 2.0 * (shape.query_size + 2 * shape.key_size + mlp + 2 * shape.hidden_size)
