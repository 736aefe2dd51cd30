"""Fixed samples of the training records, those with the smallest ids, which are hashes: as many of each label as the
settings allow, and a few that tell about all, their languages, how varied the prompts and how long the answers are."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import ProjectError
from engine.core.text import casefolded, language
from engine.data.check.pii import hidden
from engine.data.record_store import Store
from engine.settings.curate import CurateSettings

SIZE = 1000  # records
LANGUAGES = 200  # of them
_SHOWN = 60  # characters of a label


def beyond_limit(
    store: Store, train: NDArray[np.int64], priority: NDArray[np.uint8], settings: CurateSettings
) -> dict[int, str]:
    """The training records whose label has more than the settings allow, each with the reason in words.

    Of a label the records with the smallest priority stay, corrections before raw data, then those with the smallest
    ids. Records without a label are not limited.

    Raises:
        ProjectError: there is a limit, and no record has a label.
    """
    if settings.max_per_label is None and settings.max_label_ratio is None:
        return {}
    labelled = train[store.label[train] >= 0]
    if not len(labelled):
        where = "curate.max_per_label, curate.max_label_ratio"
        raise ProjectError(
            "there is a limit per label, but no record has a label", where, "set curate.label_key, or no limit"
        )
    order = labelled[np.lexsort((store.id[labelled], priority[labelled], store.label[labelled]))]
    _, first, counts = np.unique(store.label[order], return_index=True, return_counts=True)
    smallest = float(counts.min())
    limit = int(min(settings.max_per_label or np.inf, smallest * (settings.max_label_ratio or np.inf)))
    place = np.arange(len(order)) - np.repeat(first, counts)
    beyond = order[place >= limit]
    size = np.repeat(counts, counts)[place >= limit]
    shown = {
        code: hidden(store.labels[code], _SHOWN, settings.pii_engine) for code in set(store.label[beyond].tolist())
    }
    return {
        index: f"{limit} of the {count} training records of label {shown[store.label[index]]!r} stay"
        for index, count in zip(beyond.tolist(), size.tolist(), strict=True)
    }


def spread(values: NDArray[Any]) -> dict[str, int]:
    """The middle and the end of some lengths."""
    median, p95, longest = np.quantile(values, [0.5, 0.95, 1.0])
    return {"median": int(median), "p95": int(p95), "longest": int(longest)}


def sampled(store: Store, train: NDArray[np.int64]) -> dict[str, Any]:
    """Lengths of answers, counts of languages, and distinct-1 and distinct-2 (Li et al. 2016): different words, or
    pairs of neighbours, in the share that they make up of all."""
    chosen = train[np.argsort(store.id[train], kind="stable")][:SIZE]
    records = store.records(chosen.tolist())
    prompts = [record.prompt for record in records]
    languages = Counter(language(prompt) or "too short to tell" for prompt in prompts[:LANGUAGES])
    words = [casefolded(prompt).split() for prompt in prompts]
    single = [word for text in words for word in text]
    double = [pair for text in words for pair in pairwise(text)]
    return {
        "answer_words": spread(np.array([record.answer.count(" ") + 1 for record in records])),
        "languages": dict(sorted(languages.items())),
        "diversity": {
            "prompts": len(prompts),
            "distinct_1": round(len(set(single)) / max(1, len(single)), 4),
            "distinct_2": round(len(set(double)) / max(1, len(double)), 4),
        },
    }
