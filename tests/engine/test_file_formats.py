"""The containers around the records, told by their bytes, and the formats in them."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from raw_data import PAIR, curate_settings, record, said

from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.dataset_formats import READERS
from engine.data.normalise.records import RecordReader
from engine.data.normalise.strict_json import parse_object
from engine.data.read import file_formats
from engine.data.read.detect_format import detect
from engine.data.read.file_formats import checked_path, container, read_items
from project_tools.writers import WRITERS


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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

    @pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d"])
    @pytest.mark.parametrize(
        ("first", "form"),
        [
            (b"Question,Answer,Customer\n", "csv"),
            (b'"answer";"prompt"\r\n', "csv"),
            (b"messages\tkind\n", "tsv"),
        ],
    )
    def test_a_table_is_known_by_its_header_whatever_its_name(self, name: str, first: bytes, form: str) -> None:
        Path(name).write_bytes(first + b"a,b,c\n")
        assert container(Path(name)) == form

    @pytest.mark.parametrize("first", [b'"prompt": "a, b", "completion": "c"}', b"text, cut", b"prompt"])
    def test_a_broken_first_line_makes_no_table_of_json_lines(self, first: bytes) -> None:
        Path("d.jsonl").write_bytes(first + b"\n" + LINES)
        assert container(Path("d.jsonl")) == "jsonl"

    def test_faults_inside_an_array_have_line_and_byte(self) -> None:
        path = Path("array.json")
        path.write_text('[\n {"a": 1},\n {"a": NaN},\n 5,\n]')
        items = list(read_items(path, "json"))
        assert [(line, offset) for line, offset, _ in items] == [(2, 3), (3, 14), (4, 27), (5, 30)]
        assert path.read_bytes()[14:].startswith(b'{"a": NaN}')
        assert "a comma before the end of the array" in str(items[-1][2])

    def test_an_unclosed_quotation_mark_does_not_swallow_the_rest_unseen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_formats, "MAX_LINE_BYTES", 1000)
        for tail, what in ((', {"b": 1}' * 500 + "]", "ends inside a record"), ("y" * 2000, "not closed within")):
            Path("array.json").write_text('[{"a": "x}' + tail)
            with pytest.raises(ProjectError, match=what):
                list(read_items(Path("array.json"), "json"))

    def test_two_arrays_in_one_object_are_not_half_read(self) -> None:
        Path("two.json").write_text(json.dumps({"train": DATA, "test": DATA}))
        with pytest.raises(ProjectError, match="several arrays"):
            list(read_items(Path("two.json"), "json"))

    def test_a_line_too_long_is_one_reject_and_is_not_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_formats, "MAX_LINE_BYTES", 100)
        Path("long.jsonl").write_bytes(b'{"a":1}\n{"a":"' + b"x" * 1000 + b'"}\n{"a":2}\n')
        items = list(read_items(Path("long.jsonl"), "jsonl"))
        assert [line for line, _, _ in items] == [1, 2, 3]
        assert "1009 bytes of at most 100" in str(items[1][2])

    def test_a_decompression_bomb_is_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_formats, "_ALWAYS_ALLOWED", 1 << 20)
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
        monkeypatch.setattr(file_formats, "MAX_LINE_BYTES", 1000)
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
        with pytest.raises(ProjectError, match="has objects over several lines") as error:
            container(Path("d.json"))
        assert "jq -c . d.json" in str(error.value)

    def test_one_conversation_is_no_wrapper(self) -> None:
        Path("d.jsonl").write_text(json.dumps({"items": PAIR}) + "\n")
        assert container(Path("d.jsonl")) == "jsonl"

    @pytest.mark.parametrize(
        "wrapped",
        [
            {"status": "ok", "result": {"page": {"rows": DATA, "next": None}}, "ids": [1, 2]},
            {"meta": {"sets": [{"data": [{"a": 1}]}]}, "data": DATA, "info": {"data": [1]}},
        ],
    )
    def test_records_may_be_wrapped_more_than_once(self, wrapped: dict[str, Any]) -> None:
        Path("d.json").write_text(json.dumps(wrapped, indent=1))
        items = [parse_object(payload) for _, _, payload in read_items(Path("d.json"), container(Path("d.json")))]  # type: ignore[arg-type]
        assert items == DATA

    def test_a_record_that_holds_data_is_a_record(self) -> None:
        Path("d.jsonl").write_text(json.dumps({"prompt": "Q", "completion": "A", "meta": {"data": [{"a": 1}]}}))
        assert container(Path("d.jsonl")) == "jsonl"

    def test_an_object_without_records_is_not_called_empty(self) -> None:
        Path("d.json").write_text(json.dumps({"sets": [{"data": [{"a": 1}]}]}))
        with pytest.raises(ProjectError, match="no array of records"):
            list(read_items(Path("d.json"), container(Path("d.json"))))


class TestDetection:
    @pytest.mark.parametrize("name", ["alpaca", "jsonl", "messages", "sharegpt"])
    def test_what_was_written_in_a_format_is_recognised_with_its_evidence(self, name: str) -> None:
        Path("d.jsonl").write_text("".join(json.dumps(WRITERS[name](record(row, "messages"))) + "\n" for row in DATA))
        found = detect(Path("d.jsonl"), curate_settings())
        assert found.format == name
        assert f"5 of the first 5 records are `{name}`" in found.sentence()

    @pytest.mark.parametrize(
        ("name", "row"),
        [
            ("preference", {"prompt": "Q", "chosen": "a", "rejected": "b"}),
            ("preference", {"chosen": PAIR, "rejected": PAIR}),
            ("preference", {"instruction": "Q", "completions": [{"response": "a", "overall_score": 1}]}),
            ("preference", {"prompt": "Q", "responses": ["a", "b"], "ranks": [1, 2]}),
            ("kto", {"prompt": "Q", "completion": "A", "label": "true"}),
            ("kto", {"messages": PAIR, "kto_tag": False}),
            ("jsonl", {"prompt": "Q", "completion": "A", "label": "on"}),
            ("prompt_only", {"prompt": "Q", "label": 1}),
        ],
    )
    def test_data_with_many_answers_are_recognised_by_their_fields(self, name: str, row: dict[str, Any]) -> None:
        Path("d.jsonl").write_text(json.dumps(row) + "\n")
        assert f"1 of the first 1 records are `{name}`" in detect(Path("d.jsonl"), curate_settings()).sentence()

    def test_a_project_for_supervised_data_says_which_one_reads_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "engine.data.normalise.preferences", None)  # as if it were not there
        with pytest.raises(ProjectError, match="`dataset_format: kto` reads it, for the objectives kto"):
            RecordReader(curate_settings(format="kto"))
        Path("d.jsonl").write_text(json.dumps({"prompt": "Q", "chosen": "a", "rejected": "b"}) + "\n")
        assert detect(Path("d.jsonl"), curate_settings()).format == "preference"
        assert detect(Path("d.jsonl"), curate_settings(), READERS).format == "prompt_only"

    def test_one_faulty_answer_makes_no_record_a_prompt_alone(self) -> None:
        answers = ["fine", "also </s> fine", "good"]
        Path("d.jsonl").write_text("".join(json.dumps({"prompt": "Q", "completion": said}) + "\n" for said in answers))
        assert detect(Path("d.jsonl"), curate_settings()).sentence().startswith("2 of the first 3 records are `jsonl`")

    @pytest.mark.parametrize("row", ['{"messages": []}', '{"conversations": []}', '{"messages": [], "prompt": []}'])
    def test_a_record_without_turns_fits_no_format(self, row: str) -> None:
        Path("d.jsonl").write_text(f"{row}\n")
        assert detect(Path("d.jsonl"), curate_settings()).format is None

    def test_nothing_known_is_said_so(self) -> None:
        Path("d.jsonl").write_text('{"colour": "red"}\n')
        found = detect(Path("d.jsonl"), curate_settings())
        assert found.format is None and "`colour` in 1" in found.sentence()
