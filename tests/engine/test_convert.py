"""Conversion there and back: nothing is lost, and what does not fit is an error."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_data import CALL, PAIR, curate_settings, many_answers, positional, record, rows

from engine.core.errors import ProjectError
from engine.data.normalise.records import RecordReader
from engine.settings.curate import AnomalySettings
from project_tools.convert import convert
from project_tools.writers import WRITERS


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn"]), min_size=1, max_size=20)
SAID = TEXT.filter(lambda text: text.strip() and "<" not in text and "[" not in text)


@settings(deadline=None, max_examples=40)
@given(st.lists(SAID, min_size=2, max_size=6).filter(lambda said: len(said) % 2 == 0), st.one_of(st.just(""), SAID))
@pytest.mark.parametrize("form", ["alpaca", "sharegpt", "messages"])
def test_a_record_survives_conversion_there_and_back(form: str, said: list[str], system: str) -> None:
    reader = RecordReader(curate_settings(format="messages", anomalies=positional(AnomalySettings, *["keep"] * 8)))
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]
    before = reader.canonical({"messages": messages}, line=1)
    back = RecordReader(curate_settings(format=form, anomalies=reader.settings.anomalies))
    assert back.canonical(json.loads(json.dumps(WRITERS[form](before))), line=1).id == before.id


def test_files_are_converted_both_ways_and_what_does_not_fit_is_an_error() -> None:
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(5)))
    assert convert(Path("in.jsonl"), Path("mid.jsonl"), None, "sharegpt", curate_settings()) == 5
    assert convert(Path("mid.jsonl"), Path("out.jsonl"), None, "jsonl", curate_settings()) == 5
    assert [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()] == rows(5)
    Path("long.jsonl").write_text(json.dumps({"messages": PAIR * 2}) + "\n")
    with pytest.raises(ProjectError, match="4 turns"):
        convert(Path("long.jsonl"), Path("no.jsonl"), "messages", "jsonl", curate_settings())
    assert not Path("no.jsonl").exists()


CHAT: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "Q 4111 1111 1111 1111", "name": "ann"},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"id": "1", **CALL}], "weight": 0},
        {"role": "tool", "content": "ok", "tool_call_id": "1"},
        {"role": "assistant", "content": "A cafÃ©", "thinking": "so", "weight": 1},
    ],
    "tools": [{"name": "light"}],
    "id": "r7",
    "label": "x",
}


def converted(fields: dict[str, Any], given: str, *steps: str) -> dict[str, Any]:
    Path("0.jsonl").write_text(json.dumps(fields) + "\n")
    for number, step in enumerate(steps):
        convert(Path(f"{number}.jsonl"), Path(f"{number + 1}.jsonl"), given, step, curate_settings())
        given = {"hosted_preference": "preference"}.get(step, step)
    found: dict[str, Any] = json.loads(Path(f"{len(steps)}.jsonl").read_text())
    return found


def test_conversion_changes_nothing_and_loses_nothing() -> None:
    assert converted(CHAT, "messages", "messages") == CHAT
    assert converted(CHAT, "messages", "sharegpt", "messages") == CHAT
    tools = {"prompt": "Q", "completion": "A", "tools": [{"name": "f"}], "id": 7}
    assert converted(tools, "jsonl", "alpaca", "sharegpt", "messages", "jsonl") == tools


@many_answers
def test_conversion_of_compared_and_judged_answers_loses_nothing() -> None:
    kto = {"prompt": PAIR[:1], "completion": PAIR[1:], "label": False, "id": "k"}
    assert converted(kto, "kto", "kto") == kto
    pair = {"prompt": PAIR[:1], "chosen": [PAIR[1], *PAIR], "rejected": [{"role": "assistant", "content": "B"}]}
    pair |= {"score_chosen": 2, "score_rejected": 1, "tools": [{"name": "f"}]}
    assert converted(pair, "preference", "preference") == pair
    assert converted(pair, "preference", "hosted_preference", "preference") == pair


@pytest.mark.parametrize(
    ("fields", "given", "wanted", "lost"),
    [
        (CHAT, "messages", "alpaca", "`name`, `thinking`"),
        ({"prompt": "Q", "completion": "bad", "label": False}, "kto", "messages", "`desirable`"),
        ({"prompt": "Q", "chosen": "a", "rejected": "b"}, "preference", "messages", "`rejected`"),
        ({"prompt": "Q", "completion": "A"}, "jsonl", "kto", "whether its answer is a good one"),
        ({"prompt": "Q", "completion": "A", "label": "x", "rejected": 1}, "jsonl", "preference", "`rejected`"),
    ],
)
@many_answers
def test_what_the_other_format_cannot_say_is_an_error(
    fields: dict[str, Any], given: str, wanted: str, lost: str
) -> None:
    with pytest.raises(ProjectError, match=lost):
        converted(fields, given, wanted)


def test_sharegpt_calls_are_turns_of_their_own_and_tools_are_text() -> None:
    turns = [
        *PAIR[:1],
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", **CALL}]},
        {"role": "tool", "content": "ok", "tool_call_id": "1"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [CALL, CALL | {"function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "ok"},
        {"role": "tool", "content": "ok"},
        *PAIR[1:],
    ]
    fields = {"messages": turns, "tools": [{"name": "light"}, {"name": "f"}]}
    found = converted(fields, "messages", "sharegpt")
    assert [turn["from"] for turn in found["conversations"]][:4] == ["human", *["function_call", "observation"] * 2][:4]
    assert json.loads(found["conversations"][1]["value"]) == {"id": "1", "name": "light", "arguments": {"on": True}}
    assert [call["name"] for call in json.loads(found["conversations"][3]["value"])] == ["light", "f"]
    assert json.loads(found["tools"]) == fields["tools"]
    assert converted(found, "sharegpt", "messages") == fields
    turns[1]["tool_calls"][0]["function"] = {"name": "light", "arguments": '{"on":true}'}  # its spacing is kept
    assert converted(fields, "messages", "sharegpt", "messages") == fields


def test_hosted_rows_have_an_id_at_every_call_and_result_and_nothing_else() -> None:
    calls = json.dumps([{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}])
    said = [("human", "Q"), ("function_call", calls), ("observation", "1"), ("observation", "2"), ("gpt", "A")]
    turns = [{"from": speaker, "value": text} for speaker, text in said]
    fields = {
        "conversations": turns,
        "tools": '[{"type": "function", "function": {"name": "f"}}, {"name": "g"}]',
        "id": 7,
    }
    row = converted(fields, "sharegpt", "hosted")
    assert row.keys() == {"messages", "tools"}
    assert [call["id"] for call in row["messages"][1]["tool_calls"]] == ["call_1_0", "call_1_1"]
    assert [turn.get("tool_call_id") for turn in row["messages"][2:]] == ["call_1_0", "call_1_1", None]
    assert converted(row, "messages", "sharegpt", "messages", "hosted") == row
    with pytest.raises(ProjectError, match="no place for `thinking`"):
        converted(CHAT, "messages", "hosted")


@many_answers
def test_preferences_go_to_the_hosted_form_and_back() -> None:
    before = record({"prompt": "Q", "chosen": "good", "rejected": "bad", "system": "S"}, "preference")
    assert record(WRITERS["hosted_preference"](before), "preference").id == before.id
    assert record(WRITERS["preference"](before), "preference").id == before.id
