"""What the stages that answer write: rows of answers, and what answering took."""

from engine.core.artifacts import BASELINE_ANSWERS, TUNED_ANSWERS
from engine.core.display import family
from engine.core.io import Result, read_rows


class Answered(Result, frozen=True, kw_only=True):
    """An item with its answer; ``group`` and ``label`` may be null."""

    id: str
    label: str | None
    group: str | None
    expected: str
    answer: str


class Row(Answered, frozen=True, kw_only=True, omit_defaults=True):
    """A line of ``results/*/ARM.jsonl``: the same on every run."""

    prompt_sha256: str
    template_sha256: str | None  # None: an endpoint's own is not known
    prompt_tokens: int | None  # None: a server that does not count them
    completion_tokens: int | None
    finish: str
    decoding: str
    shots: int
    passages: list[str]
    reference_nll: float | None = None  # only with evaluate.perplexity, of a model of this machine
    reference_tokens: int | None = None


def read_arm(arm: str) -> list[Row]:
    """The rows of an arm. Raises `ProjectError` if they are missing or broken."""
    folder = TUNED_ANSWERS if family(arm) == "tuned" else BASELINE_ANSWERS
    return read_rows(folder / f"{arm}.jsonl", Row, folder.name)


class Latency(Result, frozen=True, kw_only=True):
    """Seconds of single requests."""

    p50: float
    p95: float
    n: int


class Work(Result, frozen=True, kw_only=True):
    """What some answers took. Tokens are None if a server does not count them."""

    items: int
    seconds: float
    prompt_tokens: int | None
    completion_tokens: int | None


class Measurement(Work, frozen=True, kw_only=True):
    """An arm in ``reports/measured/``: seconds are never the same."""

    requests_per_second: float
    latency_seconds: Latency


class Shots(Result, frozen=True, kw_only=True):
    """``results/shots.json``: the examples of each arm that shows any, and what the numbers that were tried scored."""

    shots: dict[str, int]
    tried_on_dev: dict[str, dict[str, float]]


class RetrievalReport(Result, frozen=True, kw_only=True):
    """``reports/retrieval.json``: what the stage `index` found; ``rankings`` is {ranking: {measure: its value}}."""

    documents: int
    passages: int
    embedder_sha256: str
    ranking: str
    depth: int
    items: int
    answerable: int  # the answer is stated in some passage; no ranking can find the others
    test_pairs_in_documents: list[str]
    rankings: dict[str, dict[str, float]]


class BaselineRecord(Result, frozen=True, kw_only=True):
    """``results/baseline.json``: the model and the benchmark that were measured."""

    base_sha256: str
    benchmark_sha256: str
