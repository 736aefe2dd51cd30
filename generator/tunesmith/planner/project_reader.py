"""What to plan: a spec's answers, or a generated project as its params.yaml, counts and measurements say it is."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunesmith import catalog
from tunesmith.catalog import Catalogue
from tunesmith.errors import FileProblem, nearest
from tunesmith.planner.plan import Measured
from tunesmith.questions import MACHINE, defaults
from tunesmith.spec import value_problems

PARAMS = Path("params.yaml")
ANSWERS = Path(".copier-answers.yml")
PRICES = Path("prices.yaml")
COUNTED = Path("reports/format.json")
RUNS = (Path("reports/measured/train.json"), Path("reports/measured/calibration.json"))  # the whole run first


@dataclass(frozen=True)
class Project:
    """A generated project, read: what `planner.plan.plan` takes, and notes on what was left aside."""

    catalogue: Catalogue
    answers: Mapping[str, Any]
    pins: Mapping[str, Any]
    counted: Mapping[str, Any] | None
    measured: Measured | None
    notes: tuple[str, ...] = ()
    prices: Path | None = None  # the project's own list


def project(folder: Path) -> Project:
    """Read a project. params.yaml is the truth for what runs; every knob in it counts as pinned.

    Raises:
        FileProblem: there is no params.yaml, or it does not name what a plan needs.
    """
    path = folder / PARAMS
    params = _mapping(path)
    recorded = _read_answers(folder)
    catalogue = catalog.load(recorded.get(MACHINE))
    try:
        answers, pins = _from_params(catalogue, folder, params)
    except (KeyError, TypeError, ValueError) as error:
        raise FileProblem(
            path, f"{error} is missing or invalid", "plan needs the params.yaml of a generated project"
        ) from None
    checked = ("max_length", "evaluation_batch_size", "sharding", *_TRAIN_KNOBS)
    for fault in (fault for key in checked if key in pins for fault in value_problems(catalogue, key, pins[key])):
        raise FileProblem(path, str(fault), "fix that line")
    if answers["hardware"] not in catalogue.hardware:
        close = nearest(str(answers["hardware"]), catalogue.hardware)
        raise FileProblem(
            path, f"cost.hardware: {answers['hardware']!r} is not known", f"did you mean {close or 'cpu'}?"
        )
    smoke = bool(params.get("smoke"))
    measured, notes = (None, ()) if smoke or "train" not in params else _measured(catalogue, folder, params)
    counted = None if smoke else (_json(folder / COUNTED) or {}).get("train")
    own = folder / PRICES
    return Project(catalogue, answers, pins, counted, measured, notes, own if own.is_file() else None)


def _from_params(
    catalogue: Catalogue, folder: Path, params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Answers and pins that params.yaml stands for; what it does not hold is as recorded when it was generated."""
    model, evaluate, retrieval = params["model"], params["evaluate"], params.get("retrieval")
    pins = {
        "model_source": model["source"],
        "model_id": model["id"],
        "model_file": model.get("file") or "",
        "model_revision": model.get("revision") or "",
        "evaluation_batch_size": int(evaluate["batch_size"]),
    }
    answers = {
        "approach": "rag" if retrieval else "prompting",
        "model": model["name"] if model["name"] in catalogue.models else "custom",
        "hardware": params["cost"]["hardware"],
        "data_path": str(params["curate"]["path"]),
        "dataset_format": str(params["curate"]["format"]),
        "max_new_tokens": int(evaluate["max_new_tokens"]),
        "shots": max(evaluate["shots"]),
        **{key: params["cost"][key] for key in _COST_ANSWERS if key in params["cost"]},
        **_prompts(folder, str(evaluate["prompt"])),
    }
    if retrieval:
        answers |= {"with_knowledge": True, **{key: retrieval[key] for key in ("passages", "chunk_words")}}
    if "train" in params or "format" in params:
        train, form = params["train"], params["format"]
        answers |= {
            "approach": "rag_finetune" if form.get("with_passages") else "finetune",
            "method": train["method"],
            "devices": train.get("devices", 1),
        }
        pins |= {
            "max_length": int(form["max_length"]),
            "lora_targets": _targets(train["target_modules"]),
            "sharding": train.get("sharding", "none"),
            **{key: train[key] for key in _TRAIN_KNOBS},
        }
    return defaults() | _recorded(catalogue, folder) | answers, pins


def _recorded(catalogue: Catalogue, folder: Path) -> dict[str, Any]:
    """Answers that no line of params.yaml holds: tokens of a request, whether data may leave."""
    return {
        key: value
        for key, value in _read_answers(folder).items()
        if key in defaults() and not value_problems(catalogue, key, value)
    }


def _read_answers(folder: Path) -> dict[str, Any]:
    path = folder / ANSWERS
    return _mapping(path) if path.is_file() else {}


def _prompts(folder: Path, prompted: str) -> dict[str, str]:
    """The instructions that every request carries, as the project has them now."""
    files = {"prompted_system_prompt": prompted, "system_prompt": "system"}
    paths = {key: folder / "prompts" / f"{name}.txt" for key, name in files.items()}
    return {key: path.read_text("utf-8") for key, path in paths.items() if path.is_file()}


_COST_ANSWERS = ("monthly_requests", "hosted_model", "retrainings_per_year", "staff_usd_per_month")
_TRAIN_KNOBS = (
    "lora_rank",
    "max_steps",
    "micro_batch_size",
    "gradient_accumulation_steps",
    "compute_dtype",
    "activation_checkpointing",
    "attention_implementation",
    "optimizer",
)


def _targets(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def calibration(path: Path) -> Measured:
    """A short run from a file with the fields of a project's reports/measured/train.json.

    Raises:
        FileProblem: it cannot be read, or has no tokens_per_second.
    """
    record = _json(path)
    speed = (record or {}).get("tokens_per_second")
    if not isinstance(speed, (int, float)) or isinstance(speed, bool) or not 0 < speed < math.inf:
        fix = "a JSON object with tokens_per_second above 0, as a project's reports/measured/train.json has it"
        raise FileProblem(path, "has no tokens_per_second", fix)
    return Measured(float(speed), float((record or {}).get("peak_memory_gib") or 0), str(path))


def _measured(catalogue: Catalogue, folder: Path, params: Mapping[str, Any]) -> tuple[Measured | None, tuple[str, ...]]:
    """The whole run, or the calibration, of the very setup that params.yaml names; a note on each other one."""
    notes = []
    for path in (folder / run for run in RUNS):
        record = _json(path)
        if not record:
            continue
        if reason := _differs(catalogue, record, params):
            notes.append(f"{path}: {reason}; not used")
            continue
        return calibration(path), tuple(notes)
    return None, tuple(notes)


def _differs(catalogue: Catalogue, record: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """In what a run is not the one that is planned; empty where it is."""
    setup = record.get("setup")
    if not isinstance(setup, dict):
        return "does not state the measured setup"
    model = params["model"]
    planned = {
        "devices": 1,
        "sharding": "none",
        **params["train"],
        "smoke": bool(params.get("smoke")),
        "hardware": params["cost"]["hardware"],
        "model": [model["source"], model["id"], model.get("revision")],
        "max_length": params["format"]["max_length"],
    }
    for key, value in setup.items():
        if planned.get(key) != value:
            return f"measured with {key}: {value}, planned with {planned.get(key)}"
    device = str(record.get("device", ""))
    machine = catalogue.hardware[planned["hardware"]]
    if (record.get("device_kind") == "cpu") != machine.cpu or not (machine.cpu or _named(machine.key, device)):
        return f"measured on {device or 'an unnamed device'}, planned for {machine.title}"
    return ""


def _named(key: str, device: str) -> bool:
    """Whether torch's name of a device (NVIDIA A100-SXM4-80GB) is that of a row of the catalogue (a100_80gb)."""
    word = key.removeprefix("rtx_").split("_")[0]
    return word in re.split(r"[^a-z0-9]+", device.lower())


def _json(path: Path) -> dict[str, Any] | None:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FileProblem(path, f"cannot be read: {error}", "delete it, or run its stage again") from None
    return loaded if isinstance(loaded, dict) else None


def _mapping(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileProblem(path, error.strerror or str(error), "name a folder that tunesmith generated") from None
    except yaml.YAMLError as error:
        raise FileProblem(path, f"not valid YAML: {error}", "fix that line") from None
    if not isinstance(loaded, dict):
        raise FileProblem(path, "holds no settings", "name a folder that tunesmith generated")
    return loaded
