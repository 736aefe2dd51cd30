"""Group `evaluate`."""

from typing import Annotated, Literal

from pydantic import Field

from engine.core.params import Fraction, Group, Params, Part, PositiveInt
from engine.settings.inference import EndpointSettings, GgufSettings


class EvaluateSettings(Group):
    primary_metric: str  # of engine/evaluation/item_metrics.py, or of the project's own evals/metrics.py
    minimum_effect: Fraction  # the smallest gain in the primary metric that is worth shipping
    alpha: Fraction
    prompt: str  # prompts/<prompt>.txt is the system prompt of every arm without training
    shots: Annotated[list[PositiveInt], Field(min_length=1)]  # examples to try in the prompt; the dev items choose
    shot_selection: Literal["spread", "nearest", "random", "fixed"]
    max_new_tokens: PositiveInt
    batch_size: PositiveInt
    bootstrap_samples: PositiveInt
    endpoint: EndpointSettings | None
    gguf: GgufSettings | None = None
    perplexity: bool = False  # true: every model of this machine also scores the references
    similarity: bool = False  # true: also the similarity of answers to references, by the embedding model


class Benchmark(Part):
    """What evaluation reads of the group `curate`."""

    label_key: str | None
    dev_items: PositiveInt


class EvaluateParams(Params):
    """What answering and scoring the benchmark need to know."""

    curate: Benchmark
    evaluate: EvaluateSettings
