"""dvc.yaml names every module that can change a stage's result, so an edit re-runs what it should."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = Path("pipeline")
# Modules that read, write, print or describe; an edit of theirs does not change what a stage finds out.
PLUMBING = {"files", "markup", "progress", "run_record", "runtime", "settings", "strict_yaml", "wording"}
# What a stage imports only to print it.
PRINTED = {
    "gate": {"contest", "forgetting", "item_metrics", "metrics", "statistics", "verdict"},
    "tuned": {"item_metrics", "metrics", "statistics"},
}
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
STAGES = {name for name, stage in GRAPH.items() if f"-m pipeline.{name}" in stage["cmd"]}


def imported(module: Path) -> set[Path]:
    """The project's modules that a module imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            package = ".".join(module.parent.parts) + "." if node.level else ""
            names |= {f"{package}{node.module}", *(f"{package}{node.module}.{alias.name}" for alias in node.names)}
    paths = {Path(*name.split(".")).with_suffix(".py") for name in names if name.startswith("pipeline.")}
    return {path for path in paths if (ROOT / path).is_file()}


def shaping(stage: str) -> set[Path]:
    """Modules whose code runs in the stage; those of another stage act through that stage's outs."""
    others = PLUMBING | STAGES | PRINTED.get(stage, set())
    found, waiting = set(), [PIPELINE / f"{stage}.py"]
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting += [one for one in imported(module) - found if one.stem not in others]
    return found


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_depends_on_the_code_it_runs(stage: str) -> None:
    named = {Path(path) for path in GRAPH[stage]["deps"]}
    assert not {module for module in shaping(stage) if not named & {module, *module.parents}}


@pytest.mark.parametrize("unread", ["data/curated/rejected.jsonl", "evals/ladder.yaml"])
def test_what_no_stage_reads_runs_none_again(unread: str) -> None:
    assert not [name for name, stage in GRAPH.items() if {unread, *map(str, Path(unread).parents)} & {*stage["deps"]}]


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
