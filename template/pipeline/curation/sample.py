"""What a fixed sample of the training records tells about all: their languages, and how varied the prompts are."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.curation.quality import language
from pipeline.curation.shingles import normalise
from pipeline.curation.store import Store

SIZE = 1000  # records: those with the smallest ids, which are hashes
LANGUAGES = 200  # of them


def sampled(store: Store, train: NDArray[np.int64]) -> dict[str, Any]:
    """Counts of languages, and distinct-1 and distinct-2 (Li et al. 2016): different words, or pairs of neighbours, in
    the share that they make up of all."""
    chosen = train[np.argsort(store.id[train], kind="stable")][:SIZE]
    prompts = [record.prompt for record in store.records(chosen.tolist())]
    languages = Counter(language(prompt) or "too short to tell" for prompt in prompts[:LANGUAGES])
    words = [normalise(prompt).split() for prompt in prompts]
    single = [word for text in words for word in text]
    double = [pair for text in words for pair in pairwise(text)]
    return {
        "languages": dict(sorted(languages.items())),
        "diversity": {
            "prompts": len(prompts),
            "distinct_1": round(len(set(single)) / max(1, len(single)), 4),
            "distinct_2": round(len(set(double)) / max(1, len(double)), 4),
        },
    }
