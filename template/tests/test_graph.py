"""dvc.yaml names every module that can change a stage's result, so an edit re-runs what it should."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Modules that read, write, print or describe; an edit of theirs does not change what a stage finds out.
PLUMBING = {"__init__", "files", "markup", "progress", "run_record", "runtime", "settings", "wording"}
# What a stage imports only to print it.
PRINTED = {
    "gate": {"contest", "forgetting", "item_metrics", "metrics", "statistics", "verdict"},
    "tuned": {"item_metrics", "metrics", "statistics"},
}
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
STAGES = {name for name, stage in GRAPH.items() if f"-m pipeline.{name}" in stage["cmd"]}


def imported(module: str) -> set[str]:
    """The project's modules that a module, or a package's modules, import anywhere."""
    found = set()
    package = ROOT / "pipeline" / module
    for path in sorted(package.glob("*.py")) if package.is_dir() else [package.with_suffix(".py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "pipeline":
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level:
                found.add(path.parent.name if package.is_dir() else str(node.module))
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline."):
                found.add(str(node.module).split(".")[1])
    return found - {module}


def shaping(module: str) -> set[str]:
    """Modules whose code runs in the stage; those of another stage act through that stage's outs."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        fresh = imported(waiting.pop()) - PLUMBING - STAGES - found
        found |= fresh
        waiting += fresh
    return found


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_depends_on_the_code_it_runs(stage: str) -> None:
    named = {Path(path).stem for path in GRAPH[stage]["deps"] if path.startswith("pipeline/")}
    assert {stage} | shaping(stage) - PRINTED.get(stage, set()) <= named


def test_what_differs_between_runs_is_no_out() -> None:
    outs = [
        out if isinstance(out, str) else next(iter(out)) for stage in GRAPH.values() for out in stage.get("outs", [])
    ]
    assert not [out for out in outs if out.startswith("reports/measured")]


def test_no_training_before_the_baseline() -> None:
    if "train" in GRAPH:
        assert "results/baseline.json" in GRAPH["train"]["deps"]


def test_every_parameter_named_exists() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    for stage in GRAPH.values():
        for name in stage.get("params", []):
            value = params
            for part in name.split("."):
                assert part in value, name
                value = value[part]
