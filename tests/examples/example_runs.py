"""Build an example's data and curate it as its spec says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar

import yaml

from engine.core.params import Group
from engine.settings.curate import AnomalySettings, CurateSettings, PrivateSettings, QualitySettings
from pipeline.curate import curate

Chosen = TypeVar("Chosen", bound=Group)
EXAMPLES = Path(__file__).parents[2] / "examples"


def positional(group: type[Chosen], *values: str) -> Chosen:
    """A group of knobs from the values of its first fields, in their order."""
    return group.model_validate(dict(zip(group.model_fields, values, strict=False)))


def build(example: str, output: Path, *arguments: str, hash_seed: str = "0") -> list[dict[str, Any]]:
    """Run the example's script as the emitted project's first stage does. Returns the records."""
    command = [sys.executable, EXAMPLES / example / "build.py", "--output", output, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": hash_seed})
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def spec(example: str) -> dict[str, Any]:
    """The example's spec."""
    answers: dict[str, Any] = yaml.safe_load((EXAMPLES / example / "spec.yaml").read_text("utf-8"))
    return answers


def curated(example: str, *arguments: str) -> dict[str, Any]:
    """Build and curate the example in the current folder. Returns the data report."""
    answers = spec(example)
    build(example, Path(answers["data_path"]), *arguments)
    given = {key: answers[key] for key in ("group_key", "label_key", "test_items", "dev_items")}
    strict = {"max_reject_fraction": 0.0, "quality": positional(QualitySettings, *["drop"] * 4)}
    strict["private"] = positional(PrivateSettings, *["drop"] * 7)
    return curate(
        settings_for(path=answers["data_path"], format=answers["dataset_format"], **given, **strict), smoke=False
    )


def settings_for(**changes: Any) -> CurateSettings:
    """The settings that a project begins with."""
    defaults: dict[str, Any] = {
        "path": "data/raw/requests.jsonl",
        "format": "jsonl",
        "group_key": None,
        "label_key": None,
        "min_answer_chars": 1,
        "max_chars": 20_000,
        "languages": [],
        "anomalies": positional(AnomalySettings, "drop", "drop", "drop", "drop", "drop", "repair", "repair", "drop"),
        "quality": positional(QualitySettings, "report", "report", "report", "report"),
        "private": positional(PrivateSettings, "report", "report", "report", "redact", "redact", "redact", "redact"),
        "near_duplicate_threshold": 0.7,
        "near_duplicate_threshold_long": 0.5,
        "benchmarks": [],
        "contamination": "error",
        "test_items": 240,
        "dev_items": 64,
        "minimum_records": 50,
        "max_reject_fraction": 0.1,
        "benchmark_version": 1,
    }
    return CurateSettings(**(defaults | changes))
