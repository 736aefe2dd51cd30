"""Stage `index`: documents to passages, and the passages of every record, with how well they are found."""

import sys

from engine.core.artifacts import KNOWLEDGE, MEASURED_RETRIEVAL, RETRIEVAL_REPORT, RETRIEVED
from engine.core.device import prepare
from engine.core.errors import run_stage
from engine.core.io import read_jsonl, write_json, write_jsonl
from engine.core.params import load
from engine.inference.embedder import Embedder
from engine.inference.prompting import question
from engine.inference.results import RetrievalReport
from engine.retrieval.chunks import documents, read_passages
from engine.retrieval.index import (
    SMOKE_PASSAGES,
    SPLITS,
    compare_stores,
    document_name,
    measure,
    relevant_passages,
    retrieved,
    told_in_full,
)
from engine.retrieval.search import Search
from engine.retrieval.store import check_installed
from engine.settings.retrieval import RetrievalParams


def main() -> None:
    settings = load(RetrievalParams)
    knobs = settings.retrieval
    check_installed(knobs.store)  # before the hours that embedding a large collection takes
    prepare(settings.seed)
    passages = read_passages(KNOWLEDGE, knobs.chunk_words, knobs.overlap_words)
    embedder = Embedder(settings.embedder)
    search = Search.build(passages[:SMOKE_PASSAGES] if settings.smoke else passages, embedder)
    search.save()
    for split, path in SPLITS.items():
        records = read_jsonl(path)
        found = search.find([question(record) for record in records], knobs)
        named = {document_name(passage["source"]) for passage in search.passages}
        rows = zip(records, found, strict=True)
        write_jsonl(RETRIEVED / f"{split}.jsonl", (retrieved(r, best, named) for r, best in rows))
    test = read_jsonl(SPLITS["test"])
    if knobs.store != "memory":
        write_json(
            MEASURED_RETRIEVAL, compare_stores(search, Search.load(knobs, settings.embedder), test, knobs.passages)
        )
    relevant = [relevant_passages(record, search.passages) for record in test]
    report = RetrievalReport(
        documents=len({passage["source"] for passage in search.passages}),
        passages=len(search.passages),
        embedder_sha256=embedder.sha256,
        ranking=knobs.ranking,
        depth=knobs.passages,
        items=len(test),
        answerable=sum(map(bool, relevant)),
        test_pairs_in_documents=told_in_full(test, [text for _, text in documents(KNOWLEDGE)]),
        rankings=measure(search, test, relevant, knobs.passages),
    )
    write_json(RETRIEVAL_REPORT, report)
    print(f"{report.passages} passages of {report.documents} documents")
    print(f"  {report.answerable} of {report.items} test items have their answer word for word in a passage")
    for name, scores in report.rankings.items():
        print(f"  {name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in scores.items()))


if __name__ == "__main__":
    sys.exit(run_stage(main))
