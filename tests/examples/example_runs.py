"""Build an example's data and curate it as its spec says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from pipeline.curate import curate
from pipeline.settings import CurateSettings

EXAMPLES = Path(__file__).parents[2] / "examples"


def build(example: str, output: Path, *arguments: str, hash_seed: str = "0") -> list[dict[str, Any]]:
    """Run the example's script as the emitted project's first stage does. Returns the records."""
    command = [sys.executable, EXAMPLES / example / "build.py", "--output", output, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": hash_seed})
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def spec(example: str) -> dict[str, Any]:
    """The example's spec."""
    answers: dict[str, Any] = yaml.safe_load((EXAMPLES / example / "spec.yaml").read_text("utf-8"))
    return answers


def curated(example: str) -> dict[str, Any]:
    """Build and curate the example in the current folder. Returns the data report."""
    answers = spec(example)
    build(example, Path(answers["data_path"]))
    settings = CurateSettings(
        path=answers["data_path"],
        format=answers["dataset_format"],
        group_key=answers["group_key"],
        label_key=answers["label_key"],
        min_answer_chars=1,
        max_chars=20_000,
        near_duplicate_threshold=0.7,
        test_items=answers["test_items"],
        dev_items=answers["dev_items"],
        max_reject_fraction=0.0,
        benchmark_version=1,
    )
    return curate(settings, smoke=False)
