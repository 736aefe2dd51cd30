"""Group `curate`."""

from typing import Annotated, Literal

from pydantic import Field

from engine.core.params import Fraction, Group, NonNegativeInt, Params, PositiveFloat, PositiveInt

Policy = Literal["error", "drop", "repair", "keep"]
Finding = Literal["report", "drop"]
Private = Literal["report", "redact", "hash", "drop"]


class AnomalySettings(Group):
    """What to do with a record that is odd but could be repaired."""

    same_role: Policy  # two turns of one speaker in a row
    system_not_first: Policy
    leading_assistant: Policy
    trailing_user: Policy
    not_text: Policy  # a number or a truth value instead of text
    broken_text: Policy  # decoded with the wrong encoding
    control_characters: Policy  # and invisible ones
    special_tokens: Policy  # a chat template's control tokens


class QualitySettings(Group):
    refusal: Finding
    echo: Finding
    cut_answer: Finding
    repetition: Finding
    boilerplate: Finding = "report"


class PrivateSettings(Group):
    email: Private
    phone: Private
    ip: Private
    card: Private
    iban: Private
    us_ssn: Private
    secret: Private
    identifier: Private = "report"


class CurateSettings(Group):
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
    max_label_ratio: Annotated[float, Field(ge=1)] | None = None  # of a label's training records to the smallest one's


class CurateParams(Params):
    """What curating the data needs to know."""

    curate: CurateSettings
