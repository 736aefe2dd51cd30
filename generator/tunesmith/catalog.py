"""The catalogues: models, hardware, and the support matrix. Prices are in costs/prices.py."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tunesmith import package_data, user_overrides
from tunesmith.errors import FileProblem, nearest

OWN = (
    "for rows of `tunesmith catalog`, list only changed figures; for a machine of your own, list all; "
    "for a model of your own, use `model: custom`"
)
FIXED = ("source", "id", "file", "sha256")  # which model it is
CPU = "cpu"  # begins the key of every processor: the stages of a project know no more of its machine


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
    loaded: dict[str, Any] = yaml.load(package_data.schema_file(*names).read_text(encoding="utf-8"), Loader=loader)
    return loaded


def table(name: str) -> dict[str, Any]:
    """A file of schemas/catalog/ as written."""
    return _load("catalog", name)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Models and hardware by key: the catalogue's rows, with the user's own figures, and a machine that was recorded.

    ``recorded`` describes that machine: ``key``, ``figures``, ``price`` and, if it was bought, ``device``. It is empty
    unless the answers of a project describe one.
    """

    models: Mapping[str, Model]
    hardware: Mapping[str, Hardware]
    recorded: Mapping[str, Any]

    def is_own(self, key: str) -> bool:
        """Whether a machine is the user's own, not one of the catalogue."""
        return key in self.hardware and key not in table("hardware.yaml")["hardware"]

    def refusals(self, answers: Mapping[str, Any]) -> list[Refusal]:
        """Reasons why this combination cannot be generated; empty when it is built.

        A key that has to change because of something impossible is not reported as planned too.
        """
        judged = {**answers, "hardware": self._judged_as(answers.get("hardware"))}
        impossible = [replace(row, unbuilt=_unbuilt(row, judged)) for row in _matching("impossible", judged)]
        settled = {key for row in impossible for key in row.instead}
        return impossible + [row for row in _matching("planned", judged) if not settled & set(row.keys)]

    def _judged_as(self, key: Any) -> Any:
        """The row of the support matrix that judges a machine of one's own: a processor, or a card without bf16."""
        if not isinstance(key, str) or not self.is_own(key):
            return key
        machine = self.hardware[key]
        return CPU if machine.cpu else key if machine.bf16 else "t4"


def load(recorded: Any = None) -> Catalogue:
    """The catalogue; ``recorded`` is the machine that a project's answers describe, as one line of JSON.

    With it nobody else needs the file that the machine came from. The user's own file still wins. Text that describes
    no machine is ignored here: the check of the spec then refuses the machine's key.

    Raises:
        FileProblem: the user's own models.yaml or hardware.yaml cannot be read, or an entry is not a figure.
    """
    machine = _described(recorded)
    known = {key: Hardware(key=key, **row) for key, row in _rows("hardware", user_file("hardware")).items()}
    hardware = ({machine["key"]: Hardware(key=machine["key"], **machine["figures"])} if machine else {}) | known
    models = {key: Model(key=key, **row) for key, row in _rows("models", user_file("models")).items()}
    return Catalogue(MappingProxyType(models), MappingProxyType(hardware), MappingProxyType(machine))


def user_file(name: str) -> Path:
    """Where the user's own rows of a catalogue are."""
    return user_overrides.own_file(f"{name}.yaml")


def _described(recorded: Any) -> dict[str, Any]:
    """The description of a machine; empty if the text is none."""
    try:
        machine: dict[str, Any] = json.loads(recorded)
        Hardware(key=machine["key"], **machine["figures"])
        is_description = isinstance(machine["price"], dict) and isinstance(machine.get("device", {}), dict)
    except (TypeError, ValueError, KeyError):
        return {}
    return machine if is_description else {}


@cache
def _rows(name: str, path: Path) -> dict[str, Any]:
    """The rows of a catalogue, with the user's figures in ``path`` in place of its own."""
    built_in = _load("catalog", f"{name}.yaml")
    rows: dict[str, Any] = built_in[name]
    if not path.is_file():
        return rows
    own = user_overrides.read(path, {name: rows}, OWN).get(name, {})
    for key, row in own.items():
        if key not in rows and (lacking := _lacking(name, rows, row)):
            close = nearest(str(key), rows)
            raise FileProblem(path, f"{key}: {lacking}{f'; did you mean {close}?' if close else ''}", OWN)
        if fixed := sorted(set(FIXED) & set(row)) if isinstance(row, dict) else []:
            raise FileProblem(path, f"{key}.{fixed[0]}: identifies the model and cannot be changed", OWN)
    signed = {
        key: {**row, "figures": user_overrides.signed(row.get("figures") or {}, path)} if isinstance(row, dict) else row
        for key, row in own.items()
    }
    listed = user_overrides.merged(built_in, {name: signed})
    user_overrides.check(name, listed, path, OWN)
    for key, row in listed[name].items() if name == "hardware" else ():
        if (row["generation"] == CPU) != (key.split("_")[0] == CPU):
            what = "a processor" if row["generation"] == CPU else "not a processor"
            raise FileProblem(path, f"{key}: is {what}; only keys of processors begin with cpu_", OWN)
    merged: dict[str, Any] = listed[name]
    return merged


def _lacking(name: str, rows: Mapping[str, Any], row: Any) -> str:
    """Why a row that the catalogue does not have cannot be added; empty if it can."""
    if name != "hardware":
        return "no such row"
    needed = next(iter(rows.values())).keys() - {"figures"}
    missing = needed - row.keys() if isinstance(row, dict) else needed
    return f"unknown row; a new row also needs {', '.join(sorted(missing))}" if missing else ""


def frameworks() -> dict[str, dict[str, Any]]:
    """The framework profiles as written; `planner.training_setup.profiles` reads them."""
    rows: dict[str, dict[str, Any]] = _load("catalog", "frameworks.yaml")["frameworks"]
    return rows


def throughput() -> dict[str, Any]:
    """The constants of utilisation as written; `planner.throughput.constants` reads them."""
    return _load("catalog", "throughput.yaml")


def support_rules() -> dict[str, Any]:
    """The support matrix as written."""
    return _load("support_matrix.yaml")


def decision_tree() -> dict[str, Any]:
    """The decision tree as written."""
    return _load("decision_tree.yaml")


def _unbuilt(impossible: Refusal, answers: Mapping[str, Any]) -> str:
    """What to do today when the nearest combination that works is not built yet."""
    planned = _matching("planned", {**answers, **impossible.instead})
    changes = {
        key: value
        for other in planned
        if set(other.keys) & set(impossible.keys)
        for key, value in other.instead.items()
    }
    if not changes:
        return ""
    return f" (planned, not built yet; today use {', '.join(f'{key}: {value}' for key, value in changes.items())})"


def _matching(state: str, answers: Mapping[str, Any]) -> list[Refusal]:
    return [
        refusal(state, rule)
        for rule in support_rules()[state]
        if all(answers.get(key) in values for key, values in rule["when"].items())
    ]


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
