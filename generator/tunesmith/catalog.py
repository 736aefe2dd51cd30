"""The catalogues: models, hardware with prices, and the support matrix."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from tunesmith import resources

STALE_AFTER_DAYS = 90


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
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Hardware:
    """One row of schemas/catalog/hardware.yaml; memory in GiB, prices in US dollars an hour."""

    key: str
    title: str
    memory_gib: float
    bf16: bool
    usd_per_hour: Mapping[str, float]
    source: str
    date: dt.date

    def stale(self, today: dt.date) -> bool:
        """Whether the price is older than 90 days."""
        return (today - self.date).days > STALE_AFTER_DAYS


@dataclass(frozen=True)
class Refusal:
    """Why a combination is refused: ``state`` is "impossible" or "planned"."""

    state: str
    keys: tuple[str, ...]
    reason: str
    instead: Mapping[str, str]
    today: str = ""

    def __str__(self) -> str:
        change = ", ".join(f"{key}: {value}" for key, value in self.instead.items())
        if self.state == "impossible":
            return f"impossible: {self.reason}; nearest that works: {change}"
        return f"planned, not built yet: {self.reason}; today use {change} ({self.today})"


@cache
def _load(*names: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(resources.schema_file(*names).read_text(encoding="utf-8"))
    return loaded


@cache
def models() -> dict[str, Model]:
    """The model catalogue by key."""
    return {key: Model(key=key, **row) for key, row in _load("catalog", "models.yaml")["models"].items()}


@cache
def hardware() -> dict[str, Hardware]:
    """The hardware catalogue by key."""
    return {key: Hardware(key=key, **row) for key, row in _load("catalog", "hardware.yaml")["hardware"].items()}


def support_rules() -> dict[str, Any]:
    """The support matrix as written."""
    return _load("support_matrix.yaml")


def decision_tree() -> dict[str, Any]:
    """The decision tree as written."""
    return _load("decision_tree.yaml")


def refusals(answers: Mapping[str, Any]) -> list[Refusal]:
    """Reasons why this combination cannot be generated; empty when it is built."""
    found = _matching("impossible", answers)
    return found or _matching("planned", answers)


def _matching(state: str, answers: Mapping[str, Any]) -> list[Refusal]:
    return [
        Refusal(state, tuple(rule["when"]), rule["reason"], rule["instead"], rule.get("today", ""))
        for rule in support_rules()[state]
        if all(answers.get(key) in values for key, values in rule["when"].items())
    ]


def planned_values(key: str) -> dict[str, str]:
    """Values of one question that are planned and not built yet, each with its reason."""
    return {
        value: str(Refusal("planned", (key,), rule["reason"], rule["instead"], rule["today"]))
        for rule in support_rules()["planned"]
        if list(rule["when"]) == [key]
        for value in rule["when"][key]
    }
