"""Data that people published, as they published them: see real/SOURCE.md for packages and licences."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from example_runs import positional, settings_for

from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.records import Record, RecordReader
from engine.data.read.detect_format import detect
from engine.data.read.file_formats import container, read_items
from engine.settings.curate import AnomalySettings
from pipeline.curate import curate

REAL = Path(__file__).parent / "real"


def records(name: str, **changes: Any) -> tuple[list[Record], list[str], RecordReader]:
    reader = RecordReader(settings_for(**changes))
    kept, reasons = [], []
    for line, _, payload in read_items(REAL / name, container(REAL / name)):
        try:
            kept.append(reader.read(payload, line))
        except BadRecordError as bad:
            reasons.append(bad.reason)
    return kept, reasons, reader


def test_the_same_published_records_in_two_formats_are_the_same_records() -> None:
    alpaca, _, _ = records("faq-en-alpaca.jsonl", format="alpaca")
    sharegpt, _, _ = records("faq-en-sharegpt.jsonl", format="sharegpt")
    assert len(alpaca) == 60
    assert [record.id for record in alpaca] == [record.id for record in sharegpt]


@pytest.mark.parametrize(
    ("name", "form"),
    [("faq-en-alpaca.jsonl", "alpaca"), ("faq-en-sharegpt.jsonl", "sharegpt"), ("tech-support.jsonl.gz", "jsonl")],
)
def test_the_format_is_recognised(name: str, form: str) -> None:
    assert detect(REAL / name, settings_for()).format == form


def test_a_published_file_of_a_thousand_pairs_holds_ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(REAL / "tech-support.jsonl.gz", "data.gz")
    with pytest.raises(ProjectError, match="10 good examples of 1050 are too few"):
        curate(settings_for(path="data.gz"), smoke=False)


def test_people_who_write_twice_in_a_row_are_joined_or_left_out() -> None:
    kept, reasons, _ = records("chitchat.jsonl", format="messages")
    assert len(kept) + len(reasons) == 20
    repair = positional(AnomalySettings, *["repair"] * 8)
    repaired, left, _ = records("chitchat.jsonl", format="messages", anomalies=repair)
    assert len(repaired) > len(kept) and len(repaired) + len(left) == 20
    source = json.loads((REAL / "chitchat.jsonl").read_text("utf-8").splitlines()[0])
    said = " ".join(turn.content for turn in repaired[0].messages).split()
    assert said == " ".join(turn["content"] for turn in source["messages"]).split()[: len(said)]
