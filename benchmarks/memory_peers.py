"""What other estimators say about the same rows: those that can be imported, and two rules that need no package.

Fairness: hf-vram-calc ignores batch and length in training by design; llm-analysis, llm-flops, alloc and the rules are
for full training with Adam alone. llm-analysis pins transformers below 5, which hf-vram-calc does not start with: two
environments. `accelerate estimate-memory` reads the hub, so its rule of four times the weights stands for it;
gpu_poor is a web page, and `llmem` on PyPI is another package (a cache).
"""

import logging
from collections.abc import Callable
from typing import Any

from tunesmith.planner.architecture import Architecture
from tunesmith.planner.memory import GIB
from tunesmith.planner.training_setup import Setup

Peer = Callable[[Architecture, Setup], float | None]
INSTALLABLE = ("hf-vram-calc", "llm-analysis", "llm-flops", "alloc")


def peers() -> dict[str, Peer]:
    """Estimators by name, each giving GiB, or None for what it does not cover."""
    found: dict[str, Peer] = {}
    for name, make in (
        ("hf-vram-calc", _hf_vram_calc),
        ("llm-analysis", lambda: _of_full(_llm_analysis())),
        ("llm-flops", lambda: _of_full(_llm_flops())),
        ("alloc", lambda: _of_full(_alloc())),
    ):
        try:
            found[name] = make()
        except ImportError:
            continue
    # Hugging Face's "anatomy of model memory", and accelerate's estimate-memory.
    return {
        **found,
        "rule: 18 bytes a parameter": _of_full(lambda shape, setup: 18 * shape.parameters / GIB),
        "rule: 4 x 16-bit weights": _of_full(lambda shape, setup: 8 * shape.parameters / GIB),
    }


def _of_full(peer: Peer) -> Peer:
    """The estimator for full training, the only kind that it covers."""
    return lambda shape, setup: peer(shape, setup) if setup.method == "full" else None


def _hf_vram_calc() -> Peer:
    from hf_vram_calc import ConfigManager, VRAMCalculator

    calculator = VRAMCalculator(ConfigManager())

    def estimate(shape: Architecture, setup: Setup) -> float | None:
        kind = {"": "bf16", "int8": "int8"}.get(setup.quantisation, "int4")
        weights = calculator.calculate_model_memory(shape.parameters, kind)
        if setup.method == "full":
            return float(calculator.calculate_training_memory(weights))
        return float(calculator.calculate_lora_memory(weights, shape.parameters, setup.rank))

    return estimate


def _llm_analysis() -> Peer:
    from llm_analysis import analysis
    from llm_analysis.config import GPUConfig, ModelConfig

    logging.disable(logging.WARNING)  # it warns of every row

    def estimate(shape: Architecture, setup: Setup) -> float | None:
        # The ratio beside the width: without it the constructor insists on a whole one, which no gated model has.
        model = ModelConfig(
            name="row",
            num_layers=shape.layers,
            n_head=shape.attention_heads,
            hidden_dim=shape.hidden_size,
            vocab_size=shape.vocabulary,
            max_seq_len=setup.length,
            num_key_value_heads=shape.key_value_heads,
            ffn_embed_dim=shape.intermediate_size,
            expansion_ratio=shape.intermediate_size / shape.hidden_size,
        )
        card = GPUConfig("one that holds everything", 100_000, 2000, 300, 0, 312)
        summary: dict[str, Any] = analysis.LLMAnalysis(model, card).training(
            batch_size_per_gpu=setup.micro_batch,
            gradient_accumulation_steps=1,
            seq_len=setup.length,
            activation_recomputation=analysis.ActivationRecomputation(2 if setup.checkpointing else 0),
            mlp_gated_linear_units=shape.gated_mlp,
        )
        return float(summary["(weight+op_state+grad+act)_memory_per_gpu"]) / GIB

    return estimate


def _llm_flops() -> Peer:
    from llmflops.config import ModelConfig
    from llmflops.memory import training_activation_bytes, training_memory_bytes

    def estimate(shape: Architecture, setup: Setup) -> float | None:
        model = ModelConfig(
            name="row",
            hidden_size=shape.hidden_size,
            num_layers=shape.layers,
            num_attention_heads=shape.attention_heads,
            vocab_size=shape.vocabulary,
            intermediate_size=shape.intermediate_size,
            num_key_value_heads=shape.key_value_heads,
            head_dim=shape.head_size,
            mlp_type="gated" if shape.gated_mlp else "standard",
            tie_word_embeddings=shape.tied_embeddings,
        )
        kept = training_activation_bytes(
            model, setup.micro_batch, setup.length, "bf16", gradient_checkpointing=setup.checkpointing
        )
        return float(training_memory_bytes(model, "bf16", activation_bytes=kept)["total"]) / GIB

    return estimate


def _alloc() -> Peer:
    from alloc.ghost import ghost

    def estimate(shape: Architecture, setup: Setup) -> float | None:
        found = ghost(
            param_count=shape.parameters,
            dtype="bf16",
            batch_size=setup.micro_batch,
            seq_length=setup.length,
            hidden_dim=shape.hidden_size,
            optimizer_type="AdamW8bit" if "8bit" in setup.optimizer else "AdamW",
        )
        return None if found.estimation_failed else float(found.total_gb)

    return estimate
