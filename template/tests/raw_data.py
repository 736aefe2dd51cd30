"""Settings and small data files for the tests of the curate stage."""

import json
from pathlib import Path
from typing import Any

from pipeline.settings import AnomalySettings, CurateSettings, PrivateSettings, QualitySettings

ROOT = Path(__file__).parents[1]  # where `pipeline` is imported from

DEFAULTS: dict[str, Any] = {
    "path": "data/raw/requests.jsonl",
    "format": "jsonl",
    "group_key": None,
    "label_key": None,
    "min_answer_chars": 1,
    "max_chars": 2000,
    "languages": [],
    "anomalies": AnomalySettings("drop", "drop", "drop", "drop", "drop", "repair", "repair", "drop"),
    "quality": QualitySettings("report", "report", "report", "report"),
    "private": PrivateSettings("report", "report", "report", "redact", "redact", "redact", "redact"),
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
