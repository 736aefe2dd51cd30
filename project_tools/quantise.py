"""Answers the benchmark at 16, 8 and 4 bits: what a smaller model in memory costs in quality and in speed.

``tunesmith tool quantise``, after the stage `tuned` (or `baseline`, if nothing is trained).
No stage: nothing that DVC tracks changes. `python -m pipeline.report` then shows the table.
"""

import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from engine.core.artifacts import MEASURED_QUANTISATION, TEST
from engine.core.device import Device, prepare
from engine.core.errors import run_stage
from engine.core.io import read_json, read_jsonl, write_json
from engine.core.params import load
from engine.evaluation.metrics import score_items, summarise
from engine.evaluation.statistics import paired_bootstrap
from engine.inference.arms import answer_items
from engine.inference.prompting import Policy, read_prompt
from engine.inference.results import Row
from engine.inference.transformers_backend import Bits, Generator
from engine.reporting.inputs import served_manifest
from engine.serving.artefact import artefact
from engine.settings.serve import ServeParams

WIDTHS: tuple[Bits, ...] = (16, 8, 4)


def main() -> None:
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it says at each product that it casts
    settings = load(ServeParams)
    device = prepare(settings.seed)
    folder, policy = subject(settings)
    answered: dict[str, list[Row]] = {}
    report: dict[str, Any] = {
        "manifest": read_json(served_manifest(settings)),
        "metric": settings.evaluate.primary_metric,
        "widths": {},
    }
    for bits in WIDTHS:
        answered[str(bits)], report["widths"][str(bits)] = measure(folder, policy, device, bits, settings)
    for width, rows in answered.items():
        report["widths"][width] |= quality(rows, answered["16"], settings)
    write_json(MEASURED_QUANTISATION, report)


def subject(settings: ServeParams) -> tuple[Path, Policy]:
    """The model that would be served and its prompt: the tuned one, or the untouched one."""
    arm, prompt = ("tuned", "system") if settings.trains else ("zero_shot", settings.evaluate.prompt)
    return artefact(arm, settings), Policy(read_prompt(prompt))


def measure(
    folder: Path, policy: Policy, device: Device, bits: Bits, settings: ServeParams
) -> tuple[list[Row], dict[str, Any]]:
    """Answers of one width, with the memory of the weights and the time that they took."""
    generator = Generator(folder, device, bits)
    gib = generator.model.get_memory_footprint() / 2**30
    with TemporaryDirectory() as unused:  # the prompts are those of the arm, which keeps them
        items = read_jsonl(TEST)
        rows, measured = answer_items(f"{bits}bit", generator, items, policy, settings.evaluate, Path(unused))
    print(f"{bits} bits: {gib:.2f} GiB of weights, {measured.requests_per_second:.2f} requests per second", flush=True)
    return rows, {"weights_gib": round(gib, 4), **msgspec.structs.asdict(measured)}


def quality(rows: list[Row], whole: list[Row], settings: ServeParams) -> dict[str, Any]:
    """The primary metric with its interval, and what was lost against 16 bits on the same items."""
    metric = settings.evaluate.primary_metric
    scores, before = (score_items(items, settings)[metric] for items in (rows, whole))
    groups = [row.group for row in rows]
    knobs = settings.evaluate
    change = paired_bootstrap(
        scores, before, samples=knobs.bootstrap_samples, seed=settings.seed, alpha=knobs.alpha, groups=groups
    )
    difference = {name: round(value, 6) for name, value in change._asdict().items()}
    return {"score": summarise(rows, settings)[metric], "difference": difference}


if __name__ == "__main__":
    sys.exit(run_stage(main))
