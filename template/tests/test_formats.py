"""Every input format with its quirks, the containers around it, and conversion there and back."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_data import curate_settings, rows

from pipeline.convert import convert
from pipeline.curation import containers
from pipeline.curation.containers import checked_path, container, read_items
from pipeline.curation.detect import detect
from pipeline.curation.messages import Message
from pipeline.curation.reasons import BadRecordError
from pipeline.curation.records import Record, RecordReader
from pipeline.curation.writers import WRITERS
from pipeline.files import ProjectError
from pipeline.settings import AnomalySettings

REPAIR = AnomalySettings(*["repair"] * 8)  # type: ignore[arg-type]
PAIR = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
CALL = {"type": "function", "function": {"name": "light", "arguments": '{"on": true}'}}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def record(fields: dict[str, Any], form: str, **changes: Any) -> Record:
    return RecordReader(curate_settings(format=form, **changes)).canonical(fields, line=1)


def said(record: Record) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in record.messages]


def reason(fields: dict[str, Any], form: str, **changes: Any) -> str:
    with pytest.raises(BadRecordError) as bad:
        record(fields, form, **changes)
    return f"{bad.value.reason}: {bad.value.detail}"


class TestQuirks:
    def test_prompt_and_completion_may_be_turns(self) -> None:
        assert said(record({"prompt": PAIR[:1], "completion": PAIR[1:]}, "jsonl")) == [
            ("user", "Q"),
            ("assistant", "A"),
        ]

    def test_null_beside_a_synonym_counts_as_absent(self) -> None:
        """A table gives every record every column."""
        fields = {"prompt": None, "question": "Q", "answer": "A", "output": None, "instruction": None, "input": None}
        assert said(record(fields, "jsonl")) == [("user", "Q"), ("assistant", "A")]

    def test_a_tool_conversation_keeps_calls_and_tools_as_json_text(self) -> None:
        messages = [
            PAIR[0],
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "light", "arguments": {"on": True}}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "ok"},
            PAIR[1],
        ]
        found = record({"messages": messages, "tools": [{"name": "light"}]}, "messages")
        assert [turn.role for turn in found.messages] == ["user", "assistant", "tool", "assistant"]
        assert found.messages[1].tool_calls == [{"id": "1", **CALL}]
        assert found.tools == '[{"name": "light"}]'

    def test_sharegpt_calls_are_turns_of_their_own(self) -> None:
        turns = [
            {"from": "human", "value": "Q"},
            {"from": "function_call", "value": '{"name": "light", "arguments": {"on": true}}'},
            {"from": "observation", "value": "ok"},
            {"from": "gpt", "value": "A"},
        ]
        found = record({"conversations": turns}, "sharegpt")
        assert found.messages[1] == Message("assistant", "", tool_calls=[CALL])
        assert found.messages[2].role == "tool"

    def test_reasoning_is_kept_apart_from_the_answer(self) -> None:
        for turn in ({"content": "A", "reasoning_content": "hm"}, {"content": "<think>hm</think>\nA"}):
            found = record({"messages": [PAIR[0], {"role": "assistant", **turn}]}, "messages")
            assert found.messages[-1] == Message("assistant", "A", thinking="hm")

    def test_weight_and_name_are_kept_and_a_last_answer_of_weight_0_is_no_example(self) -> None:
        first = [{**PAIR[0], "name": "ann"}, {**PAIR[1], "weight": 0}]
        found = record({"messages": first + PAIR}, "messages")
        assert (found.messages[0].name, found.messages[1].weight) == ("ann", 0)
        assert "weight 0" in reason({"messages": [PAIR[0], {**PAIR[1], "weight": 0}]}, "messages")
        assert "`weight` is 0 or 1" in reason({"messages": [{**PAIR[0], "weight": 1}, PAIR[1]]}, "messages")

    @pytest.mark.parametrize(
        "text",
        [
            "### Human: Q\n### Assistant: A",
            "\n\nHuman: Q\n\nAssistant: A",
            "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>",
        ],
    )
    def test_a_conversation_may_be_written_as_one_text(self, text: str) -> None:
        assert said(record({"text": text}, "text")) == [("user", "Q"), ("assistant", "A")]

    @pytest.mark.parametrize("text", ["Once upon a time.", "Input: five apples\nResponse: a documented protocol"])
    def test_plain_text_is_one_text(self, text: str) -> None:
        assert said(record({"text": text}, "text")) == [("assistant", text)]

    @pytest.mark.parametrize("answer", ["Use this:\nInput: 5\n\nResponse: 6", "one\nHuman: two", "a\n\nUser: b"])
    def test_an_answer_may_hold_lines_that_look_like_turns(self, answer: str) -> None:
        text = f"\n\nHuman: Q\n\nAssistant: {answer}"
        assert said(record({"text": text}, "text")) == [("user", "Q"), ("assistant", answer)]

    def test_an_instruction_with_input_is_one_request(self) -> None:
        text = "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3"
        assert said(record({"text": text}, "text")) == [("user", "Add.\n1 2"), ("assistant", "3")]

    def test_keys_may_be_in_any_case(self) -> None:
        turns = [{"From": "human", "Value": "Q"}, {"FROM": "gpt", "Value": "A"}]
        assert said(record({"Conversations": turns}, "sharegpt")) == [("user", "Q"), ("assistant", "A")]
        assert said(record({"Question": "Q", "ANSWER": "A"}, "jsonl")) == [("user", "Q"), ("assistant", "A")]

    @pytest.mark.parametrize("part", [{"type": "output_text", "text": "A"}, {"type": "refusal", "refusal": "A"}])
    def test_parts_of_an_answer(self, part: dict[str, str]) -> None:
        answer = {"role": "assistant", "content": [part]}
        assert said(record({"messages": [PAIR[0], answer]}, "messages"))[-1] == ("assistant", "A")

    def test_a_system_prompt_is_never_lost(self) -> None:
        expected = [("system", "S"), ("user", "Q"), ("assistant", "A")]
        assert said(record({"prompt": "Q", "completion": "A", "system_prompt": "S"}, "jsonl")) == expected
        assert said(record({"system": "S", "messages": PAIR}, "messages")) == expected
        both = [{"role": "system", "content": "S"}, {"role": "developer", "content": "D"}, *PAIR]
        assert said(record({"messages": both}, "messages")) == [("system", "S\n\nD"), *expected[1:]]

    def test_a_context_is_never_lost(self) -> None:
        fields = {"instruction": "Q", "context": "C", "response": "A"}
        assert said(record(fields, "alpaca")) == [("user", "Q\nC"), ("assistant", "A")]
        assert "`context` is not read" in reason({"question": "Q", "context": "C", "answer": "A"}, "jsonl")


class TestAnomalies:
    @pytest.mark.parametrize(
        ("chat", "mended", "anomaly"),
        [
            ("user user assistant", "user assistant", "same_role"),
            ("user system assistant", "system user assistant", "system_not_first"),
            ("assistant user assistant", "user assistant", "leading_assistant"),
            ("user assistant user", "user assistant", "trailing_user"),
        ],
    )
    def test_order_is_mended_where_the_policy_says_so(self, chat: str, mended: str, anomaly: str) -> None:
        messages = [{"role": role, "content": f"{role} {place}"} for place, role in enumerate(chat.split())]
        reader = RecordReader(curate_settings(format="messages", anomalies=REPAIR))
        found = reader.canonical({"messages": messages}, line=1)
        assert [turn.role for turn in found.messages] == mended.split()
        assert [name for name, _ in reader.anomalies.mended] == [anomaly]
        assert reason({"messages": messages}, "messages").startswith("roles: ")

    def test_joined_turns_lose_no_text(self) -> None:
        messages = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}, PAIR[1]]
        assert record({"messages": messages}, "messages", anomalies=REPAIR).prompt == "one\n\ntwo"

    def test_a_policy_may_be_to_stop(self) -> None:
        stop = AnomalySettings(*["error"] * 8)  # type: ignore[arg-type]
        with pytest.raises(ProjectError, match="a record has an anomaly"):
            record({"prompt": 1, "completion": "A"}, "jsonl", anomalies=stop)

    def test_a_number_is_written_out_only_if_asked_for(self) -> None:
        assert record({"prompt": 12, "completion": True}, "jsonl", anomalies=REPAIR).prompt == "12"
        assert reason({"prompt": 12, "completion": "A"}, "jsonl").startswith("schema: field `prompt` is a number")


class TestPreferences:
    EXPECTED = (["user"], "good", "bad")

    @pytest.mark.parametrize(
        "fields",
        [
            {"prompt": "Q", "responses": ["bad", "good", "so so"], "ranks": [3, 1, 2]},
            {"prompt": "Q", "responses": ["bad", "good"], "scores": [0.1, 0.9]},
            {"prompt": "Q", "chosen": "good", "rejected": "bad"},
            {
                "chosen": [PAIR[0], {"role": "assistant", "content": "good"}],
                "rejected": [PAIR[0], {"role": "assistant", "content": "bad"}],
            },
            {
                "prompt": "Q",
                "score_chosen": 8.0,
                "score_rejected": 2.0,
                "chosen": [PAIR[0], {"role": "assistant", "content": "good"}],
                "rejected": [PAIR[0], {"role": "assistant", "content": "bad"}],
            },
            {
                "conversations": [{"from": "human", "value": "Q"}],
                "chosen": {"from": "gpt", "value": "good"},
                "rejected": {"from": "gpt", "value": "bad"},
            },
            {"instruction": "Q", "input": "", "chosen": "good", "rejected": "bad"},
            {"chosen": "\n\nHuman: Q\n\nAssistant: good", "rejected": "\n\nHuman: Q\n\nAssistant: bad"},
            {
                "input": {"messages": PAIR[:1]},
                "preferred_output": [{"role": "assistant", "content": "good"}],
                "non_preferred_output": [{"role": "assistant", "content": "bad"}],
            },
            {"messages": [PAIR[0], {"role": "assistant", "content": "good"}], "rejected_response": "bad"},
            {"question": "Q", "response_j": "good", "response_k": "bad"},
            {
                "instruction": "Q",
                "completions": [
                    {"response": "so so", "overall_score": 5},
                    {"response": "good", "overall_score": 9},
                    {"response": "bad", "overall_score": 1},
                ],
            },
        ],
        ids=[
            "ranks",
            "scores",
            "explicit",
            "implicit",
            "H4",
            "sharegpt",
            "alpaca",
            "HH",
            "hosted",
            "ms-swift",
            "exchange",
            "ranked",
        ],
    )
    def test_every_shape_is_a_prompt_and_two_answers(self, fields: dict[str, Any]) -> None:
        found = record(fields, "preference")
        assert said(found) == [("user", "Q"), ("assistant", "good")]
        assert found.rejected and found.rejected[-1].content == "bad"

    @pytest.mark.parametrize(
        ("change", "detail"),
        [
            ({"rejected": " good"}, "are the same"),
            ({"score_chosen": 1, "score_rejected": 1}, "a tie"),
            ({"score_chosen": 1, "score_rejected": 2}, "scores 1.0, the rejected one 2.0"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, change: dict[str, Any], detail: str) -> None:
        assert detail in reason({"prompt": "Q", "chosen": "good", "rejected": "bad"} | change, "preference")

    def test_answers_to_different_prompts_are_refused(self) -> None:
        other = [{"role": "user", "content": "other"}, PAIR[1]]
        assert "same prompt" in reason({"chosen": PAIR, "rejected": other}, "preference")

    def test_a_prompt_that_contradicts_the_answers_is_refused(self) -> None:
        pair = {"chosen": PAIR, "rejected": [PAIR[0], {"role": "assistant", "content": "B"}]}
        assert "`prompt` is not the prompt" in reason({"prompt": "OTHER", **pair}, "preference")
        found = record({"prompt": [{"role": "system", "content": "S"}, PAIR[0]], **pair}, "preference")
        assert said(found) == [("system", "S"), ("user", "Q"), ("assistant", "A")]

    def test_the_rejected_answer_has_a_longest_length_too(self) -> None:
        fields = {"prompt": "Q", "chosen": "good", "rejected": "bad " * 999}
        assert reason(fields, "preference").startswith("too_long")

    def test_kto_and_prompts_alone(self) -> None:
        found = record({"prompt": "Q", "completion": "A", "label": False}, "kto")
        assert (found.desirable, found.answer) == (False, "A")
        assert record({"messages": PAIR, "kto_tag": True}, "kto").desirable is True
        assert "not a truth value" in reason({"prompt": "Q", "completion": "A", "label": "yes"}, "kto")
        assert said(record({"prompt": "Q", "reference_answer": "A"}, "prompt_only")) == [
            ("user", "Q"),
            ("assistant", "A"),
        ]
        assert said(record({"messages": PAIR[:1]}, "prompt_only")) == [("user", "Q")]


DATA: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f"Q {n},\n\u2028ü"}, PAIR[1]]} for n in range(5)
]
LINES = "".join(json.dumps(row) + "\n" for row in DATA).encode()


def write_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(DATA), path)


def write_arrow(path: Path) -> None:
    table = pyarrow.Table.from_pylist(DATA)
    with pyarrow.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


def write_arrow_file(path: Path) -> None:
    table = pyarrow.Table.from_pylist(DATA)
    with pyarrow.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def write_tsv(path: Path) -> None:
    cells = [json.dumps(row["messages"]).replace('"', '""') for row in DATA]
    path.write_text("id\tmessages\n" + "".join(f'{n}\t"{cell}"\n' for n, cell in enumerate(cells)))


def write_csv(path: Path) -> None:
    cells = [str(row["messages"]).replace('"', '""') for row in DATA]  # as pandas writes Python lists
    path.write_text(
        "\ufeffid;messages\r\n" + "".join(f'{n};"{cell}"\r\n' for n, cell in enumerate(cells)), "utf-8", newline=""
    )


WRITTEN: dict[str, Callable[[Path], object]] = {
    "jsonl": lambda path: path.write_bytes(b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n")),
    "json": lambda path: path.write_text(json.dumps(DATA, indent=1)),
    "json wrapped": lambda path: path.write_text(json.dumps({"version": [1, 2], "data": DATA})),
    "jsonl gzip": lambda path: path.write_bytes(gzip.compress(LINES)),
    "jsonl zstd": lambda path: path.write_bytes(zstandard.compress(LINES)),
    "csv": write_csv,
    "json gzip": lambda path: path.write_bytes(gzip.compress(json.dumps(DATA).encode())),
    "json zstd": lambda path: path.write_bytes(zstandard.compress(json.dumps({"rows": DATA}).encode())),
    "tsv": write_tsv,
    "tsv gzip": lambda path: (write_tsv(path), path.write_bytes(gzip.compress(path.read_bytes()))),
    "parquet": write_parquet,
    "arrow": write_arrow,
    "arrow file": write_arrow_file,
}


class TestContainers:
    @pytest.mark.parametrize("name", WRITTEN)
    def test_the_bytes_tell_the_container_and_the_records_are_the_same(self, name: str) -> None:
        path = Path("data.csv" if name == "csv" else "data.bin")  # a misleading name
        WRITTEN[name](path)
        form = container(path)
        assert form == name.split()[0]
        reader = RecordReader(curate_settings(format="messages"))
        found = [reader.read(payload, line) for line, _, payload in read_items(path, form)]
        expected = [record(fields, "messages") for fields in DATA]
        assert [item.id for item in found] == [item.id for item in expected]

    def test_a_root_list_of_turns_is_a_conversation(self) -> None:
        turns = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
        Path("list.json").write_text(json.dumps([turns, turns]))
        reader = RecordReader(curate_settings(format="sharegpt"))
        items = list(read_items(Path("list.json"), container(Path("list.json"))))
        assert [said(reader.read(payload, line)) for line, _, payload in items] == [
            [("user", "Q"), ("assistant", "A")]
        ] * 2

    def test_faults_inside_an_array_have_line_and_byte(self) -> None:
        path = Path("array.json")
        path.write_text('[\n {"a": 1},\n {"a": NaN},\n 5,\n]')
        items = list(read_items(path, "json"))
        assert [(line, offset) for line, offset, _ in items] == [(2, 3), (3, 14), (4, 27), (5, 30)]
        assert path.read_bytes()[14:].startswith(b'{"a": NaN}')
        assert "a comma before the end of the array" in str(items[-1][2])

    def test_an_unclosed_quotation_mark_does_not_swallow_the_rest_unseen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(containers, "MAX_LINE_BYTES", 1000)
        for tail, what in ((', {"b": 1}' * 500 + "]", "ends inside a record"), ("y" * 2000, "not closed within")):
            Path("array.json").write_text('[{"a": "x}' + tail)
            with pytest.raises(ProjectError, match=what):
                list(read_items(Path("array.json"), "json"))

    def test_two_arrays_in_one_object_are_not_half_read(self) -> None:
        Path("two.json").write_text(json.dumps({"train": DATA, "test": DATA}))
        with pytest.raises(ProjectError, match="several arrays"):
            list(read_items(Path("two.json"), "json"))

    def test_a_line_too_long_is_one_reject_and_is_not_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(containers, "MAX_LINE_BYTES", 100)
        Path("long.jsonl").write_bytes(b'{"a":1}\n{"a":"' + b"x" * 1000 + b'"}\n{"a":2}\n')
        items = list(read_items(Path("long.jsonl"), "jsonl"))
        assert [line for line, _, _ in items] == [1, 2, 3]
        assert "1009 bytes of at most 100" in str(items[1][2])

    def test_a_decompression_bomb_is_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(containers, "_ALWAYS_ALLOWED", 1 << 20)
        for bomb in (gzip.compress(b"\n" * 9_000_000), zstandard.compress(b"\n" * 9_000_000)):
            Path("bomb").write_bytes(bomb)
            with pytest.raises(ProjectError, match="expands to more than"):
                list(read_items(Path("bomb"), "jsonl"))

    def test_a_damaged_archive_is_one_error(self) -> None:
        for name, data in (("a.gz", gzip.compress(LINES * 90)), ("a.zst", zstandard.compress(LINES * 90))):
            Path(name).write_bytes(data[: len(data) // 2] + b"\xff" * 9)
            with pytest.raises(ProjectError, match="damaged"):
                list(read_items(Path(name), "jsonl"))

    @pytest.mark.parametrize(
        ("data", "what"), [(b"PK\x03\x04zip", "zip"), (b"\xff\xfe{\x00", "UTF-16"), (b"BZh9", "bzip2")]
    )
    def test_what_is_not_read_here_is_named(self, data: bytes, what: str) -> None:
        Path("data.jsonl").write_bytes(data)
        with pytest.raises(ProjectError, match=what):
            container(Path("data.jsonl"))

    def test_a_link_out_of_the_project_is_refused(self, tmp_path: Path) -> None:
        root = tmp_path / "project"
        root.mkdir()
        (tmp_path / "secret.jsonl").write_bytes(LINES)
        (root / "data.jsonl").symlink_to(tmp_path / "secret.jsonl")
        with pytest.raises(ProjectError, match="outside the project"):
            checked_path(root / "data.jsonl", root)

    @pytest.mark.parametrize("named", ["../../cache", "cache", None])
    def test_a_link_into_the_cache_of_dvc_is_followed(self, tmp_path: Path, named: str | None) -> None:
        root, cache = tmp_path / "project", tmp_path / "cache"
        for folder in (root / ".dvc", cache):
            folder.mkdir(parents=True)
        (cache / "ab").write_bytes(LINES)
        where = str(cache) if named == "cache" else named
        (root / ".dvc/config").write_text(f"[cache]\n    dir = {where}\n    type = symlink\n" if where else "[core]\n")
        (root / "data.jsonl").symlink_to(cache / "ab")
        if where:
            assert checked_path(root / "data.jsonl", root) == root / "data.jsonl"
        else:
            with pytest.raises(ProjectError, match="outside the project"):
                checked_path(root / "data.jsonl", root)

    def test_a_parquet_bomb_is_read_in_little_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 300, pyarrow.int32()), ["x" * (1 << 19)])
        table = pyarrow.table({"prompt": text, "completion": ["b"] * 300})
        pyarrow.parquet.write_table(table, "bomb.parquet", compression="zstd")
        assert Path("bomb.parquet").stat().st_size < 10_000
        pyarrow.set_memory_pool(pool := pyarrow.system_memory_pool())
        items = read_items(Path("bomb.parquet"), "parquet")
        assert sum(len(payload["prompt"]) for _, _, payload in items if isinstance(payload, dict)) == 300 << 19
        assert pool.max_memory() < 120 << 20
        monkeypatch.setattr(containers, "MAX_LINE_BYTES", 1000)
        items = read_items(Path("bomb.parquet"), "parquet")
        assert {str(payload)[:8] for _, _, payload in items} == {"a row of"}

    def test_a_text_that_is_not_utf8_costs_its_row_and_damage_elsewhere_the_file(self) -> None:
        table = pyarrow.Table.from_pylist([{"prompt": f"ask {n}", "completion": f"say {n}"} for n in range(3)])
        for new in (pyarrow.ipc.new_file, pyarrow.ipc.new_stream):
            with new("t.arrow", table.schema) as writer:
                writer.write_table(table)
            data = Path("t.arrow").read_bytes()
            Path("t.arrow").write_bytes(data.replace(b"ask 1", b"ask \xff"))
            found = [payload for _, _, payload in read_items(Path("t.arrow"), "arrow")]
            assert [type(payload) for payload in found] == [dict, BadRecordError, dict]
            offsets = bytes([0, 0, 0, 0, 5, 0, 0, 0, 10, 0, 0, 0, 15])
            Path("t.arrow").write_bytes(data.replace(offsets, bytes([0, 0, 0, 0, 5, 0, 0, 128, 10, 0, 0, 0, 15]), 1))
            with pytest.raises(ProjectError, match="damaged"):
                list(read_items(Path("t.arrow"), "arrow"))

    def test_objects_over_several_lines_are_named(self) -> None:
        Path("d.json").write_text("\n".join(json.dumps(row, indent=1) for row in DATA))
        with pytest.raises(ProjectError, match="stretch over several lines") as error:
            container(Path("d.json"))
        assert "jq -c . d.json" in str(error.value)

    def test_one_conversation_is_no_wrapper(self) -> None:
        Path("d.jsonl").write_text(json.dumps({"items": PAIR}) + "\n")
        assert container(Path("d.jsonl")) == "jsonl"

    def test_table_rows_that_do_not_fit_are_rejected_and_formulas_are_text(self) -> None:
        table = 'prompt,completion\n"=cmd|\' /C calc\'!A0",ok\na,b,c\ncaf\udce9,x\n"two\nlines",y\n'
        Path("t.csv").write_bytes(table.encode("utf-8", "surrogateescape"))
        items = list(read_items(Path("t.csv"), container(Path("t.csv"))))
        assert items[0][2] == {"prompt": "=cmd|' /C calc'!A0", "completion": "ok"}
        assert [type(payload) for _, _, payload in items] == [dict, BadRecordError, BadRecordError, dict]
        assert [line for line, _, _ in items] == [2, 3, 4, 5]

    @pytest.mark.parametrize("tail", ["", '"quoted, and well",yes\n', 'x,""\n', '",",",",x\n'])
    def test_a_quotation_mark_that_is_never_closed_costs_its_own_line_only(self, tail: str) -> None:
        lines = [f"ask {n},say {n}\n" for n in range(2000)]
        lines[1000] = '"' + lines[1000]
        Path("t.csv").write_text("prompt,completion\n" + "".join(lines) + tail)
        items = list(read_items(Path("t.csv"), "csv"))
        good = [line for line, _, payload in items if isinstance(payload, dict)]
        assert len(items) == 2000 + bool(tail)
        assert good[:1999] == [*range(2, 1002), *range(1003, 2002)]
        data = Path("t.csv").read_bytes()
        assert all(data[offset or 0 :].startswith(lines[line - 2].encode()) for line, offset, _ in items[:2000])

    def test_a_line_of_a_table_that_is_too_long_is_one_reject(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(containers, "MAX_LINE_BYTES", 100)
        Path("t.csv").write_text(f"prompt,completion\na,b\n{'x' * 1000},y\nc,d\n")
        items = list(read_items(Path("t.csv"), "csv"))
        assert [(line, type(payload)) for line, _, payload in items] == [(2, dict), (3, BadRecordError), (4, dict)]


class TestDetection:
    @pytest.mark.parametrize("name", ["alpaca", "jsonl", "messages", "sharegpt"])
    def test_what_was_written_in_a_format_is_recognised_with_its_evidence(self, name: str) -> None:
        Path("d.jsonl").write_text("".join(json.dumps(WRITERS[name](record(row, "messages"))) + "\n" for row in DATA))
        found = detect(Path("d.jsonl"), curate_settings())
        assert found.format == name
        assert f"5 of the first 5 records are `{name}`" in found.sentence()

    def test_nothing_known_is_said_so(self) -> None:
        Path("d.jsonl").write_text('{"colour": "red"}\n')
        found = detect(Path("d.jsonl"), curate_settings())
        assert found.format is None and "`colour` in 1" in found.sentence()


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn"]), min_size=1, max_size=20)
SAID = TEXT.filter(lambda text: text.strip() and "<" not in text and "[" not in text)


@settings(deadline=None, max_examples=40)
@given(st.lists(SAID, min_size=2, max_size=6).filter(lambda said: len(said) % 2 == 0), st.one_of(st.just(""), SAID))
@pytest.mark.parametrize("form", ["alpaca", "sharegpt", "messages"])
def test_a_record_survives_conversion_there_and_back(form: str, said: list[str], system: str) -> None:
    reader = RecordReader(curate_settings(format="messages", anomalies=AnomalySettings(*["keep"] * 8)))  # type: ignore[arg-type]
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
def test_what_the_other_format_cannot_say_is_an_error(
    fields: dict[str, Any], given: str, wanted: str, lost: str
) -> None:
    with pytest.raises(ProjectError, match=lost):
        converted(fields, given, wanted)


def test_preferences_go_to_the_hosted_form_and_back() -> None:
    before = record({"prompt": "Q", "chosen": "good", "rejected": "bad", "system": "S"}, "preference")
    assert record(WRITERS["hosted_preference"](before), "preference").id == before.id
    assert record(WRITERS["preference"](before), "preference").id == before.id
