"""The facts example: every answer stands in a document, and no training record gives a test answer away."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from example_runs import EXAMPLES, build, curated

LOCK = ("--lock", str(EXAMPLES.parent / "template" / "locks" / "trl.txt"))


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    build("facts", first, *LOCK, "--knowledge", str(tmp_path / "1"), hash_seed="1")
    build("facts", second, *LOCK, "--knowledge", str(tmp_path / "2"), hash_seed="2")
    assert first.read_bytes() == second.read_bytes()
    documents = [{path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in "12"]
    assert documents[0] == documents[1] and len(documents[0]) > 100
    assert "CC0-1.0" in (tmp_path / "SOURCE.md").read_text()


def test_every_answer_stands_in_the_document_of_its_package(tmp_path: Path) -> None:
    for record in build("facts", tmp_path / "requests.jsonl", *LOCK, "--knowledge", str(tmp_path / "knowledge")):
        document = (tmp_path / "knowledge" / f"{record['package']}.md").read_text("utf-8")
        assert record["completion"] in document


def test_an_answer_cannot_be_guessed(tmp_path: Path) -> None:
    answers = defaultdict(list)
    for record in build("facts", tmp_path / "requests.jsonl", *LOCK):
        answers[record["topic"]].append(record["completion"])
    for topic in ("version", "summary", "author"):
        assert Counter(answers[topic]).most_common(1)[0][1] / len(answers[topic]) < 0.1


def test_no_package_of_the_test_is_in_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = curated("facts", *LOCK)
    packages = {
        path: {json.loads(line)["group"] for line in Path(path).read_text("utf-8").splitlines()}
        for path in ("data/curated/train.jsonl", "data/eval/test.jsonl")
    }
    assert not packages["data/curated/train.jsonl"] & packages["data/eval/test.jsonl"]
    assert report["test"] == 120
