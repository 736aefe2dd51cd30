"""Every variant that can be generated is lint-free, typed, and passes the tests that it carries."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SHARED, Generate, Project

sys.path.append(str(ROOT / "template"))

from engine.core.fingerprint import closure, module_path

VARIANTS = {
    "the main example": (),
    "all intents, LoRA on four large GPUs": ("intents=42", "method=lora", "hardware=h100_sxm", "devices=4"),
    "own data in Alpaca form, trained in full, no CI": (
        "example=none",
        "dataset_format=alpaca",
        "primary_metric=rouge_l",
        "method=full",
        "ci=none",
    ),
    "own data in ShareGPT form without groups or labels, DoRA": (
        "example=none",
        "dataset_format=sharegpt",
        "group_key=",
        "label_key=",
        "method=dora",
    ),
    "a model from a hub, rank-stabilised LoRA": (
        "model=qwen2.5-0.5b-instruct",
        f"model_revision={'a' * 40}",
        "hardware=l4",
        "method=rslora",
        "lora_rank=64",
    ),
    "prompts alone, with a judge": ("example=none", "approach=prompting", "judge=true"),
    "retrieval": ("example=none", "approach=rag"),
    "retrieval and tuning": ("example=none", "approach=rag_finetune", "lm_eval=true"),
    "tuning, with documents at hand and every extra": ("with_knowledge=true", "extras=cluster, embeddings, llama, pii"),
    "answers full of syntax": ('description=a "quoted": {{ 7*7 }} # title', "system_prompt=Say: {{ x }} & 'go'"),
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def variant(request: pytest.FixtureRequest, generate: Generate, project: Project) -> Project:
    return generate(*request.param)


def test_a_variant_is_formatted_linted_and_typed(variant: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    variant.run("ruff", "format", "--check", ".")
    variant.run("ruff", "check", ".")
    # The same modules, checked again by content: a shared cache saves most of a minute a variant.
    variant.run("mypy", MYPY_CACHE_DIR=str(tmp_path_factory.getbasetemp() / "mypy"))


def test_a_variant_passes_its_own_tests(variant: Project) -> None:
    variant.run("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")


def test_dvc_reads_the_graph_and_leaves_the_tree_clean(variant: Project) -> None:
    variant.run("dvc", "dag")
    assert variant.git("status", "--porcelain") == ""


def test_the_parameters_fit_the_schema_that_editors_read(variant: Project) -> None:
    """ruamel reads YAML 1.2, as the language server does: `2e-05` is a number."""
    assert (variant.path / "params.yaml").read_text().startswith("# yaml-language-server: $schema=params.schema.json\n")
    check = (
        "import json, jsonschema; from pathlib import Path; from ruamel.yaml import YAML;"
        "schema = json.loads(Path('params.schema.json').read_text());"
        "jsonschema.Draft202012Validator.check_schema(schema);"
        "jsonschema.validate(YAML(typ='safe').load(Path('params.yaml')), schema)"
    )
    variant.run("python", "-c", check)


def test_an_experiment_can_take_all_intents(generate: Generate, project: Project) -> None:
    printed = generate().run("dvc", "exp", "run", "-S", "data.intents=42", "data").stdout
    assert "42 intents" in printed


def test_a_folder_of_shards_is_added_and_curated(generate: Generate, project: Project, tmp_path: Path) -> None:
    sizes = ("test_items=20", "dev_items=8", "group_key=", "label_key=")
    own = generate("example=none", "approach=prompting", *sizes)
    for shard in range(3):
        numbers = range(shard, 200, 3)
        rows = ({"prompt": f"What is {n * 7919} in {n % 97} words?", "completion": f"{n}"} for n in numbers)
        (tmp_path / f"part-{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "tunesmith", "data", "add", str(tmp_path), str(own.path)]
    subprocess.run(command, check=True, env={**os.environ, "PROJECT_VENV": str(SHARED)})
    assert own.git("diff", "--cached", "--name-only").split() == ["data/raw/.gitignore", "data/raw/requests.jsonl.dvc"]
    assert "read 200 " in own.run("dvc", "repro", "curate").stdout
    assert own.run("dvc", "status", "curate").stdout.strip().endswith("up to date.")


def test_no_module_is_missing_and_each_is_reached(variant: Project) -> None:
    """A component comes whole or not at all. What only a variant reaches is imported where it is used."""
    root = variant.path
    engine = {path.relative_to(root) for path in (root / "engine").rglob("*.py")}
    recipes = {path.relative_to(root) for path in (root / "pipeline").glob("*.py")}
    commands = {path for path in engine if path.parts[1] == "tools"}
    started = recipes | commands | {Path("engine/serving/server.py"), Path("engine/core/fingerprint.py")}
    reached = set(closure(root, sorted(started)))
    assert [str(path) for path in sorted(engine - reached) if path.name != "__init__.py"] == []
    missing = {
        f"{path}: {name}"
        for path in engine | recipes
        for name in needed((root / path).read_text("utf-8"))
        if module_path(root, name) is None
    }
    assert missing == set()


def test_each_tool_finds_what_it_imports(variant: Project) -> None:
    missing = {
        path.stem
        for path in (ROOT / "project_tools").glob("*.py")
        for name in needed(path.read_text("utf-8"))
        if module_path(variant.path, name) is None
    }
    judged = (variant.path / "pipeline" / "judge.py").exists()
    assert missing == (set() if judged else {"label"}), "`tunesmith tool label` says that there is no judge"


def needed(text: str) -> list[str]:
    """The project's modules that a module imports, without those that it tells mypy may be missing."""
    lines = text.splitlines()
    found = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and not node.level)
    return [
        str(node.module)
        for node in found
        if str(node.module).split(".")[0] in {"engine", "pipeline"} and "import-not-found" not in lines[node.lineno - 1]
    ]


def test_the_project_is_small_enough_to_read(project: Project) -> None:
    """What an owner is handed: recipes and configuration; the engine is vendored and has a bound of its own."""
    files = project.git("ls-files").split()
    lines = {name: len((project.path / name).read_bytes().splitlines()) for name in files}
    own = [name for name in files if not name.startswith("engine/")]
    recipes = [lines[name] for name in own if name.startswith("pipeline/")]
    engine = [lines[name] for name in files if name.startswith("engine/") and name.endswith(".py")]
    assert len(own) <= 60
    assert sum(recipes) <= 1300 and max(recipes) <= 200
    assert lines["dvc.yaml"] <= 220
    assert sum(engine) <= 12_000


def test_copier_alone_makes_the_same_default_project(tmp_path: Path, generate: Generate) -> None:
    """Without the command line, copier's own defaults give the same code, tests and locks."""
    folder = tmp_path / "plain"
    command = [
        sys.executable,
        "-m",
        "copier",
        "copy",
        "--defaults",
        "--quiet",
        "--vcs-ref=HEAD",
        str(ROOT),
        str(folder),
    ]
    subprocess.run(command, check=True)
    ours = generate()
    differing = [
        name
        for name in ours.git("ls-files").split()
        if name.startswith(("engine/", "pipeline/", "tests/", "locks/"))
        and (folder / name).read_bytes() != (ours.path / name).read_bytes()
    ]
    assert not differing
