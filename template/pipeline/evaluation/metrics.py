"""Scores of an arm: which metrics suit the benchmark, every item's score, and their summary with intervals.

An item is a row of ``results/<arm>.jsonl``: ``expected`` and ``answer`` are texts, ``group`` and ``label`` may be null.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evals.metrics import METRICS as PROJECT_METRICS
from pipeline.evaluation.item_metrics import METRICS, label_accuracy, label_of, normalise, parse_json
from pipeline.evaluation.statistics import Interval, bootstrap_mean, proportion_interval
from pipeline.files import ProjectError
from pipeline.settings import Settings

Item: TypeAlias = Mapping[str, Any]
Scores: TypeAlias = dict[str, list[float]]  # metric -> one score an item

JSON_METRICS = ("json_match", "json_field_accuracy", "json_valid", "exact_match")
TEXT_METRICS = ("exact_match", "contains", "token_f1")
CORPUS_SAMPLES = 1000  # resamples of the metrics that are slow to recompute: BLEU, chrF, macro F1
BLOCK = 100  # of them held in memory at once
OTHER = "(other)"  # a predicted label that the benchmark does not know


def score_items(items: Sequence[Item], settings: Settings) -> Scores:
    """Every per-item metric that suits the benchmark, the primary one first."""
    names = [settings.evaluate.primary_metric, *(JSON_METRICS if expects_json(items) else TEXT_METRICS)]
    if expects_prose(items):
        names.append("rouge_l")
    label_key = settings.curate.label_key
    if has_labels(items, label_key):
        names.append("label_accuracy")
    names += PROJECT_METRICS
    functions = METRICS | {"label_accuracy": partial(label_accuracy, label_key=label_key)} | PROJECT_METRICS
    if names[0] not in functions:
        known = ", ".join(functions)
        raise ProjectError(
            f"no metric is called {names[0]!r}", "params.yaml: evaluate.primary_metric", f"one of {known}"
        )
    return {name: [functions[name](i["expected"], i["answer"]) for i in items] for name in dict.fromkeys(names)}


def summarise(items: Sequence[Item], settings: Settings, scores: Scores | None = None) -> dict[str, dict[str, float]]:
    """{metric: {mean, low, high}}: Wilson for 0/1 scores, bootstrap otherwise; items of a group count as one draw."""
    groups = [item["group"] for item in items]
    alpha, samples, seed = settings.evaluate.alpha, settings.evaluate.bootstrap_samples, settings.seed
    summary = {}
    for name, values in (scores or score_items(items, settings)).items():
        if is_binary(values):
            interval = proportion_interval(values, alpha, groups)
        else:
            interval = bootstrap_mean(values, samples=samples, seed=seed, alpha=alpha, groups=groups)
        summary[name] = rounded(interval)
    if expects_prose(items):
        summary |= corpus_metrics(items)
    label_key = settings.curate.label_key
    if has_labels(items, label_key):
        summary["macro_f1"] = rounded(macro_f1(items, label_key, seed, alpha))
    return summary


def expects_json(items: Sequence[Item]) -> bool:
    """Whether every expected answer is a JSON object or list."""
    return bool(items) and all(isinstance(parse_json(item["expected"]), (dict, list)) for item in items)


def expects_prose(items: Sequence[Item]) -> bool:
    """Whether free text of several words is expected, where BLEU, chrF and ROUGE mean something."""
    words = sum(len(item["expected"].split()) for item in items)
    return words > 1.5 * len(items) and not expects_json(items)


def has_labels(items: Sequence[Item], label_key: str | None) -> bool:
    """Whether every item has a label and the answers give it (a label may also only describe the item)."""
    labels = [item["label"] for item in items]
    return bool(items) and all(
        label is not None and label_of(item["expected"], label_key) == normalise(label)
        for item, label in zip(items, labels, strict=True)
    )


def is_binary(scores: Sequence[float]) -> bool:
    """Whether every score is 0 or 1."""
    return all(score in (0, 1) for score in scores)


def confusion(items: Sequence[Item], label_key: str | None = None) -> list[dict[str, str]]:
    """One row an item: the ``actual`` and the ``predicted`` label, `OTHER` where no item of the benchmark has it."""
    actual = [label_of(item["expected"], label_key) for item in items]
    known = set(actual)
    predicted = (label_of(item["answer"], label_key) for item in items)
    return [{"actual": a, "predicted": p if p in known else OTHER} for a, p in zip(actual, predicted, strict=True)]


def macro_f1(items: Sequence[Item], label_key: str | None, seed: int, alpha: float) -> Interval:
    """Mean F1 over the labels, each label weighing the same, with its percentile bootstrap interval over items."""
    rows = confusion(items, label_key)
    number = {label: index for index, label in enumerate(sorted({row["actual"] for row in rows}))}
    actual = np.array([number[row["actual"]] for row in rows])
    predicted = np.array([number.get(row["predicted"], len(number)) for row in rows])
    generator = np.random.default_rng(seed)
    resampled = []
    for _ in range(0, CORPUS_SAMPLES, BLOCK):
        drawn = generator.integers(0, len(rows), (BLOCK, len(rows)))
        resampled.append(_mean_f1(actual[drawn], predicted[drawn], len(number)))
    low, high = np.quantile(np.concatenate(resampled), [alpha / 2, 1 - alpha / 2])
    return Interval(float(_mean_f1(actual[None], predicted[None], len(number))[0]), float(low), float(high))


def _mean_f1(actual: NDArray[np.int64], predicted: NDArray[np.int64], labels: int) -> NDArray[np.float64]:
    """2·TP / (expected + predicted) of each label that occurs, averaged; of every row, a resample."""
    places = np.arange(len(actual))[:, None] * (labels + 1)

    def counts(found: NDArray[np.int64]) -> NDArray[np.int64]:
        flat = np.bincount((places + found).ravel(), minlength=len(actual) * (labels + 1))
        return flat.reshape(len(actual), labels + 1)[:, :labels]

    expected = counts(actual)
    right = counts(np.where(actual == predicted, actual, labels))
    f1 = 2 * right / np.maximum(expected + counts(predicted), 1)
    occurs = expected > 0
    mean: NDArray[np.float64] = (f1 * occurs).sum(axis=1) / occurs.sum(axis=1)
    return mean


def corpus_metrics(items: Sequence[Item]) -> dict[str, dict[str, float]]:
    """BLEU and chrF of the whole benchmark by sacrebleu, scaled to 0..1, with its own seeded bootstrap interval."""
    from sacrebleu.metrics.bleu import BLEU  # lazy: only free text needs it
    from sacrebleu.metrics.chrf import CHRF

    answers, references = [item["answer"] for item in items], [[item["expected"] for item in items]]
    summary = {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        score = metric.corpus_score(answers, references, n_bootstrap=CORPUS_SAMPLES)
        mean, half = score.score / 100, score._ci / 100  # sacrebleu offers the interval only there
        summary[name] = rounded(Interval(mean, max(0.0, mean - half), min(1.0, mean + half)))
    return summary


def rounded(interval: Interval) -> dict[str, float]:
    """Six digits: further ones would differ between processors and mean nothing."""
    return {name: round(float(value), 6) for name, value in interval._asdict().items()}
