"""Prompts of the arms: the same for every item, drawn from training data alone."""

from pathlib import Path

import pytest
from scripted_backend import record

from engine.core.errors import ProjectError
from engine.inference.arms import quantile
from engine.inference.prompting import choose_shots, conversation, refuse_given_away, shot_pool, spread_shots
from engine.inference.transformers_backend import shared_prefix


def test_a_prompt_ends_before_the_expected_answer() -> None:
    prompt = conversation(record("x"), "Be brief.")
    assert [message["role"] for message in prompt] == ["system", "user"]
    assert "answer" not in str(prompt)


def test_shots_stand_as_earlier_turns() -> None:
    prompt = conversation(record("x"), "", [record("a"), record("b")])
    assert [message["content"] for message in prompt] == ["ask a", "answer a", "ask b", "answer b", "ask x"]


def test_a_records_own_system_message_wins_over_the_projects() -> None:
    assert conversation(record("x", system="Own."), "Project.")[0]["content"] == "Own."


def test_shots_show_every_label_before_any_label_twice() -> None:
    train = [record(f"{label}{number}", label) for label in "abc" for number in range(5)]
    chosen = spread_shots(train, 5, seed=1)
    assert {shot["label"] for shot in chosen[:3]} == set("abc")
    assert len({shot["id"] for shot in chosen}) == 5


def test_shots_depend_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    train = [record(f"r{number:02}", "ab"[number % 2]) for number in range(20)]
    assert spread_shots(train, 6, seed=3) == spread_shots(train[::-1], 6, seed=3)
    assert spread_shots(train, 6, seed=3) != spread_shots(train, 6, seed=4)


def test_the_nearest_shots_are_those_most_like_the_item_the_nearest_last() -> None:
    train = [record("blue lamp"), record("red door"), record("red lamp in the hall"), record("garden")]
    chosen = choose_shots(train, [record("red lamp")], 2, 0, "nearest")["red lamp"]
    assert len(chosen) == 2 and chosen[-1]["id"] == "red lamp in the hall"


def test_random_shots_are_drawn_by_the_seed_and_the_same_for_every_item() -> None:
    train = [record(f"r{number:02}") for number in range(20)]
    chosen = choose_shots(train, [record("x"), record("y")], 3, 5, "random")
    assert chosen["x"] == chosen["y"] and len({shot["id"] for shot in chosen["x"]}) == 3
    assert chosen == choose_shots(train[::-1], [record("x"), record("y")], 3, 5, "random")
    assert chosen != choose_shots(train, [record("x"), record("y")], 3, 6, "random")


def test_fixed_shots_are_the_owners_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts").mkdir()
    with pytest.raises(ProjectError, match="no fixed examples"):
        shot_pool("fixed")
    path = Path("prompts/shots.jsonl")
    path.write_text('{"prompt": "ask b", "completion": "B"}\n{"prompt": "ask a", "completion": "A"}\n', "utf-8")
    pool = shot_pool("fixed")
    shown = choose_shots(pool, [record("x")], 2, 0, "fixed")["x"]
    asked = [message["content"] for message in conversation(record("x"), "", shown)]
    assert asked == ["ask b", "B", "ask a", "A", "ask x"]
    refuse_given_away(pool, [record("x")])
    with pytest.raises(ProjectError, match="item of the benchmark") as caught:
        refuse_given_away(pool, [record("a")])
    assert caught.value.where.endswith("shots.jsonl:2")
    with pytest.raises(ProjectError, match="no passages"):
        conversation(record("x"), "", shown, {"x": []})
    path.write_text('{"prompt": "ask b"}\n', "utf-8")
    with pytest.raises(ProjectError, match="not an example"):
        shot_pool("fixed")


def test_every_question_is_asked_with_its_own_passages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts").mkdir()
    Path("prompts/passages.txt").write_text("$passages | $question", "utf-8")
    passages = {name: [{"id": name, "source": name, "text": f"fact {name} for $5"}] for name in ("a", "x")}
    prompt = conversation(record("x"), "Be brief.", [record("a")], passages)
    asked = [message["content"] for message in prompt]
    assert asked == ["Be brief.", "fact a for $5 | ask a", "answer a", "fact x for $5 | ask x"]
    Path("prompts/passages.txt").write_text("$pasages", "utf-8")
    with pytest.raises(ProjectError, match="cannot be filled"):
        conversation(record("x"), "", (), passages)


def test_fewer_records_than_shots_are_all_shown() -> None:
    assert len(spread_shots([record("a"), record("b")], 6, seed=0)) == 2


def test_the_shared_prefix_never_swallows_a_whole_prompt() -> None:
    common = list(range(40))
    assert shared_prefix([common, [*common, 1]]) == common[:-1]
    assert shared_prefix([[*common, 1, 2], [*common, 3, 4]]) == common


def test_a_short_or_single_prefix_is_not_worth_a_cache() -> None:
    assert shared_prefix([[1, 2, 3], [1, 2, 4]]) == []
    assert shared_prefix([list(range(100))]) == []


def test_quantiles_are_values_that_were_measured() -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.95) == 4.0
