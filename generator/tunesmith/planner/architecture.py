"""The shape of a decoder: its parameters by part, read from a catalogue row or a Hugging Face config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import TunesmithError

# Families whose MLP is plain (two matrices), by the `model_type` of their config.json; all others are gated (three).
PLAIN_MLP = {"phi", "gpt_neox", "gpt2", "falcon", "bloom", "opt", "mpt", "gptj", "starcoder2", "gpt_bigcode"}
# Families that tie the two embeddings when config.json does not say.
TIED = {"gemma", "gemma2", "gemma3", "gemma3_text", "gpt2", "falcon", "bloom", "opt", "mpt", "cohere", "cohere2"}
FOUR_NORMS = {"gemma2", "gemma3", "gemma3_text"}
QUERY_KEY_NORM = {"qwen3", "qwen3_moe", "gemma3", "gemma3_text"}
QKV_BIAS = {"qwen2", "qwen2_moe", "qwen"}


class UnsupportedConfig(TunesmithError):
    """A config.json that does not describe a decoder which the arithmetic knows."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(where, reason)

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}\nname a model of the catalogue (`tunesmith catalog models`), or its config"


@dataclass(frozen=True)
class Architecture:
    """Shape of a decoder-only transformer. Sizes are element counts; ``experts`` is 0 for a dense model.

    In a mixture of experts the first ``dense_layers`` layers have one MLP of ``intermediate_size``; every other layer
    has ``experts`` of ``expert_intermediate_size``, of which a token passes ``experts_per_token``, and shared experts
    whose widths add up to ``shared_intermediate_size``.
    """

    layers: int
    hidden_size: int
    attention_heads: int
    key_value_heads: int
    head_size: int
    intermediate_size: int
    vocabulary: int
    tied_embeddings: bool = False
    attention_bias: bool = False
    query_key_norm: bool = False
    gated_mlp: bool = True
    norms_per_layer: int = 2
    experts: int = 0
    experts_per_token: int = 0
    expert_intermediate_size: int = 0
    shared_intermediate_size: int = 0
    dense_layers: int = 0

    @property
    def query_size(self) -> int:
        return self.attention_heads * self.head_size

    @property
    def key_size(self) -> int:
        """Width of the keys, which is that of the values."""
        return self.key_value_heads * self.head_size

    @property
    def matrices(self) -> int:
        """Matrices of an MLP."""
        return 3 if self.gated_mlp else 2

    @property
    def attention_parameters(self) -> int:
        """Weights of the four attention projections of one layer."""
        return 2 * self.hidden_size * (self.query_size + self.key_size)

    @property
    def expert_parameters(self) -> int:
        """Weights of all routed experts of the model."""
        sparse = self.layers - self.dense_layers if self.experts else 0
        return sparse * self.experts * self.matrices * self.hidden_size * self.expert_intermediate_size

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear layers but the output head; routed experts and routers included."""
        mlp = self.matrices * self.hidden_size * self.intermediate_size
        if not self.experts:
            return self.layers * (self.attention_parameters + mlp)
        sparse = self.layers - self.dense_layers
        shared = self.matrices * self.hidden_size * self.shared_intermediate_size
        router = self.hidden_size * self.experts
        dense = self.layers * self.attention_parameters + self.dense_layers * mlp + sparse * (shared + router)
        return dense + self.expert_parameters

    @property
    def embedding_parameters(self) -> int:
        """The table of input embeddings; the output head is as large."""
        return self.vocabulary * self.hidden_size

    @property
    def small_parameters(self) -> int:
        """Norms and biases."""
        layer = self.norms_per_layer * self.hidden_size
        layer += (self.query_size + 2 * self.key_size) * self.attention_bias
        layer += 2 * self.head_size * self.query_key_norm
        return self.layers * layer + self.hidden_size

    @property
    def parameters(self) -> int:
        """All parameters; tied embeddings count once."""
        heads = 1 if self.tied_embeddings else 2
        return self.linear_parameters + heads * self.embedding_parameters + self.small_parameters

    @property
    def active_parameters(self) -> int:
        """Linear weights that one token passes, the output head included: what its FLOPs are counted from."""
        if not self.experts:
            return self.linear_parameters + self.embedding_parameters
        idle = 1 - self.experts_per_token / self.experts
        return round(self.linear_parameters - idle * self.expert_parameters) + self.embedding_parameters

    @property
    def active_intermediate(self) -> int:
        """Width of the MLPs that one token passes in a typical layer."""
        if not self.experts:
            return self.intermediate_size
        return self.experts_per_token * self.expert_intermediate_size + self.shared_intermediate_size

    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear layer of a block by its short name, ``head`` for the output head."""
        h, f = self.hidden_size, self.intermediate_size
        if self.experts:
            f = self.shared_intermediate_size
        shapes = {
            "q": (h, self.query_size),
            "k": (h, self.key_size),
            "v": (h, self.key_size),
            "o": (self.query_size, h),
        }
        if f:
            shapes |= {"up": (h, f), "down": (f, h)} | ({"gate": (h, f)} if self.gated_mlp else {})
        shapes["qkv"] = (h, self.query_size + 2 * self.key_size)
        shapes["head"] = (h, self.vocabulary)
        return shapes


def from_config(config: Mapping[str, Any], where: str = "config.json") -> Architecture:
    """Read the ``config.json`` of a model on the hub.

    Raises:
        UnsupportedConfig: a figure is missing, or attention is of a kind that is not modelled.
    """
    text = config.get("text_config") or config
    kind = str(text.get("model_type") or config.get("model_type") or "")
    if text.get("kv_lora_rank"):
        raise UnsupportedConfig(where, f"multi-head latent attention ({kind or 'kv_lora_rank'}) is not modelled")
    if text.get("is_encoder_decoder") or config.get("is_encoder_decoder"):
        raise UnsupportedConfig(where, f"{kind} is an encoder-decoder; only decoders are modelled")
    hidden = _figure(text, where, "hidden_size", "n_embd", "d_model")
    heads = _figure(text, where, "num_attention_heads", "n_head", "n_heads")
    keys = _optional(text, "num_key_value_heads", "num_kv_heads") or (1 if text.get("multi_query") else heads)
    inner = _inner_size(text, kind, hidden)
    experts = _experts(text, inner)
    if not inner and not experts:
        raise UnsupportedConfig(where, "intermediate_size is missing")
    return Architecture(
        layers=_figure(text, where, "num_hidden_layers", "n_layer", "n_layers"),
        hidden_size=hidden,
        attention_heads=heads,
        key_value_heads=keys,
        head_size=_optional(text, "head_dim", "kv_channels") or hidden // heads,
        intermediate_size=inner,
        vocabulary=_figure(text, where, "vocab_size", "padded_vocab_size"),
        tied_embeddings=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", kind in TIED))),
        attention_bias=bool(text.get("attention_bias", kind in QKV_BIAS)),
        query_key_norm=kind in QUERY_KEY_NORM,
        gated_mlp=kind not in PLAIN_MLP,
        norms_per_layer=4 if kind in FOUR_NORMS else 2,
        **experts,
    )


def _inner_size(config: Mapping[str, Any], kind: str, hidden: int) -> int:
    size = _optional(config, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
    if kind == "qwen":  # the first Qwen counts both halves of its gated MLP
        return size // 2
    return size or (4 * hidden if kind in PLAIN_MLP else 0)


def _experts(config: Mapping[str, Any], inner: int) -> dict[str, int]:
    """The fields of a mixture of experts; empty for a dense model."""
    count = _optional(config, "num_local_experts", "num_experts", "n_routed_experts")
    if not count:
        return {}
    size = _optional(config, "moe_intermediate_size") or inner
    shared = _optional(config, "shared_expert_intermediate_size") or _optional(config, "n_shared_experts") * size
    return {
        "experts": count,
        "experts_per_token": _optional(config, "num_experts_per_tok", "num_experts_per_token"),
        "expert_intermediate_size": size,
        "shared_intermediate_size": shared,
        "dense_layers": _optional(config, "first_k_dense_replace"),
    }


def _optional(config: Mapping[str, Any], *names: str) -> int:
    """The first of these that is a positive whole number, else 0."""
    values = (config.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool) and value > 0), 0)


def _figure(config: Mapping[str, Any], where: str, *names: str) -> int:
    value = _optional(config, *names)
    if value <= 0:
        raise UnsupportedConfig(where, f"{names[0]} is missing or is not a positive whole number")
    return value
