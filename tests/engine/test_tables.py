"""Tables: a cell is text, unless it lists turns, tools or answers; numbers and truth values are text, too."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from raw_data import PAIR, TRAIN, many_answers, record, rows, run, said

from engine.core.io import read_jsonl
from engine.data.check.reject_reasons import BadRecordError
from engine.data.read import file_formats
from engine.data.read.file_formats import container, read_items


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fields(**cells: str) -> dict[str, Any]:
    """A row of a table, as it is read."""
    with Path("t.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(cells))
        writer.writeheader()
        writer.writerow(cells)
    ((_, _, found),) = read_items(Path("t.csv"), "csv")
    assert isinstance(found, dict)
    return found


class TestRows:
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
        monkeypatch.setattr(file_formats, "MAX_LINE_BYTES", 100)
        Path("t.csv").write_text(f"prompt,completion\na,b\n{'x' * 1000},y\nc,d\n")
        before = csv.field_size_limit()
        items = list(read_items(Path("t.csv"), "csv"))
        assert [(line, type(payload)) for line, _, payload in items] == [(2, dict), (3, BadRecordError), (4, dict)]
        assert csv.field_size_limit() == before, "the interpreter's own, which other readers of tables need"

    def test_the_line_that_tells_excel_the_delimiter_is_no_header(self) -> None:
        Path("t.csv").write_text("sep=;\r\nprompt;completion\r\na,b;c\r\n", newline="")
        ((line, offset, found),) = read_items(Path("t.csv"), container(Path("t.csv")))
        assert (line, offset, found) == (3, 26, {"prompt": "a,b", "completion": "c"})

    def test_a_text_between_tabs_may_begin_with_a_quotation_mark(self) -> None:
        lines = ['"Hi", she said\thello\n', '"never closed\tyes\n', 'plain\t"quoted\ncell"\n', '"a\tb\tc\n']
        Path("t.tsv").write_text("prompt\tcompletion\n" + "".join(lines))
        items = list(read_items(Path("t.tsv"), container(Path("t.tsv"))))
        assert [payload for _, _, payload in items[:3]] == [
            {"prompt": '"Hi", she said', "completion": "hello"},
            {"prompt": '"never closed', "completion": "yes"},
            {"prompt": "plain", "completion": "quoted\ncell"},
        ]
        assert isinstance(items[3][2], BadRecordError) and [line for line, _, _ in items] == [2, 3, 4, 6]


class TestCells:
    @pytest.mark.parametrize(
        "answer", ['{"intent": "on", "slots": []}', '[{"name": "hall"}]', "[1, 2]", '{"role": "admin"}']
    )
    def test_an_answer_that_is_json_is_text(self, answer: str) -> None:
        row = fields(prompt="Q", completion=answer)
        assert said(record(row, "jsonl"))[1] == ("assistant", answer)

    def test_turns_may_be_written_by_json_python_or_numpy(self) -> None:
        numpy = "[" + "\n ".join(repr(turn) for turn in PAIR) + "]"
        for cell in (json.dumps(PAIR), repr(PAIR), numpy):
            assert said(record(fields(messages=cell), "messages")) == [("user", "Q"), ("assistant", "A")]

    @many_answers
    def test_answers_may_be_written_so_too(self) -> None:
        pair = fields(prompt="Q", chosen=json.dumps(PAIR[1:]), rejected=repr({"role": "assistant", "content": "B"}))
        assert said(record(pair, "preference")) == [("user", "Q"), ("assistant", "A")]

    def test_turns_in_a_text_of_json_lines_too(self) -> None:
        assert said(record({"messages": json.dumps(PAIR)}, "messages")) == [("user", "Q"), ("assistant", "A")]

    @pytest.mark.parametrize(("cell", "good"), [("True", True), ("false", False), ("1", True), ("0", False)])
    @many_answers
    def test_a_label_of_kto_is_read(self, cell: str, good: bool) -> None:
        assert record(fields(prompt="Q", completion="A", label=cell), "kto").desirable is good

    @pytest.mark.parametrize("label", ["maybe", "", 2, 1.5, None, [True]])
    @many_answers
    def test_another_label_is_refused(self, label: Any) -> None:
        with pytest.raises(BadRecordError, match="not a truth value"):
            record({"prompt": "Q", "completion": "A", "label": label}, "kto")

    @many_answers
    def test_scores_are_compared_as_numbers(self) -> None:
        pair = {"prompt": "Q", "chosen": "A", "rejected": "B"}
        record(fields(**pair, score_chosen="10", score_rejected="9"), "preference")
        with pytest.raises(BadRecordError, match="scores 9"):
            record(fields(**pair, score_chosen="9", score_rejected="10"), "preference")
        with pytest.raises(BadRecordError, match="not a number"):
            record(fields(**pair, score_chosen="good", score_rejected="10"), "preference")
        record({**pair, "score_chosen": float("nan"), "score_rejected": 1}, "preference")

    @many_answers
    def test_ranked_answers_are_read(self) -> None:
        found = record(fields(prompt="Q", responses=json.dumps(["B", "A"]), ranks="[2, 1]"), "preference")
        assert found.answer == "A" and found.rejected and found.rejected[0].content == "B"

    def test_an_empty_cell_is_no_group(self) -> None:
        data = [{**row, "doc": "", "kind": ""} for row in rows(60)]
        assert run(data, group_key="doc", label_key="kind")["labels"] == {}
        assert {(row["group"], row["label"]) for row in read_jsonl(TRAIN)} == {(None, None)}
