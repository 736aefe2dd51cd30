"""Memory of serving a model: weights, the keys and values of every open request, and what the process holds beside."""

from collections.abc import Mapping
from dataclasses import dataclass

from tunesmith.planner.architecture import Architecture
from tunesmith.planner.memory import GIB, weight_bytes
from tunesmith.planner.setup import Profile

ONE_COPY, TWO_COPIES = 1.0, 2.0  # transformers' cache grows by concatenation, which for a moment holds it twice


@dataclass(frozen=True)
class InferenceMemory:
    """``terms`` in GiB; ``per_request``: the cache of one open request; ``high``: with the cache held twice."""

    terms: Mapping[str, float]
    per_request: float
    typical: float
    high: float


def cache_bytes(shape: Architecture, tokens: int, width: float = 2) -> float:
    """Bytes of keys and values of ``tokens`` tokens: 2 x layers x key width x bytes of a number, for each token."""
    return 2 * shape.layers * shape.key_size * width * tokens


def inference_memory(
    shape: Architecture, profile: Profile, *, tokens: int, requests: int = 1, quantisation: str = "", cpu: bool = False
) -> InferenceMemory:
    """Memory to answer ``requests`` at a time, each of at most ``tokens`` tokens, prompt and answer together."""
    weights = weight_bytes(shape, profile, quantisation) / GIB
    each = cache_bytes(shape, tokens) / GIB
    context = 1.2 if cpu else profile.context_gib + 0.4
    terms = {"weights": weights, "cache": each * requests * ONE_COPY, "context": context}
    high = weights + each * requests * TWO_COPIES + context
    return InferenceMemory(terms, each, sum(terms.values()), high)
