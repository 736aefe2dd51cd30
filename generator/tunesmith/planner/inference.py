"""Memory of answering: weights, keys and values of every open request, the prefill, and what the process holds."""

from collections.abc import Mapping
from dataclasses import dataclass

from tunesmith.planner.architecture import Architecture
from tunesmith.planner.memory import GIB, USABLE, output_bytes, weight_bytes
from tunesmith.planner.training_setup import Profile

# transformers' cache grows by concatenation, layer by layer: the halves that are let go of stay with CUDA's allocator,
# while a processor gives them back, so that one layer is held twice.
CUDA_COPIES = 2.0
NORM_BYTES = 8  # of the residual and its 32-bit norm, for each width and token
SCORE_BYTES = 6.0  # of eager attention without a backward pass: scores in 16 bits, softmax in 32
CPU_PROCESS_GIB, GPU_PROCESS_GIB = 1.2, 0.4


@dataclass(frozen=True)
class InferenceMemory:
    """``terms`` in GiB; ``per_request``: the cache of one open request; ``high``: with what the cache leaves behind."""

    terms: Mapping[str, float]
    per_request: float
    typical: float
    high: float
    requests: int = 1

    def fits(self, memory_gib: float) -> bool:
        """Whether the most that is held fits into the usable part of a device's memory."""
        return self.high <= memory_gib * USABLE


def cache_bytes(shape: Architecture, tokens: int, width: float = 2) -> float:
    """Bytes of keys and values of ``tokens`` tokens: 2 x layers x key width x bytes of a number, for each token."""
    return 2 * shape.layers * shape.key_size * width * tokens


def inference_memory(
    shape: Architecture,
    profile: Profile,
    *,
    tokens: int,
    own_tokens: int = 0,
    requests: int = 1,
    quantisation: str = "",
    cpu: bool = False,
    wide: bool = False,
    eager: bool = False,
    devices: int = 1,
) -> InferenceMemory:
    """Memory to answer ``requests`` at a time, each of at most ``tokens`` tokens, prompt and answer together.

    The prefill passes the ``own_tokens`` of every prompt through a block at once (0: all of them); a prefix that they
    share is computed once, and yet held for each. ``wide``: computes in 32 bits. ``devices`` share the weights.
    """
    width = 4 if wide else 2
    weights = weight_bytes(shape, profile, quantisation, width) / GIB / devices
    each = cache_bytes(shape, tokens, width) / GIB
    passed = requests * (own_tokens or tokens)
    prefill = (output_bytes(shape) * width / 2 + NORM_BYTES * shape.hidden_size) * max(passed, tokens) / GIB
    scores = SCORE_BYTES * shape.attention_heads * passed * tokens / GIB if eager else 0.0
    context = CPU_PROCESS_GIB if cpu else profile.context_gib + GPU_PROCESS_GIB
    held = {"weights": weights, "prefill": prefill, "attention scores": scores, "context": context}
    cache = each * requests
    terms = {name: value for name, value in {**held, "cache": cache}.items() if value}
    copies = 1 + 1 / shape.layers if cpu else CUDA_COPIES
    return InferenceMemory(terms, each, sum(terms.values()), sum(held.values()) + cache * copies, requests)
