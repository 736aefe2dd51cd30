"""Reading raw data: what is a record, what is a fault, and where."""

import json
from pathlib import Path
from typing import Any

import pytest
from raw_data import curate_settings, write_raw

from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.records import Record, RecordReader, Rejected
from engine.data.normalise.strict_json import parse_object
from engine.data.read.file_formats import checked_path, container, read_items

GOOD = b'{"prompt":"hello there","completion":"hi"}\n'


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(data: bytes, path: str = "data/raw/requests.jsonl", **changes: Any) -> tuple[list[Record], list[Rejected]]:
    """Every record of a file, kept or rejected."""
    file = write_raw(data, path)
    reader = RecordReader(curate_settings(**changes))
    kept, rejected = [], []
    for line, offset, payload in read_items(file, container(file)):
        try:
            kept.append(reader.read(payload, line))
        except BadRecordError as bad:
            rejected.append(Rejected(path, line, offset, bad.reason, bad.detail))
    return kept, rejected


def canonical(fields: dict[str, Any], line: int = 1, **changes: Any) -> Record:
    return RecordReader(curate_settings(**changes)).canonical(fields, line)


def turns(fields: dict[str, Any], format: str) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in canonical(fields, format=format).messages]


def refused(fields: dict[str, Any], format: str) -> tuple[str, str]:
    with pytest.raises(BadRecordError) as bad:
        canonical(fields, format=format, max_chars=200)
    return bad.value.reason, bad.value.detail


@pytest.mark.parametrize(
    ("before", "fault", "after"),
    [
        pytest.param('{"a":"NaN, \\"NaN","b":[1,', "NaN", "]}", id="NaN"),
        pytest.param('{"a":"1e999","b":', "-1e999", "}", id="too large"),
        pytest.param('{"a":"' + "1" * 5000 + '","b":', "1" * 5000, "}", id="digits"),
        pytest.param('{"a":{"b":1,"c":"b","d":[{"b":1}]},"b":{"b":1,', r'"\u0062" :', "2} }", id="key"),
        pytest.param(r'{"a":"\ud83d\ude00 \\ud83d","b":"', r"\ud83d", 'x"}', id="first half"),
        pytest.param(r'{"a":"\ud83d\ude00', r"\ude00", '"}', id="second half"),
        pytest.param('{"caf\u00e9":1,\n\n "b":1,', '"b":', "2}", id="lines"),
    ],
)
def test_what_is_no_strict_json_has_its_column(before: str, fault: str, after: str) -> None:
    with pytest.raises(BadRecordError) as bad:
        parse_object(f"{before}{fault}{after}".encode())
    lines = before.split("\n")
    line = f"line {len(lines)} of the record, " if len(lines) > 1 else ""
    assert bad.value.detail.startswith(f"{line}column {len(lines[-1]) + 1}: ")


class TestFaultyLines:
    """One bad line never spoils its neighbours, and is never read as something that it does not say."""

    @pytest.mark.parametrize(
        ("line", "reason", "detail"),
        [
            pytest.param(b'{"prompt":"a","completion":"b"', "json", "column 31", id="truncated line"),
            pytest.param(b'{"prompt":"a","completion":"b",}', "json", "column 3", id="trailing comma"),
            pytest.param(b'{"prompt":"a","completion":NaN}', "json", "NaN is not JSON", id="NaN"),
            pytest.param(b'{"prompt":"a","completion":-Infinity}', "json", "-Infinity", id="infinity"),
            pytest.param(
                b'{"prompt":"a","prompt":"b","completion":"c"}', "json", "`prompt` occurs twice", id="key twice"
            ),
            pytest.param(b'{"prompt":"a","completion":"\\ud83d"}', "encoding", "lone surrogate", id="half an emoji"),
            pytest.param(b'{"prompt":"caf\xe9","completion":"b"}', "encoding", "column 15: byte 0xe9", id="latin-1"),
            pytest.param(b"[1, 2]", "schema", "a list, not an object", id="a list"),
            pytest.param(b'"text"', "schema", "text, not an object", id="a string"),
            pytest.param(b"null", "schema", "null, not an object", id="null"),
            pytest.param(b'{"prompt":1,"completion":"b"}', "schema", "`prompt` is a number", id="mixed types"),
            pytest.param(
                b'{"prompt":"a","completion":["b"]}',
                "schema",
                "`completion` has a part that is not text",
                id="a list of text",
            ),
            pytest.param(b'{"prompt":"a","completion":null}', "empty", "assistant turn is empty", id="null answer"),
            pytest.param(b'{"prompt":"a"}', "schema", "no field `completion`", id="no answer"),
            pytest.param(b'{"a":' + b"[" * 100_000, "json", "nested too deeply", id="nested too deeply"),
        ],
    )
    def test_is_rejected_with_its_place_and_reason(self, line: bytes, reason: str, detail: str) -> None:
        kept, (bad,) = read(GOOD + line + b"\n" + GOOD)

        assert [record.line for record in kept] == [1, 3]
        assert (bad.line, bad.byte_offset, bad.reason) == (2, len(GOOD), reason)
        assert detail in bad.detail

    def test_a_last_line_without_line_feed_is_a_line(self) -> None:
        assert len(read(GOOD + GOOD.rstrip())[0]) == 2

    def test_a_whole_emoji_written_as_escapes_is_text(self) -> None:
        assert read(b'{"prompt":"\\ud83d\\ude00 ok","completion":"b"}\n')[0][0].prompt == "\U0001f600 ok"


class TestFiles:
    def test_byte_order_mark_carriage_returns_and_blank_lines_are_no_fault(self) -> None:
        kept, rejected = read(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n") + b"\r\n\n" + GOOD.replace(b"\n", b"\r\n"))

        assert [record.line for record in kept] == [1, 4]
        assert rejected == []
        assert kept[0].answer == "hi"

    def test_a_line_separator_inside_a_text_ends_no_line(self) -> None:
        assert read('{"prompt":"one\u2028two","completion":"b"}\n'.encode())[0][0].prompt == "one\u2028two"

    def test_that_are_missing_are_named(self) -> None:
        with pytest.raises(ProjectError) as error:
            checked_path(Path("data/raw/none.jsonl"), Path())
        assert "data/raw/none.jsonl" in str(error.value) and "curate.path" in str(error.value)


class TestFormats:
    def test_prompt_and_completion_go_by_several_names(self) -> None:
        expected = [("user", "Q"), ("assistant", "A")]
        assert turns({"prompt": "Q", "completion": "A"}, "jsonl") == expected
        assert turns({"question": "Q", "answer": "A", "id": 7}, "jsonl") == expected
        assert turns({"input": "Q", "output": "A", "system": None}, "jsonl") == expected
        assert turns({"query": "Q", "response": "A", "system": "S"}, "jsonl") == [("system", "S"), *expected]

    def test_two_names_for_one_thing_are_ambiguous(self) -> None:
        assert refused({"prompt": "a", "question": "b", "completion": "c"}, "jsonl")[0] == "schema"
        assert "alpaca" in refused({"instruction": "a", "input": "b", "output": "c"}, "jsonl")[1]

    @pytest.mark.parametrize("nothing", [{}, {"input": ""}, {"input": None}])
    def test_alpaca_input_may_be_missing(self, nothing: dict[str, Any]) -> None:
        assert turns({"instruction": "Q", "output": "A"} | nothing, "alpaca") == [("user", "Q"), ("assistant", "A")]

    def test_alpaca_joins_instruction_and_input_after_the_history(self) -> None:
        fields = {"instruction": "Q", "input": "x", "response": "A", "history": [["q", "a"]], "system": "S"}
        roles_and_texts = [("system", "S"), ("user", "q"), ("assistant", "a"), ("user", "Q\nx"), ("assistant", "A")]
        assert turns(fields, "alpaca") == roles_and_texts

    def test_sharegpt_roles_and_keys_have_many_spellings(self) -> None:
        mixed = [{"from": "Human", "value": "Q"}, {"role": "GPT ", "text": "A"}]
        assert turns({"conversations": mixed, "system": "S"}, "sharegpt") == [
            ("system", "S"),
            ("user", "Q"),
            ("assistant", "A"),
        ]

    def test_messages_may_have_parts_and_a_developer(self) -> None:
        parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
        messages = [
            {"role": "developer", "content": "S"},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": "A"},
        ]
        assert turns({"messages": messages}, "messages") == [("system", "S"), ("user", "one two"), ("assistant", "A")]

    def test_the_same_record_in_four_formats_is_the_same_record(self) -> None:
        chat = [("user", "Q"), ("assistant", "A")]
        same = {
            "jsonl": {"prompt": "Q", "completion": "A"},
            "alpaca": {"instruction": "Q", "output": "A"},
            "sharegpt": {"conversations": [{"from": role, "value": text} for role, text in chat]},
            "messages": {"messages": [{"role": role, "content": text} for role, text in chat]},
        }
        ids = {canonical(fields, format=format).id for format, fields in same.items()}
        assert len(ids) == 1

    @pytest.mark.parametrize(
        ("chat", "detail"),
        [
            ("user", "no assistant turn"),
            ("", "no assistant turn"),
            ("user assistant user", "the last turn is the user's: no answer"),
            ("user user assistant", "turn 2: user, but assistant is expected"),
            ("assistant user assistant", "turn 1: assistant, but user is expected"),
            ("user system assistant", "turn 2: a system turn that is not the first one"),
            ("user tool assistant", "turn 2: tool, but assistant is expected"),
            ("user wizard", "role `wizard` is not known"),
        ],
    )
    def test_conversations_that_no_chat_template_can_render_are_refused(self, chat: str, detail: str) -> None:
        messages = [{"role": role, "content": "text"} for role in chat.split()]
        reason, said = refused({"messages": messages}, "messages")
        assert reason == "roles"
        assert detail in said

    @pytest.mark.parametrize("content", [None, "", "  \n", []])
    def test_an_answer_without_text_is_empty(self, content: Any) -> None:
        messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": content}]
        assert refused({"messages": messages}, "messages")[0] == "empty"

    def test_a_picture_is_no_text(self) -> None:
        messages = [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]
        assert refused({"messages": messages}, "messages") == ("schema", "field `content` has a part that is not text")

    def test_a_tool_call_is_refused_and_not_dropped(self) -> None:
        call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
        assert "tool call" in refused({"messages": [{"role": "user", "content": "Q"}, call]}, "messages")[1]

    def test_length_limits(self) -> None:
        assert refused({"prompt": "Q" * 300, "completion": "A"}, "jsonl")[0] == "too_long"
        with pytest.raises(BadRecordError) as bad:
            canonical({"prompt": "Q", "completion": "no"}, min_answer_chars=3)
        assert bad.value.reason == "too_short"


class TestTheShortWay:
    """Most records are two texts with nothing to fix; they are not led past all the checks."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"prompt": "turn on the light", "completion": "yes."},
            {"Label": "x", "answer": "Sorry, but I can't help.", "question": "why? " * 80, "label": "y"},
            {"prompt": "one\n\ttwo", "output": " echo of a text that is long ", "kind": {"a": 1}},
            {"prompt": "  ", "completion": "a"},
            {"prompt": "a", "completion": " "},
            {"prompt": "a", "completion": "caf\u00e9 \u200b"},
            {"prompt": "a", "completion": "mail x@y.org"},
            {"prompt": "a", "completion": "b", "system": "c"},
            {"prompt": "a", "completion": "b", "TOOLS": "[]"},
            {"prompt": "a", "completion": "b", "Prompt": "c"},
            {"prompt": "a", "completion": ["b"]},
            {"prompt": "a" * 100, "completion": "b" * 101},
        ],
    )
    def test_ends_where_the_long_way_ends(self, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        def ends() -> tuple[Any, ...]:
            reader = RecordReader(curate_settings(max_chars=200, languages=["en"]))
            try:
                return reader.canonical(fields, 7), reader.findings, reader.languages
            except BadRecordError as bad:
                return bad.reason, bad.detail, reader.findings, reader.languages

        found = ends()
        monkeypatch.setattr("engine.data.normalise.records.two_texts", lambda _: None)
        assert found == ends()

    def test_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.data.normalise.records.lower_keys", lambda _: pytest.fail("the long way"))
        assert canonical({"prompt": "a", "answer": "b", "n": 1}).answer == "b"


class TestLabelAndGroup:
    def fields(self, **extra: Any) -> dict[str, Any]:
        return {"prompt": "Q", "completion": "A"} | extra

    def test_come_from_the_keys_that_the_settings_name(self) -> None:
        keys = {"label_key": "kind", "group_key": "doc"}
        record = canonical(self.fields(kind="x", doc=12), **keys)
        assert (record.label, record.group) == ("x", "12")
        assert canonical(self.fields(kind=None, doc=True), **keys).label is None

    def test_a_misspelt_key_is_noticed(self) -> None:
        with pytest.raises(BadRecordError, match=r"`kind` \(curate.label_key\) is missing"):
            canonical(self.fields(Kind="x"), label_key="kind")

    def test_a_structure_is_no_label(self) -> None:
        with pytest.raises(BadRecordError, match="is an object, not text"):
            canonical(self.fields(kind={"a": 1}), label_key="kind")


def test_any_json_object_survives_the_strict_parser() -> None:
    value = {"a": [1, 2.5, None, True, {"b": 'ü \\ " \u2028'}], "": "x"}
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_object(json.dumps(value, ensure_ascii=False).encode()) == value
