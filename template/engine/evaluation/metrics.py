"""Scores of an arm: which metrics suit the benchmark, every item's score, and their summary with intervals."""

import difflib
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import ProjectError
from engine.core.interval import Interval
from engine.core.text import normalise
from engine.evaluation.item_metrics import METRICS, Metric, label_accuracy, label_of, parse_json
from engine.evaluation.statistics import Groups, bootstrap_mean, percentile_interval, proportion_interval, resamples
from engine.inference.results import Answered
from engine.settings.evaluate import EvaluateParams


def headline(rows: Sequence[Answered], settings: EvaluateParams) -> str:
    """The primary metric of an arm with its interval, as one phrase."""
    metric = settings.evaluate.primary_metric
    score = summarise(rows, settings)[metric]
    return f"{metric} {score.mean:.3f} [{score.low:.3f}, {score.high:.3f}] on {len(rows)} items"


ItemScores: TypeAlias = dict[str, list[float]]  # metric -> one score an item
OWN = "evals/metrics.py"
JSON_METRICS = ("json_match", "json_field_accuracy", "json_valid", "exact_match")
TEXT_METRICS = ("exact_match", "contains", "token_f1")
CORPUS_SAMPLES = 1000  # resamples of the metrics that are slow to recompute: BLEU, chrF, macro F1
OTHER = "(other)"  # a predicted label that the benchmark does not know


def score_items(items: Sequence[Answered], settings: EvaluateParams) -> ItemScores:
    """Every per-item metric that suits the benchmark, the primary one first."""
    names = [settings.evaluate.primary_metric, *(JSON_METRICS if expects_json(items) else TEXT_METRICS)]
    if expects_prose(items):
        names.append("rouge_l")
    label_key = settings.curate.label_key
    if has_labels(items, label_key):
        names.append("label_accuracy")
    functions = metrics_of(settings) | {"label_accuracy": partial(label_accuracy, label_key=label_key)}
    names += [name for name in functions if name not in METRICS]
    return {name: score_by(name, functions[name], items) for name in dict.fromkeys(names)}


def metrics_of(settings: EvaluateParams) -> dict[str, Metric]:
    """Every metric that the settings may name, those of the project's own evals/metrics.py last.

    Raises:
        ProjectError: that file cannot be read, a name in it is taken, or `evaluate.primary_metric` is none of them.
    """
    try:
        from evals.metrics import METRICS as OF_PROJECT
    except Exception as error:  # the project's own code
        inside = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(OWN)]
        line = error.lineno if isinstance(error, SyntaxError) else inside[-1] if inside else None
        where = f"{OWN}, line {line}" if line else OWN
        raise ProjectError(f"{type(error).__name__}: {error}", where, f"fix it; test it with `python {OWN}`") from error
    if not isinstance(OF_PROJECT, dict):
        raise ProjectError("METRICS is not a dictionary of functions", OWN, 'write METRICS = {"name": function}')
    if taken := METRICS.keys() & OF_PROJECT:
        raise ProjectError(f"{min(taken)} is the name of a metric that every project has", OWN, "rename it")
    primary, functions = settings.evaluate.primary_metric, METRICS | OF_PROJECT
    if primary not in functions:
        close = difflib.get_close_matches(primary, functions, n=1)
        fix = f"one of {', '.join(functions)}" + (f"; did you mean {close[0]}?" if close else "")
        raise ProjectError(f"no metric is called {primary!r}", "params.yaml: evaluate.primary_metric", fix)
    return functions


def score_by(name: str, metric: Metric, items: Sequence[Answered]) -> list[float]:
    """Every item's score by a metric, which may be the project's own.

    Raises:
        ProjectError: it failed, or gave what is no number between 0 and 1.
    """
    scores = []
    for item in items:
        where, fix = f"{OWN}: {name}, item {item.id}", "a metric must return a number from 0 to 1"
        try:
            score = float(metric(item.expected, item.answer))
        except Exception as error:  # the project's own code: what it raises is one fact to its owner
            raise ProjectError(f"the metric failed: {type(error).__name__}: {error}", where, fix) from error
        if not 0 <= score <= 1:
            raise ProjectError(f"the metric returned {score}", where, fix)
        scores.append(score)
    return scores


def summarise(
    items: Sequence[Answered], settings: EvaluateParams, scores: ItemScores | None = None
) -> dict[str, Interval]:
    """Every metric with its interval."""
    groups, alpha, seed = [item.group for item in items], settings.evaluate.alpha, settings.seed
    found = scores or score_items(items, settings)
    summary = {name: mean_score(values, groups, settings).rounded() for name, values in found.items()}
    if expects_prose(items):
        summary |= corpus_metrics(items, seed, alpha)
    label_key = settings.curate.label_key
    if has_labels(items, label_key):
        summary["macro_f1"] = macro_f1(items, label_key, seed, alpha).rounded()
    return summary


def mean_score(scores: Sequence[float], groups: Groups, settings: EvaluateParams) -> Interval:
    """A mean with its interval: Wilson for 0/1 scores, bootstrap otherwise; items of a group count as one draw."""
    knobs = settings.evaluate
    if is_binary(scores):
        return proportion_interval(scores, knobs.alpha, groups)
    return bootstrap_mean(scores, samples=knobs.bootstrap_samples, seed=settings.seed, alpha=knobs.alpha, groups=groups)


def expects_json(items: Sequence[Answered]) -> bool:
    """Whether every expected answer is a JSON object or list."""
    return bool(items) and all(isinstance(parse_json(item.expected), (dict, list)) for item in items)


def expects_prose(items: Sequence[Answered]) -> bool:
    """Whether the expected answers are free text of several words, for which BLEU, chrF and ROUGE are meaningful."""
    words = sum(len(item.expected.split()) for item in items)
    return words > 1.5 * len(items) and not expects_json(items)


def has_labels(items: Sequence[Answered], label_key: str | None) -> bool:
    """Whether every item has a label and the answers give it (a label may also only describe the item)."""
    labels = [item.label for item in items]
    return bool(items) and all(
        label is not None and label_of(item.expected, label_key) == normalise(label)
        for item, label in zip(items, labels, strict=True)
    )


def is_binary(scores: Sequence[float]) -> bool:
    """Whether every score is 0 or 1."""
    return all(score in (0, 1) for score in scores)


def confusion(items: Sequence[Answered], label_key: str | None = None) -> list[dict[str, str]]:
    """One row per item: the ``actual`` and the ``predicted`` label, `OTHER` if no item of the benchmark has it."""
    actual = [label_of(item.expected, label_key) for item in items]
    known = set(actual)
    predicted = (label_of(item.answer, label_key) for item in items)
    return [{"actual": a, "predicted": p if p in known else OTHER} for a, p in zip(actual, predicted, strict=True)]


def macro_f1(items: Sequence[Answered], label_key: str | None, seed: int, alpha: float) -> Interval:
    """Mean F1 over the labels, each label weighing the same, with its percentile bootstrap interval over groups.

    F1 of a label is 2·TP / (expected + predicted); a label that occurs in no item of a resample has none.
    """
    rows = confusion(items, label_key)
    labels = np.array(sorted({row["actual"] for row in rows}))
    actual = np.array([row["actual"] for row in rows])[:, None] == labels
    predicted = np.array([row["predicted"] for row in rows])[:, None] == labels

    def score(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        expected = weights @ actual
        f1 = 2 * (weights @ (actual & predicted)) / np.maximum(expected + weights @ predicted, 1)
        occurs = expected > 0
        mean: NDArray[np.float64] = (f1 * occurs).sum(axis=1) / occurs.sum(axis=1)
        return mean

    return bootstrapped(score, [item.group for item in items], seed, alpha)


def corpus_metrics(items: Sequence[Answered], seed: int, alpha: float) -> dict[str, Interval]:
    """BLEU and chrF of the whole benchmark by sacrebleu, scaled to 0..1, with percentile bootstrap intervals.

    From sacrebleu's counts of each item, which only a private method gives. Its own interval ends with a TypeError
    where a resample shares nothing with its references (2.6.0), and knows nothing of groups.
    """
    from sacrebleu.metrics.bleu import BLEU  # lazy: only free text needs it
    from sacrebleu.metrics.chrf import CHRF

    answers, references = [item.answer for item in items], [[item.expected for item in items]]
    groups = [item.group for item in items]

    def summary(metric: Any) -> Interval:
        counts = np.array(metric._extract_corpus_statistics(answers, references), dtype=float)

        def score(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            drawn = (weights @ counts).astype(int).tolist()
            return np.array([metric._compute_score_from_stats(row).score / 100 for row in drawn])

        return bootstrapped(score, groups, seed, alpha).rounded()

    return {"bleu": summary(BLEU()), "chrf": summary(CHRF())}


def bootstrapped(
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]], groups: Sequence[str | None], seed: int, alpha: float
) -> Interval:
    """A score of the whole benchmark, a function of how often each item counts, with its interval."""
    scores = np.concatenate([score(weights) for weights in resamples(groups, CORPUS_SAMPLES, seed)])
    return percentile_interval(float(score(np.ones((1, len(groups))))[0]), scores, alpha)
