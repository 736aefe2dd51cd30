"""What other estimators say about the same rows: those that can be imported, and two rules that need no package.

Fairness: hf-vram-calc ignores batch and length in training by design; the rules are for full training with Adam alone.
"""

from collections.abc import Callable

from tunesmith.planner.architecture import Architecture
from tunesmith.planner.memory import GIB
from tunesmith.planner.setup import Setup

Peer = Callable[[Architecture, Setup], float | None]


def peers() -> dict[str, Peer]:
    """Estimators by name, each giving GiB, or None for what it does not cover."""
    found: dict[str, Peer] = {
        "rule: 18 bytes a parameter": lambda shape, setup: _full_only(18, shape, setup),
        "rule: 4 x 16-bit weights": lambda shape, setup: _full_only(8, shape, setup),
    }
    try:
        from hf_vram_calc import ConfigManager, VRAMCalculator
    except ImportError:
        return found
    calculator = VRAMCalculator(ConfigManager())

    def hf_vram_calc(shape: Architecture, setup: Setup) -> float | None:
        kind = {"": "bf16", "int8": "int8"}.get(setup.quantisation, "int4")
        weights = calculator.calculate_model_memory(shape.parameters, kind)
        if setup.method == "full":
            return float(calculator.calculate_training_memory(weights))
        return float(calculator.calculate_lora_memory(weights, shape.parameters, setup.rank))

    return {"hf-vram-calc": hf_vram_calc, **found}


def _full_only(width: int, shape: Architecture, setup: Setup) -> float | None:
    """``width`` bytes for each parameter: Hugging Face's "anatomy of model memory", accelerate's estimate-memory."""
    return width * shape.parameters / GIB if setup.method == "full" else None
