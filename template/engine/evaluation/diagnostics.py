"""Properties of an arm's answers other than right or wrong. They decide nothing; the primary metric decides.

``refusals``, ``misshapen`` and ``schema_failures`` are shares of the answers, ``length`` is in words, ``length_ratio``
is all answers' words over all references', ``similarity`` a cosine and ``reference_perplexity`` how far the reference
surprises the model.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from engine.core.answers import without_extra
from engine.core.artifacts import RETRIEVED
from engine.core.interval import Interval
from engine.core.io import read_jsonl
from engine.core.text import refuses
from engine.evaluation.item_metrics import MISSING, parse_json
from engine.evaluation.json_schema_metric import read_schema, schema_failures
from engine.evaluation.metrics import expects_json
from engine.evaluation.statistics import bootstrap_mean, bootstrap_ratio, proportion_interval
from engine.inference.prompting import citations
from engine.inference.results import Answered, Row
from engine.settings.evaluate import EvaluateParams

Similarity: TypeAlias = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
Path: TypeAlias = tuple[str, ...]


def secondary(
    items: Sequence[Row],
    settings: EvaluateParams,
    similarity: Similarity | None = None,
    retrieved: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    schema: Any | None = None,
) -> dict[str, Interval]:
    """The measures of one arm; items of a group count as one draw."""
    groups = [item.group for item in items]
    expected, answers = [item.expected for item in items], [item.answer for item in items]
    samples, seed, alpha = settings.evaluate.bootstrap_samples, settings.seed, settings.evaluate.alpha
    mean = partial(bootstrap_mean, samples=samples, seed=seed, alpha=alpha, groups=groups)
    ratio = partial(bootstrap_ratio, samples=samples, seed=seed, alpha=alpha, groups=groups)
    declined = [float(refuses(item.answer) and not refuses(item.expected)) for item in items]
    found = {"refusals": proportion_interval(declined, alpha, groups)}
    if expects_json(items):
        found["misshapen"] = proportion_interval(misshapen(items), alpha, groups)
    if schema is not None:
        found["schema_failures"] = proportion_interval(schema_failures(items, schema), alpha, groups)
    words, wanted = ([float(len(text.split())) for text in texts] for texts in (answers, expected))
    found["length"] = mean(words)
    if all(wanted):
        found["length_ratio"] = ratio(words, wanted)
    if similarity:
        found["similarity"] = mean(similarity(expected, answers))
    told = [(item.reference_nll, float(item.reference_tokens or 0)) for item in items if item.reference_nll is not None]
    if items and len(told) == len(items):
        nll = ratio(*zip(*told, strict=True))
        found["reference_perplexity"] = Interval(math.exp(nll.mean), math.exp(nll.low), math.exp(nll.high))
    if any(item.passages for item in items) and (cited := citing(items, retrieved)):
        owners = [group for item, group in zip(items, groups, strict=True) if item.id in cited]
        named, right, hit = zip(*cited.values(), strict=True)
        found["citation_recall"] = proportion_interval(hit, alpha, owners)
        if sum(named):
            found["citation_precision"] = ratio(right, named, groups=owners)
    return {name: interval.rounded() for name, interval in found.items()}


def citing(items: Sequence[Row], retrieved: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float, float]]:
    """Of each item whose own document is known: passages that the answer cites (they state it word for word), those of
    them that are of that document, and whether there is any.
    """
    found = {}
    for item in items:
        row = retrieved.get(item.id, {})
        if row.get("own") is None:
            continue
        cited = [one["id"] for one in citations(item.answer, row["passages"]) if one["says_it"]]
        right = sum(place in row["own"] for place in cited)
        found[item.id] = float(len(cited)), float(right), float(right > 0)
    return found


def misshapen(items: Sequence[Answered]) -> list[float]:
    """1 for each answer that no reference could look like: not JSON, a field or a type that none has, one that all have
    missing. Values do not count.
    """
    known: set[tuple[Path, str]] = set()
    required: dict[Path, frozenset[str]] = {}
    for item in items:
        for path, kind, keys in outline(parse_json(item.expected)):
            known.add((path, kind))
            required[path] = required.get(path, keys) & keys

    def fits(answer: Any) -> bool:
        return all((path, kind) in known and required[path] <= keys for path, kind, keys in outline(answer))

    return [float(answer is MISSING or not fits(answer)) for answer in (parse_json(item.answer) for item in items)]


def outline(value: Any, path: Path = ()) -> Iterator[tuple[Path, str, frozenset[str]]]:
    """Every value of a JSON text: the keys that lead to it (a list's items share one), its type, and its own keys."""
    kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
    yield path, kind, frozenset(value) if isinstance(value, dict) else frozenset()
    children = value.items() if isinstance(value, dict) else (("[]", v) for v in value) if kind == "list" else ()
    for key, child in children:
        yield from outline(child, (*path, key))


def secondary_of(arms: Mapping[str, Sequence[Row]], settings: EvaluateParams) -> dict[str, dict[str, Interval]]:
    """The secondary measures of every arm: similarity where ``evaluate.similarity`` asks for it, schema failures where
    the project has a schema.
    """
    similarity = None
    if settings.evaluate.similarity:
        try:
            from engine.inference.embedder import Embedder  # type: ignore[import-not-found,unused-ignore]
        except ModuleNotFoundError:
            raise without_extra("embeddings", "params.yaml: evaluate.similarity") from None
        similarity = Embedder(settings.embedder).similarity
    rows = read_jsonl(RETRIEVED / "test.jsonl") if settings.retrieves else []
    retrieved, schema = {row["id"]: row for row in rows}, read_schema()
    return {arm: secondary(items, settings, similarity, retrieved, schema) for arm, items in arms.items()}
