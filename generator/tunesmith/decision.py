"""Walks schemas/decision_tree.yaml and keeps the path taken. The emitted DECISION.md walks the same file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith import catalog
from tunesmith.catalog import Catalogue, Refusal


@dataclass(frozen=True)
class Step:
    """One question on the path, its answer, and where the other answer would have led."""

    key: str
    ask: str
    why: str
    source: str
    yes: bool
    otherwise: str  # the outcome that the other answer leads to


@dataclass(frozen=True)
class Advice:
    """The tree's outcome for a set of answers. ``missing`` is not empty where the outcome is "not yet"."""

    outcome: str
    approach: str
    reason: str
    revisit: str
    path: tuple[Step, ...]
    missing: str = ""
    suggests: Mapping[str, str] = field(default_factory=dict)
    contradictions: tuple[str, ...] = ()

    def agrees(self, answers: Mapping[str, Any]) -> bool:
        """Whether the spec's own approach is the one advised."""
        return bool(answers["approach"] == self.approach)

    def differs(self, answers: Mapping[str, Any]) -> dict[str, str]:
        """Answers of the spec that the outcome would have chosen otherwise, with the better value."""
        wanted = {"approach": self.approach, **self.suggests}
        return {key: value for key, value in wanted.items() if answers[key] != value}

    def not_built(self, catalogue: Catalogue, answers: Mapping[str, Any]) -> list[Refusal]:
        """What the support matrix says of a project that follows the advice; empty when it can be generated."""
        planned = [
            catalog.refusal("planned", row)
            for row in catalog.support_rules()["planned"]
            if all(self.suggests.get(key) in values for key, values in row["when"].items())
        ]  # whatever else the spec says
        return planned or catalogue.refusals({**answers, "approach": self.approach, **self.suggests})


def advise(answers: Mapping[str, Any]) -> Advice:
    """Walk the tree with the answers of the use-case questions."""
    tree = catalog.decision_tree()
    steps = tuple(_steps(answers))
    outcome = _walk(tree["root"], answers)
    row = tree["outcomes"][outcome]
    return Advice(
        outcome=outcome,
        approach=row["approach"],
        reason=row["reason"],
        revisit=row["revisit"],
        path=steps,
        missing=row.get("missing", ""),
        suggests=row.get("suggests", {}),
        contradictions=tuple(contradictions(answers)),
    )


def next_question(answers: Mapping[str, Any]) -> str | None:
    """The key that the tree asks next, given the answers so far; None where they lead to an outcome."""
    tree = catalog.decision_tree()
    here = tree["root"]
    while here in tree["nodes"]:
        node = tree["nodes"][here]
        if key_of(here) not in answers:
            return key_of(here)
        here = node["yes" if _yes(here, answers) else "no"]
    return None


def asked_keys() -> set[str]:
    """Every question that the tree reads."""
    return {key_of(name) for name in catalog.decision_tree()["nodes"]}


def key_of(node: str) -> str:
    """The question of the spec that a node reads."""
    key: str = catalog.decision_tree()["nodes"][node].get("key", node)
    return key


def contradictions(answers: Mapping[str, Any]) -> Iterator[str]:
    """What does not go together in these answers, in words."""
    for rule in catalog.decision_tree()["contradictions"]:
        if all(key in answers and _holds(answers[key], wanted) for key, wanted in rule["when"].items()):
            yield rule["says"]


def _holds(value: Any, wanted: Any) -> bool:
    """``wanted`` is a value, a list of values, {at_least: N} or {below: N}."""
    if isinstance(wanted, Mapping):
        return bool(value >= wanted["at_least"] if "at_least" in wanted else value < wanted["below"])
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _steps(answers: Mapping[str, Any]) -> Iterator[Step]:
    nodes = catalog.decision_tree()["nodes"]
    here = catalog.decision_tree()["root"]
    while here in nodes:
        node, yes = nodes[here], _yes(here, answers)
        otherwise = _walk(node["no" if yes else "yes"], answers)
        yield Step(key_of(here), node["ask"], node["why"], node["source"], yes, otherwise)
        here = node["yes" if yes else "no"]


def _yes(name: str, answers: Mapping[str, Any]) -> bool:
    node, value = catalog.decision_tree()["nodes"][name], answers[key_of(name)]
    return bool(value >= node["at_least"]) if "at_least" in node else bool(value)


def _walk(start: str, answers: Mapping[str, Any]) -> str:
    nodes = catalog.decision_tree()["nodes"]
    while start in nodes:
        start = nodes[start]["yes" if _yes(start, answers) else "no"]
    return start
