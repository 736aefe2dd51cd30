"""Walks schemas/decision_tree.yaml and keeps the path taken. The emitted DECISION.md walks the same file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith import catalog


@dataclass(frozen=True)
class Step:
    """One question on the path, its answer, and where the other answer would have led."""

    key: str
    ask: str
    why: str
    yes: bool
    otherwise: str  # the approach that the other answer leads to


@dataclass(frozen=True)
class Advice:
    """The tree's outcome for a set of answers."""

    outcome: str
    approach: str
    reason: str
    revisit: str
    path: tuple[Step, ...]

    def agrees(self, answers: Mapping[str, Any]) -> bool:
        """Whether the spec's own approach is the one advised."""
        return bool(answers["approach"] == self.approach)


def advise(answers: Mapping[str, Any]) -> Advice:
    """Walk the tree with the answers of the use-case questions."""
    tree = catalog.decision_tree()
    steps = []
    here = tree["root"]
    while here in tree["nodes"]:
        node = tree["nodes"][here]
        yes = _yes(here, node, answers)
        other = _walk(node["no" if yes else "yes"], answers)
        steps.append(Step(node.get("key", here), node["ask"], node["why"], yes, tree["outcomes"][other]["approach"]))
        here = node["yes" if yes else "no"]
    outcome = tree["outcomes"][here]
    return Advice(here, outcome["approach"], outcome["reason"], outcome["revisit"], tuple(steps))


def _yes(name: str, node: Mapping[str, Any], answers: Mapping[str, Any]) -> bool:
    value = answers[node.get("key", name)]
    return bool(value >= node["at_least"]) if "at_least" in node else bool(value)


def _walk(start: str, answers: Mapping[str, Any]) -> str:
    nodes = catalog.decision_tree()["nodes"]
    while start in nodes:
        start = nodes[start]["yes" if _yes(start, nodes[start], answers) else "no"]
    return start
