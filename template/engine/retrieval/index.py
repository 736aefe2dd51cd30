"""Stage `index`: documents to passages, and the passages of every record, with how well they are found."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from engine.chat.openai_messages import Record
from engine.chat.tool_calls import expected_text
from engine.core.text import contains, normalise
from engine.inference.prompting import Passage, question
from engine.retrieval.ranking import ndcg_at, recall_at, reciprocal_rank
from engine.retrieval.search import Search

SPLITS = {
    "train": Path("data/curated/train.jsonl"),
    "dev": Path("data/eval/dev.jsonl"),
    "test": Path("data/eval/test.jsonl"),
}
RANKINGS = ("bm25", "dense", "fused")
NDCG_DEPTH = 10
SMOKE_PASSAGES = 200
_LABEL = re.compile(r"\A\W*(?:(?:q|question|prompt|user)\s*\d*\s*[:.])?\s*", re.IGNORECASE)  # "### Question 3: "


def retrieved(record: Record, best: Sequence[Passage], named: set[str]) -> dict[str, Any]:
    """A record's passages, and which of them are of its ``own`` document; null if its group names none."""
    own = [passage["id"] for passage in best if document_name(passage["source"]) == record["group"]]
    return {"id": record["id"], "passages": best, "own": own if record["group"] in named else None}


def measure(
    search: Search, records: Sequence[Record], relevant: Sequence[set[int]], depth: int
) -> dict[str, dict[str, float]]:
    """Recall, mean reciprocal rank and nDCG of each ranking over the records, whose ``relevant`` passages are known."""
    report = {}
    for ranking in RANKINGS:
        ranked = search.rank([question(record) for record in records], ranking)
        pairs = list(zip(ranked, relevant, strict=True))
        report[ranking] = {
            "recall_at_1": _mean([recall_at(places, wanted, 1) for places, wanted in pairs]),
            f"recall_at_{depth}": _mean([recall_at(places, wanted, depth) for places, wanted in pairs]),
            "mrr": _mean([reciprocal_rank(places, wanted) for places, wanted in pairs]),
            f"ndcg_at_{NDCG_DEPTH}": _mean([ndcg_at(places, wanted, NDCG_DEPTH) for places, wanted in pairs]),
        }
    return report


def compare_stores(exact: Search, served: Search, records: Sequence[Record], depth: int) -> dict[str, Any]:
    """How many of the passages that are nearest in meaning the server will find too."""
    asked = [question(record) for record in records]
    pairs = zip(exact.rank(asked, "dense", depth), served.rank(asked, "dense", depth), strict=True)
    found = {"items": len(asked), f"recall_at_{depth}": _mean([len({*a} & {*b}) / len(a) for a, b in pairs])}
    print(f"  the server finds {found[f'recall_at_{depth}']:.1%} of the {depth} nearest passages of the test items")
    return found


def relevant_passages(record: Record, passages: Sequence[Passage]) -> set[int]:
    """Places of the passages that state the expected answer as whole words ("6" is not stated by "2016").

    Of the record's own document, if its group names one.
    """
    answer = expected_text(record)
    own = {place for place, passage in enumerate(passages) if document_name(passage["source"]) == record["group"]}
    places = own or range(len(passages))
    return {place for place in places if contains(answer, passages[place]["text"])}


def told_in_full(records: Sequence[Record], texts: Sequence[str]) -> list[str]:
    """The records that a document asks and answers: a copy of the benchmark.

    It asks what stands there with its question mark, or as a line of its own. "Version of x?" is no copy of the fact
    "The version of x is 3", although that says both.
    """
    documents = [(_plain(text), {normalise(_LABEL.sub("", line)) for line in text.splitlines()}) for text in texts]

    def asks(text: str, lines: set[str], asked: str) -> bool:
        return (asked.endswith("?") and asked in text) or normalise(asked) in lines

    found = []
    for record in records:
        asked, answer = _plain(question(record)), expected_text(record)
        if any(asks(text, lines, asked) and contains(answer, text) for text, lines in documents):
            found.append(record["id"])
    return found


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def document_name(source: str) -> str:
    """A document's path without folders and ending."""
    return PurePosixPath(source).stem if "/" in source or "." in source else source


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6) if values else 0.0
