"""docs/decision-tree.md, written from schemas/decision_tree.yaml by `python -m tunesmith.codegen --write`."""

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith import catalog

HEAD = """# The decision tree

Written by `python -m tunesmith.codegen --write` from `schemas/decision_tree.yaml`; edit that file. The wizard asks in
this order, `tunesmith advise` walks it, and the `DECISION.md` of a project shows the path that was taken.
"""


def page() -> str:
    """The whole page, in Markdown."""
    tree = catalog.decision_tree()
    parts = [HEAD, "```mermaid\nflowchart TD", *_chart(tree), "```\n", "## Questions\n"]
    parts += [_question(name, node) for name, node in tree["nodes"].items()]
    parts += ["## Outcomes\n", "| outcome | approach | why | not yet: missing | ask again |", "|---|---|---|---|---|"]
    parts += [_outcome(name, row, tree) for name, row in tree["outcomes"].items()]
    parts += ["", "## Answers that contradict one another\n"]
    parts += [f"- {_conditions(rule['when'])}: {rule['says']}" for rule in tree["contradictions"]]
    return "\n".join(parts) + "\n"


def _chart(tree: Mapping[str, Any]) -> Iterator[str]:
    for name, node in tree["nodes"].items():
        yield f'  {name}{{{{"{_escaped(node["ask"])}"}}}}'
        yield f"  {name} -- yes --> {node['yes']}"
        yield f"  {name} -- no --> {node['no']}"
    for name, row in tree["outcomes"].items():
        yield f'  {name}["{_escaped(tree["approaches"][row["approach"]]["title"])}: {name.replace("_", " ")}"]'


def _escaped(text: str) -> str:
    return text.replace('"', "#quot;")


def _question(name: str, node: Mapping[str, Any]) -> str:
    limit = f" (at least {node['at_least']:,})" if "at_least" in node else ""
    return (
        f"- **{node['ask']}** `{node.get('key', name)}`{limit}. {node['why']} *Source: {node['source']}.*\n"
        f"  Yes: `{node['yes']}`. No: `{node['no']}`."
    )


def _outcome(name: str, row: Mapping[str, Any], tree: Mapping[str, Any]) -> str:
    suggests = "".join(f"; `{key}: {value}`" for key, value in row.get("suggests", {}).items())
    approach = f"{tree['approaches'][row['approach']]['title']}{suggests}"
    return f"| `{name}` | {approach} | {row['reason']} | {row.get('missing', '')} | {row['revisit']} |"


def _conditions(when: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}` {_condition(wanted)}" for key, wanted in when.items())


def _condition(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return f"at least {wanted['at_least']:,}" if "at_least" in wanted else f"below {wanted['below']:,}"
    values = wanted if isinstance(wanted, list) else [wanted]
    return " or ".join(f"`{str(value).lower() if isinstance(value, bool) else value}`" for value in values)
