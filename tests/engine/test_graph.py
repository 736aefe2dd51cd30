"""dvc.yaml: every stage knows its code by its own key of code.json, and no result is left out of the graph."""

import ast
from pathlib import Path

import pytest
import yaml

from engine.core.artifacts import CODE
from engine.core.fingerprint import INVISIBLE, closure, entries

ROOT = Path(__file__).resolve().parents[1]
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
CODED = {name: found for name, stage in GRAPH.items() if (found := entries(ROOT, stage["cmd"])) and name != "code"}
DYNAMIC = {
    "__import__",
    "exec_module",
    "import_module",
    "run_module",
    "run_path",
    "spec_from_file_location",
}


@pytest.mark.parametrize("stage", CODED)
def test_a_stage_takes_its_own_key_of_the_code(stage: str) -> None:
    keys = [param[CODE] for param in GRAPH[stage]["params"] if isinstance(param, dict)]
    assert keys == [[stage]]


@pytest.mark.parametrize("stage", CODED)
def test_the_stage_code_depends_on_all_code_that_a_stage_runs(stage: str) -> None:
    named = [Path(path) for path in GRAPH["code"]["deps"]]
    assert [file for file in closure(ROOT, CODED[stage]) if not {file, *file.parents} & {*named}] == []


@pytest.mark.parametrize("stage", sorted(GRAPH.keys() - {"code"}))
def test_no_stage_lists_modules_by_hand(stage: str) -> None:
    assert [path for path in GRAPH[stage].get("deps", []) if path.endswith(".py") or path.startswith("pipeline")] == []


def test_no_module_is_imported_by_a_name_that_is_computed() -> None:
    modules = [path for folder in ("pipeline", "evals", "data") for path in sorted((ROOT / folder).rglob("*.py"))]
    dynamic = [
        f"{path.relative_to(ROOT)}, line {node.lineno}: {name}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Name | ast.Attribute)
        if (name := node.id if isinstance(node, ast.Name) else node.attr) in DYNAMIC
    ]
    assert not dynamic, "write `from ... import ...`: the stage `code` follows imports that it can read"


def test_no_parameter_has_a_name_that_dvc_ignores() -> None:
    def names(value: object) -> set[str]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return {str(key) for key in value if isinstance(value, dict)}.union(*map(names, inner)) if inner else set()

    assert not names(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))) & INVISIBLE


@pytest.mark.parametrize("unread", ["data/curated/rejected.jsonl", "evals/ladder.yaml"])
def test_what_no_stage_reads_runs_none_again(unread: str) -> None:
    parents = {unread, *map(str, Path(unread).parents)}
    assert {name for name, stage in GRAPH.items() if parents & {*stage.get("deps", [])}} <= {"code"}


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
        for name in (param for param in stage.get("params", []) if isinstance(param, str)):
            value = params
            for part in name.split("."):
                assert part in value, name
                value = value[part]
