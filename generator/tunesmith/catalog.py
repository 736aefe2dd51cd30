"""The catalogues: models, hardware, and the support matrix. Prices are in costs/prices.py."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import yaml

from tunesmith import own_figures, resources
from tunesmith.errors import FileProblem, nearest

OWN = (
    "for rows of `tunesmith catalog`, list only changed figures; for a machine of your own, list all; "
    "for a model of your own, use `model: custom`"
)
FIXED = ("source", "id", "file", "sha256")  # which model it is
CPU = "cpu"  # begins the key of every processor: the stages of a project know no more of its machine
_recorded: dict[str, Any] = {}  # descriptions of the machines that projects at hand recorded, by key


@dataclass(frozen=True)
class Model:
    """One row of schemas/catalog/models.yaml; ``parameters`` is a count, ``context_length`` in tokens."""

    key: str
    title: str
    source: str
    id: str
    licence: str
    gated: bool
    parameters: int
    architecture: Mapping[str, Any]
    context_length: int
    chat_template: str
    figures: Mapping[str, Any]  # source and date of the architecture
    terms: Mapping[str, Any]  # source and date of licence, gating and chat template
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Hardware:
    """One row of schemas/catalog/hardware.yaml; memory in GiB.

    ``tflops`` is 10**12 dense operations a second in 16 bits; ``bandwidth_gb_s`` is 10**9 bytes a second.
    """

    key: str
    title: str
    memory_gib: float
    bf16: bool
    generation: str
    tflops: float
    bandwidth_gb_s: float
    watts: float
    figures: Mapping[str, Any]  # source and date of the figures

    @property
    def cpu(self) -> bool:
        """Whether the device is a processor rather than an accelerator."""
        return self.generation == "cpu"

    @property
    def installable(self) -> bool:
        """Whether the stack of generated projects runs there: their locks hold CUDA and CPU builds, none for ROCm."""
        return not self.generation.startswith("cdna")


@dataclass(frozen=True)
class Refusal:
    """Why a combination is refused: ``state`` is "impossible" or "planned"."""

    state: str
    keys: tuple[str, ...]
    reason: str
    instead: Mapping[str, str]
    today: str = ""
    unbuilt: str = ""  # the nearest combination is possible, and planned itself

    def __str__(self) -> str:
        change = ", ".join(f"{key}: {value}" for key, value in self.instead.items())
        if self.state == "impossible":
            return f"impossible: {self.reason}; nearest that works: {change}{self.unbuilt}"
        return f"planned, not built yet: {self.reason}; today use {change} ({self.today})"


@cache
def _load(*names: str) -> dict[str, Any]:
    # libyaml's loader reads the same values about ten times as fast; PyYAML without it has only the other.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: dict[str, Any] = yaml.load(resources.schema_file(*names).read_text(encoding="utf-8"), Loader=loader)
    return loaded


def table(name: str) -> dict[str, Any]:
    """A file of schemas/catalog/ as written."""
    return _load("catalog", name)


@cache
def models() -> dict[str, Model]:
    """The model catalogue by key.

    Raises:
        FileProblem: the user's own models.yaml cannot be read or holds what is not a figure.
    """
    return {key: Model(key=key, **row) for key, row in _with_own("models").items()}


@cache
def hardware() -> dict[str, Hardware]:
    """The hardware catalogue by key, with the user's own machines, and that of the project at hand.

    Raises:
        FileProblem: the user's own hardware.yaml cannot be read or holds what is not a figure.
    """
    return {key: Hardware(key=key, **row) for key, row in (_figures() | _with_own("hardware")).items()}


def _figures() -> dict[str, Any]:
    return {key: described["figures"] for key, described in _recorded.items()}


def recorded() -> Mapping[str, Mapping[str, Any]]:
    """Descriptions of the machines that `take_recorded` was told, by key: ``price`` and, if bought, ``device``."""
    return _recorded


def is_own(key: str) -> bool:
    """Whether a machine is the user's own, not one of the catalogue."""
    return key in hardware() and key not in table("hardware.yaml")["hardware"]


def take_recorded(machine: Any) -> None:
    """Know the machine that a project's answers describe, so that nobody else needs the file that it came from.

    The user's own file still wins. What is no such description is left for the spec's check to refuse.
    """
    try:
        described = json.loads(machine)
        row = Hardware(key=described["key"], **described["figures"])
        if not isinstance(described["price"], dict) or not isinstance(described.get("device", {}), dict):
            return
    except (TypeError, ValueError, KeyError):
        return
    _recorded[row.key] = described
    hardware.cache_clear()


def _with_own(name: str) -> dict[str, Any]:
    """The rows of a catalogue, with the figures of ~/.config/tunesmith/NAME.yaml in place of its own."""
    path, built_in = own_figures.own_file(f"{name}.yaml"), _load("catalog", f"{name}.yaml")
    rows: dict[str, Any] = built_in[name]
    if not path.is_file():
        return rows
    own = own_figures.read(path, {name: rows}, OWN).get(name, {})
    for key, row in own.items():
        if key not in rows and (lacking := _lacking(name, rows, row)):
            close = nearest(str(key), rows)
            raise FileProblem(path, f"{key}: {lacking}{f'; did you mean {close}?' if close else ''}", OWN)
        if fixed := sorted(set(FIXED) & set(row)) if isinstance(row, dict) else []:
            raise FileProblem(path, f"{key}.{fixed[0]}: identifies the model and cannot be changed", OWN)
    signed = {
        key: {**row, "figures": own_figures.signed(row.get("figures") or {}, path)} if isinstance(row, dict) else row
        for key, row in own.items()
    }
    listed = own_figures.merged(built_in, {name: signed})
    own_figures.check(name, listed, path, OWN)
    for key, row in listed[name].items() if name == "hardware" else ():
        if (row["generation"] == CPU) != (key.split("_")[0] == CPU):
            what = "a processor" if row["generation"] == CPU else "not a processor"
            raise FileProblem(path, f"{key}: is {what}; only keys of processors begin with cpu_", OWN)
    merged: dict[str, Any] = listed[name]
    return merged


def _lacking(name: str, rows: Mapping[str, Any], row: Any) -> str:
    """Why a row that the catalogue has not cannot be added; empty where it can."""
    if name != "hardware":
        return "no such row"
    needed = next(iter(rows.values())).keys() - {"figures"}
    missing = needed - row.keys() if isinstance(row, dict) else needed
    return f"unknown row; a new row also needs {', '.join(sorted(missing))}" if missing else ""


def frameworks() -> dict[str, dict[str, Any]]:
    """The framework profiles as written; `planner.setup.profiles` reads them."""
    rows: dict[str, dict[str, Any]] = _load("catalog", "frameworks.yaml")["frameworks"]
    return rows


def throughput() -> dict[str, Any]:
    """The constants of utilisation as written; `planner.time.throughput` reads them."""
    return _load("catalog", "throughput.yaml")


def support_rules() -> dict[str, Any]:
    """The support matrix as written."""
    return _load("support_matrix.yaml")


def decision_tree() -> dict[str, Any]:
    """The decision tree as written."""
    return _load("decision_tree.yaml")


def refusals(answers: Mapping[str, Any]) -> list[Refusal]:
    """Reasons why this combination cannot be generated; empty when it is built.

    A key that has to change because of something impossible is not reported as planned too.
    """
    impossible = [replace(found, unbuilt=_unbuilt(found, answers)) for found in _matching("impossible", answers)]
    settled = {key for found in impossible for key in found.instead}
    return impossible + [found for found in _matching("planned", answers) if not settled & set(found.keys)]


def _unbuilt(found: Refusal, answers: Mapping[str, Any]) -> str:
    """What to do today when the nearest combination that works is not built yet."""
    planned = _matching("planned", {**answers, **found.instead})
    changes = {
        key: value for other in planned if set(other.keys) & set(found.keys) for key, value in other.instead.items()
    }
    if not changes:
        return ""
    return f" (planned, not built yet; today use {', '.join(f'{key}: {value}' for key, value in changes.items())})"


def _matching(state: str, answers: Mapping[str, Any]) -> list[Refusal]:
    judged = {**answers, "hardware": _alike(answers.get("hardware"))}
    return [
        refusal(state, rule)
        for rule in support_rules()[state]
        if all(judged.get(key) in values for key, values in rule["when"].items())
    ]


def _alike(key: Any) -> Any:
    """The row of the support matrix by which a machine of one's own is judged: a processor, or a card without bf16."""
    if not isinstance(key, str) or not is_own(key):
        return key
    machine = hardware()[key]
    return CPU if machine.cpu else key if machine.bf16 else "t4"


def refusal(state: str, rule: Mapping[str, Any]) -> Refusal:
    """A row of the support matrix as what it says."""
    return Refusal(state, tuple(rule["when"]), rule["reason"], rule["instead"], rule.get("today", ""))


def planned_values(key: str) -> dict[str, str]:
    """Values of one question that are planned and not built yet, each with its reason."""
    return {
        value: str(refusal("planned", rule))
        for rule in support_rules()["planned"]
        if list(rule["when"]) == [key]
        for value in rule["when"][key]
    }
