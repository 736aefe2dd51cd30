"""The smart-home example: real templates, one right answer a request, the same bytes every time."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("home_assistant_intents", reason="the example's packages are not installed")

from example_runs import build, curated, spec


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return build("home_assistant", tmp_path_factory.mktemp("raw") / "requests.jsonl")


def test_twelve_intents_from_hundreds_of_templates(records: list[dict[str, Any]]) -> None:
    assert len({record["intent"] for record in records}) == 12
    assert len({record["template"] for record in records}) > 400
    assert 3500 < len(records) < 5000


def test_every_answer_is_compact_json_that_agrees_with_the_label(records: list[dict[str, Any]]) -> None:
    for record in records:
        answer = json.loads(record["completion"])
        assert list(answer) == ["intent", "slots"]
        assert answer["intent"] == record["intent"] == record["template"].split("/")[0]
        assert list(answer["slots"]) == sorted(answer["slots"])
        assert json.dumps(answer, ensure_ascii=False, separators=(",", ":")) == record["completion"]


def test_names_and_numbers_in_the_answer_are_said_in_the_request(records: list[dict[str, Any]]) -> None:
    for record in records:
        slots = json.loads(record["completion"])["slots"]
        said = [slots[name] for name in ("area", "floor", "name", "hours", "position") if name in slots]
        assert all(str(value) in record["prompt"] for value in said), record


def test_no_request_has_two_answers(tmp_path: Path) -> None:
    everything = build("home_assistant", tmp_path / "requests.jsonl", "--intents", "42")
    assert len({record["intent"] for record in everything}) == 42
    assert max(Counter(record["prompt"].casefold() for record in everything).values()) == 1


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1" / "requests.jsonl", tmp_path / "2" / "requests.jsonl"
    build("home_assistant", first, hash_seed="1")
    build("home_assistant", second, hash_seed="2")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_name("SOURCE.md").read_bytes() == second.with_name("SOURCE.md").read_bytes()


def test_source_and_licence_are_written_beside_the_data(tmp_path: Path) -> None:
    build("home_assistant", tmp_path / "requests.jsonl")
    note = (tmp_path / "SOURCE.md").read_text()
    assert "Apache-2.0" in note and "`home-assistant-intents`" in note and note.count("sha256") == 2


def test_its_benchmark_tests_every_intent_on_unseen_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = curated("home_assistant")
    assert report["test"] == 240 and report["dev"] <= 64
    assert set(report["test_labels"]) == set(report["labels"])
    assert report["rejected"].keys() == {"near_duplicate", "benchmark_leak"}
    assert report["leakage"]["random_split_would_leak"] > 0


def test_the_prompted_arms_are_told_every_intent_and_slot(records: list[dict[str, Any]]) -> None:
    prompt = spec("home_assistant")["prompted_system_prompt"]
    for record in records:
        assert record["intent"] in prompt
        assert all(slot in prompt for slot in json.loads(record["completion"])["slots"])
