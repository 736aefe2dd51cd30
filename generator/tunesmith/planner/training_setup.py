"""What is run: one training setup, and the framework profile that says how its framework spends memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tunesmith import catalog
from tunesmith.errors import TunesmithError
from tunesmith.planner.architecture import Architecture

METHODS = ("full", "lora", "qlora", "dora", "rslora", "prefix", "prompt")
LOW_RANK = ("lora", "qlora", "dora", "rslora")
SHARDINGS = ("none", "ddp", "zero1", "zero2", "zero3", "fsdp")
LOSSES = ("full", "half", "chunked", "fused")
OPTIMIZERS = ("adamw", "adamw_8bit", "paged_adamw_8bit", "sgd")
ALL_LINEAR = ("q", "k", "v", "o", "gate", "up", "down")
# Bytes of one weight of a quantised linear layer. NF4 holds 4 bits and a 32-bit scale for 64 weights; double
# quantisation holds the scales in 8 bits, in groups of 256 (QLoRA, arXiv:2305.14314, section 3). GPTQ: groups of 128.
QUANTISED_BYTES = {
    "nf4": 0.5 + 4 / 64,
    "nf4-dq": 0.5 + 1 / 64 + 4 / (64 * 256),
    "gptq4": 0.5 + 2.5 / 128,
    "int8": 1.0 + 4 / 128,
}


class ImpossibleSetup(TunesmithError):
    """A setup that cannot exist; ``field`` is the figure at fault."""

    def __init__(self, field_name: str, reason: str) -> None:
        self.field, self.reason = field_name, reason
        super().__init__(field_name, reason)

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}\nchange it and plan again"


@dataclass(frozen=True)
class Setup:
    """One training run on ``devices`` equal devices. ``length``: tokens of the longest row, prompt and answer."""

    method: str = "lora"
    micro_batch: int = 1
    length: int = 1024
    rank: int = 16
    targets: tuple[str, ...] = ALL_LINEAR
    quantisation: str = ""  # a key of QUANTISED_BYTES; "" keeps 16-bit weights
    checkpointing: bool = False
    optimizer: str = "adamw"
    optimizer_in_backward: bool = False
    loss: str = ""  # of LOSSES; "" is the framework's own
    eager_attention: bool = False  # attention that writes its length x length scores to memory
    compiled: bool = False  # torch.compile fuses norms and activation functions, and keeps less of them
    accumulates: bool = True  # several micro-steps a step: gradients live beside the activations
    scales_outputs: bool = False  # the method multiplies the outputs of linear layers (DoRA, IA3, LLaMA-Adapter v2)
    offload_activations: bool = False
    train_embeddings: bool = False
    virtual_tokens: int = 0  # prefix or prompt tuning
    trainable: int = 0  # parameters, where they are known; 0 counts them
    devices: int = 1
    sharding: str = "none"
    cpu: bool = False
    wide: bool = False  # computes in 32 bits: frozen weights and activations take twice the room

    def checked(self) -> "Setup":
        """Itself.

        Raises:
            ImpossibleSetup: a figure is out of range, or two contradict one another.
        """
        for name in ("micro_batch", "length", "devices"):
            if getattr(self, name) < 1:
                raise ImpossibleSetup(name, f"{getattr(self, name)} is not a positive whole number")
        for name, allowed in (("method", METHODS), ("sharding", SHARDINGS), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in allowed:
                raise ImpossibleSetup(name, f"{getattr(self, name)!r} is not one of {', '.join(allowed)}")
        if self.loss not in ("", *LOSSES):
            raise ImpossibleSetup("loss", f"{self.loss!r} is not one of {', '.join(LOSSES)}")
        if self.method in LOW_RANK and self.rank < 1:
            raise ImpossibleSetup("rank", f"{self.rank} is not a rank")
        if self.method in ("prefix", "prompt") and self.virtual_tokens < 1 and not self.trainable:
            raise ImpossibleSetup("virtual_tokens", f"{self.method} tuning needs at least one")
        if self.method == "prefix" and self.checkpointing:
            raise ImpossibleSetup("checkpointing", "recomputing activations loses the prefix")
        if self.method == "full" and self.quantisation:
            raise ImpossibleSetup("quantisation", "full fine-tuning changes the weights, so they cannot be quantised")
        if self.sharding in ("zero1", "zero2", "zero3", "fsdp", "ddp") and self.devices < 2:
            raise ImpossibleSetup("sharding", f"{self.sharding} needs two devices or more")
        return self

    @property
    def tokens(self) -> int:
        """Tokens of a micro-step on one device."""
        return self.micro_batch * self.length


@dataclass(frozen=True)
class Profile:
    """A row of schemas/catalog/frameworks.yaml: what a framework keeps, in bytes, and the constants fitted for it.

    The fitted constants: ``overhead_gib`` beside everything that is counted; ``activations``, the ratio of kept
    activations to the arithmetic; ``quantised_activations``, what bitsandbytes' layers keep on top, as a ratio to the
    16-bit outputs of all linear layers; ``fragmentation``, the share of activations and logits that the allocator holds
    idle.
    """

    key: str
    title: str
    source: str
    fitted_rows: int
    overhead_gib: float
    activations: float
    quantised_activations: float
    fragmentation: float
    low: float  # P10 of measured / estimated
    high: float  # P90
    family: str = ""  # profiles of one family share their constants
    full_weight_bytes: float = 2
    full_gradient_bytes: float = 2
    full_state_bytes: float = 4
    full_temporary_bytes: float = 0
    adapter_weight_bytes: float = 2
    adapter_gradient_bytes: float = 2
    adapter_state_bytes: float = 4
    adapter_temporary_bytes: float = 0
    logit_bytes: Mapping[str, float] = field(default_factory=dict)  # by loss, for one entry of the logits
    loss: str = "full"
    upcasts_unquantised: bool = False
    copies_tied_embeddings: bool = False
    quantises_head: bool = False
    quantises_experts: bool = True
    gathers_whole: bool = False  # a checkpoint gathers every weight of a sharded model on the first device
    context_gib: float = 0.6  # CUDA context and kernels, which torch does not count


def trainable_parameters(shape: Architecture, setup: Setup) -> int:
    """Parameters that are trained.

    LoRA: rank x (inputs + outputs) for each target (arXiv:2106.09685); DoRA adds a magnitude for each output
    (arXiv:2402.09353). Prefix: keys and values of every layer for each virtual token (arXiv:2101.00190); prompt: one
    embedding for each (arXiv:2104.08691).
    """
    if setup.trainable:
        return setup.trainable
    if setup.method == "full":
        return shape.parameters
    if setup.method == "prefix":
        return 2 * shape.layers * shape.key_size * setup.virtual_tokens
    if setup.method == "prompt":
        return shape.hidden_size * setup.virtual_tokens
    shapes = shape.linear_shapes()
    count = 0
    for name in setup.targets:
        if name not in shapes:
            continue
        inputs, outputs = shapes[name]
        size = setup.rank * (inputs + outputs) + (outputs if setup.method == "dora" else 0)
        count += size * (1 if name == "head" else shape.layers)
    return count + (2 * shape.embedding_parameters if setup.train_embeddings else 0)


@cache
def profiles() -> dict[str, Profile]:
    """The framework profiles of the catalogue by key."""
    return {key: _profile(key, row) for key, row in catalog.frameworks().items()}


def _profile(key: str, row: Mapping[str, Any]) -> Profile:
    fitted = dict(row["fitted"])
    keeps = {name: value for name, value in row.items() if name != "fitted"}
    return Profile(key=key, fitted_rows=fitted.pop("rows"), **{"family": key, **keeps}, **fitted)
