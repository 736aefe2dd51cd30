"""The facts example: nothing that the test asks for can be learned from the training data, or guessed."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from example_runs import build, curated


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    build("facts", first, hash_seed="1")
    build("facts", second, hash_seed="2")
    assert first.read_bytes() == second.read_bytes()
    assert "CC0-1.0" in (tmp_path / "SOURCE.md").read_text()


def test_the_best_guess_is_seldom_right(tmp_path: Path) -> None:
    answers = defaultdict(list)
    for record in build("facts", tmp_path / "requests.jsonl"):
        answers[record["topic"]].append(record["completion"])
    for given in answers.values():
        assert Counter(given).most_common(1)[0][1] / len(given) < 0.03


def test_no_product_of_the_test_is_in_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = curated("facts")
    products = {
        path: {json.loads(line)["group"] for line in Path(path).read_text().splitlines()}
        for path in ("data/curated/train.jsonl", "data/eval/test.jsonl")
    }
    assert not products["data/curated/train.jsonl"] & products["data/eval/test.jsonl"]
    assert report["test"] == 200
    assert set(report["test_labels"].values()) == {40}
