"""How long training takes: operations and memory traffic of a micro-step, and the seconds that follow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

from tunesmith import catalog
from tunesmith.catalog import Hardware
from tunesmith.planner.architecture import Architecture
from tunesmith.planner.memory import layer_bytes
from tunesmith.planner.training_setup import Setup, trainable_parameters

LENGTH_SPREAD = 0.5  # standard deviation of the logarithm of record lengths, where no data is there to count


@dataclass(frozen=True)
class Throughput:
    """schemas/catalog/throughput.yaml: constants fitted by ``benchmarks/time_model.py --write``.

    A micro-step takes the sum of three times: its operations at ``utilisation`` of the peak; the traffic of its
    activations, ``traffic`` times what one pass over a block keeps; and one reading of the weights for each pass, at
    ``weights`` (plain), with ``quantised`` and ``sharded`` on top where weights are unpacked or gathered.
    """

    utilisation: float
    traffic: float
    weights: float
    quantised: float
    sharded: float
    low: float  # P10 of measured / estimated tokens per second
    high: float
    frameworks: Mapping[str, float]  # factor on the tokens per second


@dataclass(frozen=True)
class TimeEstimate:
    """``seconds`` of training as (low, typical, high); ``tokens_per_second`` over all devices, padding not counted."""

    low: float
    typical: float
    high: float
    tokens_per_second: float
    utilisation: float  # share of the peak, hardware FLOPs
    padding: float  # tokens computed for each token of the data
    calibrated: float = 0.0  # measured / prior tokens per second; 0 without a calibration


@cache
def constants() -> Throughput:
    """The constants of the catalogue."""
    return constants_from(catalog.throughput())


def constants_from(row: Mapping[str, Any]) -> Throughput:
    """The constants as written."""
    return Throughput(**{name: value for name, value in row.items() if name != "date"})


def flops_per_token(shape: Architecture, setup: Setup) -> float:
    """Floating-point operations that the hardware does for one token of the longest row.

    Forward 2 for each active weight, backward 2 for its input and 2 for the weight itself where it is trained
    (arXiv:2001.08361, section 2.1); recomputing adds a forward. Causal attention: 6 x layers x width x length.
    """
    weights = shape.active_parameters
    passes = (6 if setup.method == "full" else 4) + (2 if setup.checkpointing else 0)
    adapter = 0 if setup.method == "full" else 6 * trainable_parameters(shape, setup)
    attention = 6 * shape.layers * shape.query_size * setup.length * (4 / 3 if setup.checkpointing else 1)
    return float(passes * weights + adapter + attention)


def step_seconds(
    shape: Architecture, setup: Setup, machine: Hardware, constants: Throughput, framework: str = ""
) -> float:
    """Seconds of one micro-step of one device, full of tokens."""
    passes = 4 if setup.checkpointing else 3
    compute = setup.tokens * flops_per_token(shape, setup) / (machine.tflops * 1e12 * constants.utilisation)
    kept = shape.layers * layer_bytes(shape, setup, keeps_inputs=True)
    traffic = setup.tokens * kept * constants.traffic * passes
    reading = constants.weights
    reading += constants.quantised if setup.quantisation else 0.0
    reading += constants.sharded if setup.sharding in ("zero2", "zero3", "fsdp") else 0.0
    traffic += 2.0 * shape.parameters * reading * passes
    memory = traffic / (machine.bandwidth_gb_s * 1e9)
    return (compute + memory) / constants.frameworks.get(framework, 1.0)


def tokens_per_second(
    shape: Architecture, setup: Setup, machine: Hardware, constants: Throughput, framework: str = ""
) -> float:
    """Tokens a second over all devices, padding included."""
    return setup.tokens * setup.devices / step_seconds(shape, setup, machine, constants, framework)


def padding(micro_batch: int, lengths: Sequence[int] = (), spread: float = LENGTH_SPREAD) -> float:
    """Tokens computed for each token of the data when a micro-batch is padded to its longest row.

    The expected longest of a random micro-batch is set against the mean. ``lengths``: of rows, all or evenly spaced in
    their order; without them, lengths are taken as log-normal with a standard deviation of ``spread``.
    """
    if micro_batch == 1:
        return 1.0
    if sum(lengths):
        count = len(lengths)  # the longest is the one in place i with probability (i/n)^batch - ((i-1)/n)^batch
        shares = [(place / count) ** micro_batch for place in range(count + 1)]
        longest_row = sum(size * (shares[i + 1] - shares[i]) for i, size in enumerate(sorted(lengths)))
        return max(1.0, longest_row * count / sum(lengths))
    longest = NormalDist().inv_cdf(micro_batch / (micro_batch + 1))
    return max(1.0, math.exp(spread * longest - spread**2 / 2))


def estimate(
    shape: Architecture,
    setup: Setup,
    machine: Hardware,
    tokens: float,
    *,
    framework: str = "",
    padded: float = 1.0,
    measured: float = 0.0,
) -> TimeEstimate:
    """Seconds to train on ``tokens`` tokens of data.

    ``measured``: tokens of data a second over all devices in a short run of this very setup; it replaces the prior, and
    its band is that of run to run.

    Raises:
        ImpossibleSetup: the setup cannot exist.
    """
    fitted = constants()
    prior = tokens_per_second(shape, setup.checked(), machine, fitted, framework) / padded
    rate = measured or prior
    low, high = CALIBRATED_BAND if measured else (fitted.low, fitted.high)
    return TimeEstimate(
        low=tokens / (rate * high),
        typical=tokens / rate,
        high=tokens / (rate * low),
        tokens_per_second=rate,
        utilisation=rate * padded * flops_per_token(shape, setup) / (machine.tflops * 1e12 * setup.devices),
        padding=padded,
        calibrated=measured / prior if measured else 0.0,
    )


CALIBRATED_BAND = (0.9, 1.1)  # a short run leaves out warm-up, evaluation and checkpoints
