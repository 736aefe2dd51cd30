"""Near duplicates: what MinHash finds, that the threshold is exact, and that nothing is missed where it matters."""

import itertools
import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_data import WORDS

from engine.core.text import casefolded
from engine.data.dedup import near_duplicates
from engine.data.dedup.near_duplicates import Pairs, band_keys, clusters, neighbours, semantic_pairs
from engine.data.dedup.shingles import Shingles


def shingled(texts: list[str]) -> Shingles:
    return Shingles.of_texts([casefolded(text) for text in texts])


def near_pairs(shingles: Shingles, threshold: float) -> Pairs:
    keys = band_keys(shingles.hashes, np.diff(shingles.starts))
    return near_duplicates.near_pairs(shingles, keys, np.arange(len(shingles)), threshold)


def shingle_set(text: str, unit: str) -> set[str]:
    text = casefolded(text)
    if unit == "char4":
        text = text.ljust(4)
        return {text[start : start + 4] for start in range(len(text) - 3)}
    words = text.split() + ["-"] * max(0, 3 - len(text.split()))
    return {" ".join(words[start : start + 3]) for start in range(len(words) - 2)}


def jaccard(left: str, right: str, unit: str) -> float:
    a, b = shingle_set(left, unit), shingle_set(right, unit)
    return len(a & b) / len(a | b)


def requests(count: int, words: int = 6) -> list[str]:
    """Short texts from few words, so that many are near one another."""
    draw = random.Random(words)
    return [" ".join(draw.choices(WORDS[:12], k=words)) for _ in range(count)]


def test_case_and_white_space_do_not_count() -> None:
    texts = ["Turn ON the\tkitchen  light", "turn on the kitchen light"]
    assert near_pairs(shingled(texts), 1.0).tolist() == [[0, 1]]


def test_short_texts_are_compared_by_characters_and_long_ones_by_words() -> None:
    assert shingled(requests(9, words=6)).unit == "char4"
    assert shingled(requests(9, words=30)).unit == "word3"


@pytest.mark.parametrize("words", [6, 30], ids=["char4", "word3"])
def test_similarity_is_the_jaccard_index_of_the_shingle_sets(words: int) -> None:
    texts = [*requests(20, words), "", "a", "ab cd"]
    shingles = shingled(texts)
    pairs = np.array(list(itertools.combinations(range(len(texts)), 2)))
    expected = [jaccard(texts[i], texts[j], shingles.unit) for i, j in pairs]
    assert near_duplicates.jaccard(shingles, pairs) == pytest.approx(expected)


def test_the_blank_is_the_only_printable_white_space() -> None:
    assert [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace() and c.isprintable()] == [" "]


@pytest.mark.parametrize("text", ["", " ", "A b", " a", "a ", "a  b", "a\tb", "a\u00a0 B\n", "\u1e9e\u2003", "\x00 a"])
def test_a_normalised_text_has_single_blanks_and_no_case(text: str) -> None:
    assert casefolded(text) == " ".join(text.casefold().split())


def test_only_keys_that_occur_twice_are_linked() -> None:
    keys = np.random.default_rng(1).integers(0, 2**63, 3000, np.uint64)
    keys[[7, 2000, 2500]] = keys[5]
    keys[2999] = keys[0]
    places = near_duplicates._shared(keys).tolist()
    assert {0, 5, 7, 2000, 2500, 2999} <= set(places) and len(places) < 100
    linked = near_duplicates._linked(keys, np.arange(3000), 3000)
    assert [divmod(pair, 3000) for pair in linked.tolist()] == [
        (0, 2999),
        (5, 7),
        (5, 2000),
        (5, 2500),
        (7, 2000),
        (2000, 2500),
    ]


def test_a_text_longer_than_a_chunk_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = requests(50, words=30)
    whole = shingled(texts)
    monkeypatch.setattr("engine.data.dedup.shingles.CHUNK_CHARACTERS", 40)
    chunked = shingled(texts)
    assert (whole.hashes == chunked.hashes).all() and (whole.starts == chunked.starts).all()


def test_texts_that_are_left_out_are_not_compared() -> None:
    shingles = shingled(["the very same request"] * 4)
    keys = band_keys(shingles.hashes, np.diff(shingles.starts))
    assert near_duplicates.near_pairs(shingles, keys, np.array([0, 3]), 0.7).tolist() == [[0, 3]]


def test_planted_edits_are_found_and_every_pair_found_is_near() -> None:
    draw = random.Random(1)
    texts = [" ".join(draw.choices([f"{word}{n}" for word in WORDS for n in range(40)], k=40)) for _ in range(300)]
    for text in texts[:100]:
        words = text.split()
        words[draw.randrange(40)] = "edited"
        texts.append(" ".join(words))
    found = {tuple(pair) for pair in near_pairs(shingled(texts), 0.7).tolist()}
    assert found == {(number, 300 + number) for number in range(100)}


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.sampled_from(WORDS[:5]), min_size=0, max_size=8).map(" ".join), min_size=1, max_size=25),
    st.sampled_from([0.3, 0.5, 0.7, 1.0]),
)
def test_neighbours_are_exactly_the_texts_at_least_that_similar(texts: list[str], threshold: float) -> None:
    shingles = shingled(texts)
    monkey = near_duplicates.BLOCK_HASHES
    near_duplicates.BLOCK_HASHES = 20  # a few texts at a time
    queries = [shingles.of(number) for number in range(len(texts))]
    found = {(query, other) for query, other in neighbours(shingles, queries, threshold).tolist() if query != other}
    near_duplicates.BLOCK_HASHES = monkey
    expected = {
        (i, j)
        for i, j in itertools.permutations(range(len(texts)), 2)
        if jaccard(texts[i], texts[j], shingles.unit) >= threshold
    }
    assert found == expected


def test_a_long_text_that_contains_an_item_is_found_however_long_it_is() -> None:
    item = " ".join(f"word{number}" for number in range(40))
    other = " ".join(f"other{number}" for number in range(400))
    shingles = shingled([f"{other} {item} {other}", other])
    query = [shingled([item]).of(0)]
    assert neighbours(shingles, query, 0.5).tolist() == []
    assert neighbours(shingles, query, 0.5, contained=0.8).tolist() == [[0, 0]]


def test_many_copies_are_linked_without_comparing_all_of_them() -> None:
    size = 3000  # all pairs would be 4.5 million
    pairs = near_pairs(shingled(["the very same request"] * size), 0.7)
    assert len(pairs) <= 2 * size
    assert set(clusters(size, pairs).tolist()) == {0}


def test_clusters_follow_chains() -> None:
    assert clusters(6, np.array([[3, 4], [0, 3], [1, 5]])).tolist() == [0, 1, 2, 0, 0, 1]


def test_no_texts_at_all() -> None:
    shingles = shingled([])
    assert len(shingles) == 0
    assert near_pairs(shingles, 0.7).tolist() == []


def test_no_pair_of_vectors_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "VECTOR_BLOCK", 7)
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = [pair for pair in itertools.combinations(range(50), 2) if vectors[pair[0]] @ vectors[pair[1]] >= 0.8]
    assert len(expected) > 9
    assert sorted(map(tuple, semantic_pairs(vectors, 0.8).tolist())) == expected
    assert semantic_pairs(vectors[:0], 0.8).shape == (0, 2)
