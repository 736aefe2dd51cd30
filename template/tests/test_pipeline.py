"""dvc.yaml and the recipes: no result escapes the graph, and the stages decide on answers that a rule gives."""

import ast
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from engine.core import artifacts
from engine.core.fingerprint import closure, entries
from engine.core.io import read_json, write_json, write_jsonl
from engine.core.params import load
from engine.inference.backend import Answer, Message, Prompt
from engine.settings.evaluate import EvaluateParams
from pipeline import baseline, evaluate

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
CODED = {name: found for name, stage in GRAPH.items() if (found := entries(ROOT, stage["cmd"])) and name != "code"}
DYNAMIC = {"__import__", "exec_module", "import_module", "run_module", "run_path", "spec_from_file_location"}
QUESTION = re.compile(r'{"intent".*} ?}')


@pytest.mark.parametrize("stage", CODED)
def test_a_stage_takes_its_own_hash_of_the_code(stage: str) -> None:
    """A stage of your own may list its modules as deps instead."""
    params = [param for param in GRAPH[stage].get("params", []) if isinstance(param, dict)]
    keys = [param[str(artifacts.CODE)] for param in params if str(artifacts.CODE) in param]
    deps = {Path(path) for path in GRAPH[stage].get("deps", [])}
    code = [file for file in closure(ROOT, CODED[stage]) if file.name != "__init__.py"]
    assert keys == [[stage]] or (not keys and all({file, *file.parents} & deps for file in code)), (
        f"add `code.json: [{stage}]` to its params"
    )


@pytest.mark.parametrize("stage", CODED)
def test_the_stage_code_depends_on_all_code_that_a_stage_runs(stage: str) -> None:
    named = {Path(path) for path in GRAPH["code"]["deps"]}
    assert [file for file in closure(ROOT, CODED[stage]) if not {file, *file.parents} & named] == []


def test_no_module_is_imported_by_a_name_that_is_computed() -> None:
    modules = [path for folder in GRAPH["code"]["deps"] for path in sorted((ROOT / folder).rglob("*.py"))]
    dynamic = [
        f"{path.relative_to(ROOT)}, line {node.lineno}: {name}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Name | ast.Attribute)
        if (name := node.id if isinstance(node, ast.Name) else node.attr) in DYNAMIC
    ]
    assert dynamic == [], "write `from ... import ...`: the stage `code` follows imports that it can read"


def test_nothing_imports_a_recipe() -> None:
    recipes = {f"pipeline.{path.stem}" for path in (ROOT / "pipeline").glob("*.py")}
    for path in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "pipeline").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.module != "pipeline" and node.module not in recipes, path


def test_what_differs_between_runs_is_no_out() -> None:
    outs = [out if isinstance(out, str) else next(iter(out)) for one in GRAPH.values() for out in one.get("outs", [])]
    assert [out for out in outs if out.startswith(str(artifacts.MEASURED))] == []


def test_no_training_before_the_baseline() -> None:
    assert "train" not in GRAPH or str(artifacts.BASELINE_RECORD) in GRAPH["train"]["deps"]


class ScriptedBackend:
    """A backend without a model: it repeats the JSON of the question, which is the right answer here."""

    def __init__(self, *_: object) -> None:
        self.identity: dict[str, Any] = {"name": "scripted"}
        self.template = None

    def render(self, messages: Sequence[Message], tools: str | None = None) -> Prompt:
        return list(messages)

    def text(self, prompt: Prompt) -> str:
        return str(prompt)

    def answer(
        self, prompts: Sequence[Prompt], max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[Sequence[int], list[Answer]]]:
        for place, prompt in enumerate(prompts):
            yield [place], [Answer(QUESTION.findall(prompt[-1]["content"])[-1], 1, 1, "stop", 0.1)]


def records(split: str, count: int) -> list[dict[str, Any]]:
    """Canonical records whose right answer is the question."""
    texts = [json.dumps({"intent": split, "slots": {"number": str(number)}}) for number in range(count)]
    roles = ("user", "assistant")
    return [
        {"id": f"{split}{n}", "label": split, "group": None, "messages": [{"role": r, "content": t} for r in roles]}
        for n, t in enumerate(texts)
    ]


def test_the_recipes_measure_and_decide(at_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`baseline` and `evaluate` on a few items; where something is tuned, its answers are those of an arm."""
    for name in ("params.yaml", "prompts", "evals"):
        copy = shutil.copytree if (at_root / name).is_dir() else shutil.copy
        copy(at_root / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("engine.inference.answer_cache.ANSWERS", tmp_path / "answers")
    monkeypatch.setattr(baseline, "Generator", ScriptedBackend)
    for name in ("base_model", "refuse_dropped"):
        monkeypatch.setattr(baseline, name, lambda *_: None)
    monkeypatch.setattr(baseline, "base_sha256", lambda: "0" * 64)
    settings = load(EvaluateParams)
    for split, path in (("train", artifacts.TRAIN_RECORDS), ("dev", artifacts.DEV), ("test", artifacts.TEST)):
        write_jsonl(path, records(split, 12))
        if settings.retrieves:
            shown = [{"id": "d#0", "source": "d.md", "text": "A passage.", "score": 1.0}]
            found = [{"id": row["id"], "passages": shown, "known": None} for row in records(split, 12)]
            write_jsonl(artifacts.RETRIEVED / f"{split}.jsonl", found)
    write_json(artifacts.BENCHMARK, {"sha256": "1" * 64, "version": 1, "items": 12})
    baseline.main()
    if settings.trains:
        shutil.copytree(artifacts.BASELINE_ANSWERS, artifacts.TUNED_ANSWERS)
        for path in sorted(artifacts.TUNED_ANSWERS.glob("*.jsonl")):
            path.rename(path.with_name("tuned.jsonl"))
    evaluate.main()
    scores = read_json(artifacts.SCORES)
    verdict = scores["verdict"]
    assert verdict["best_baseline"] in scores["arms"]
    assert all(arm[settings.evaluate.primary_metric]["mean"] == 1.0 for arm in scores["arms"].values())
