"""Settings, small data files and runs for the tests of the curate stage."""

import json
from pathlib import Path
from typing import Any, TypeVar

import pytest

import engine
from engine.core.io import read_jsonl
from engine.core.params import Group
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.records import Record, RecordReader
from engine.settings.curate import AnomalySettings, CurateSettings, PrivateSettings, QualitySettings
from pipeline.curate import curate

Chosen = TypeVar("Chosen", bound=Group)
ROOT = Path(engine.__file__).parents[1]  # of the template, or of the project whose engine is tested

TRAIN, REJECTED = Path("data/curated/train.jsonl"), Path("data/curated/rejected.jsonl")
TEST, DEV, BENCHMARK = Path("data/eval/test.jsonl"), Path("data/eval/dev.jsonl"), Path("data/eval/benchmark.json")
PAIR = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
CALL = {"type": "function", "function": {"name": "light", "arguments": '{"on": true}'}}


_MANY_ANSWERS = ROOT / "engine/data/normalise/preferences.py"
many_answers = pytest.mark.skipif(not _MANY_ANSWERS.exists(), reason="the project reads supervised data only")


def positional(group: type[Chosen], *values: str) -> Chosen:
    """A group of knobs from the values of its first fields, in their order."""
    return group.model_validate(dict(zip(group.model_fields, values, strict=False)))


DEFAULTS: dict[str, Any] = {
    "path": "data/raw/requests.jsonl",
    "format": "jsonl",
    "group_key": None,
    "label_key": None,
    "min_answer_chars": 1,
    "max_chars": 2000,
    "languages": [],
    "anomalies": positional(AnomalySettings, "drop", "drop", "drop", "drop", "drop", "repair", "repair", "drop"),
    "quality": positional(QualitySettings, "report", "report", "report", "report"),
    "private": positional(PrivateSettings, "report", "report", "report", "redact", "redact", "redact", "redact"),
    "near_duplicate_threshold": 0.7,
    "near_duplicate_threshold_long": 0.5,
    "benchmarks": [],
    "contamination": "error",
    "test_items": 10,
    "dev_items": 5,
    "minimum_records": 0,
    "max_reject_fraction": 0.1,
    "benchmark_version": 1,
}

VOCABULARY = """
    amber bridge candle dragon engine forest garden hammer island jungle kettle ladder mirror needle orange pencil
    quartz river saddle tunnel umbrella violin window yellow zebra anchor basket copper desert eagle falcon glacier
"""
WORDS = VOCABULARY.split()


def curate_settings(**changes: Any) -> CurateSettings:
    """Settings of the stage, small enough for a test's data."""
    return CurateSettings(**(DEFAULTS | changes))


def distinct_row(number: int) -> dict[str, str]:
    """A record that is near no other one: four words, of which any two rows share few."""
    words = [WORDS[(number * step + number // len(WORDS) * 7 + step) % len(WORDS)] for step in (1, 3, 5, 11)]
    return {"prompt": f"{' '.join(words)} {number * 7919}", "completion": f"answer {number}"}


def rows(count: int) -> list[dict[str, str]]:
    """``count`` records, no two of them near."""
    return [distinct_row(number) for number in range(count)]


def write_raw(data: bytes | list[dict[str, Any]], path: str = DEFAULTS["path"]) -> Path:
    """Put raw data into the current folder."""
    if not isinstance(data, bytes):
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in data).encode()
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def run(data: bytes | list[dict[str, Any]], *, smoke: bool = False, **changes: Any) -> dict[str, Any]:
    """The stage's report on some raw data."""
    write_raw(data)
    return curate(curate_settings(**changes), smoke=smoke)


def prompts(path: Path) -> list[str]:
    """What the records of a file that the stage wrote ask."""
    return [row["messages"][-2]["content"] for row in read_jsonl(path)]


def reasons() -> list[tuple[int, str]]:
    """Line and reason of each record that was left out."""
    return [(row["line"], row["reason"]) for row in read_jsonl(REJECTED)]


def outputs() -> dict[str, bytes]:
    """The JSON files that the stage wrote."""
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*.json*")) if "raw" not in path.parts}


def record(fields: dict[str, Any], form: str, **changes: Any) -> Record:
    """A raw record in canonical form."""
    return RecordReader(curate_settings(format=form, **changes)).canonical(fields, line=1)


def reason(fields: dict[str, Any], form: str, **changes: Any) -> str:
    """Why a raw record is left out."""
    try:
        record(fields, form, **changes)
    except BadRecordError as bad:
        return f"{bad.reason}: {bad.detail}"
    raise AssertionError("the record is kept")


def said(record: Record) -> list[tuple[str, str]]:
    """Who says what in a record."""
    return [(turn.role, turn.content) for turn in record.messages]
