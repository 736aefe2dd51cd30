"""How fast a device answers, from its published figures, where nothing was measured yet.

Reading a prompt takes 2 operations a parameter and token; writing a token reads every weight once (roofline: Pope et
al. 2022, arXiv:2211.05102). The shares of the peak that engines reach are those of published runs; a batch shares
one reading of the weights, until the arithmetic is the limit.
"""

from dataclasses import dataclass

from tunesmith.catalog import Hardware
from tunesmith.costing.cost_arithmetic import Band

BYTES_PER_PARAMETER = 2  # 16-bit weights
SOURCE = "roofline of the device; shares of the peak from published runs (litgpt, Qwen, vLLM)"
PREFILL_SHARE = Band(0.25, 0.4, 0.6)  # of the peak operations
DECODE_SHARE = Band(0.1, 0.45, 0.65)  # of the memory bandwidth; eager engines are at the low end
BATCH = Band(4, 16, 48)  # requests that share a forward pass in service


@dataclass(frozen=True)
class Speed:
    """Of one model on one device: seconds per token of a prompt, for a token of an answer alone and in a batch."""

    prompt_token: Band
    answer_token: Band
    answer_token_batched: Band


def of(parameters: float, machine: Hardware) -> Speed:
    """Speed of a model whose tokens pass so many (active) parameters; low is fast."""
    peak, bandwidth = machine.tflops * 1e12, machine.bandwidth_gb_s * 1e9
    prompt = [2 * parameters / (peak * share) for share in reversed(PREFILL_SHARE)]
    alone = [BYTES_PER_PARAMETER * parameters / (bandwidth * share) for share in reversed(DECODE_SHARE)]
    shared = [max(seconds / batch, floor) for seconds, batch, floor in zip(alone, reversed(BATCH), prompt, strict=True)]
    return Speed(Band(*prompt), Band(*alone), Band(*shared))
