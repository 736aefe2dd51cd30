"""Every variant that can be generated is lint-free, typed, and passes the tests that it carries."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SHARED, Generate, Project
from .test_0_in_place import RENDERED_ONLY

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
    "tuning, with documents at hand": ("with_knowledge=true",),
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


def test_a_variant_passes_its_own_tests(variant: Project, project: Project, request: pytest.FixtureRequest) -> None:
    """All of them, or those that read the configuration where the code is the main example's."""
    known = "the main example" not in request.node.callspec.id and code(variant) == code(project)
    chosen = RENDERED_ONLY if known else ()
    variant.run("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen)


def code(project: Project) -> str:
    """Names and contents of everything that the tests can see but the configuration."""
    return project.git("ls-files", "--stage", "pipeline", "tests", "evals", "environment.py")


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


def test_the_project_is_small_enough_to_read(project: Project) -> None:
    files = project.git("ls-files").split()
    assert not [name for name in files if (project.path / name).stat().st_size > 64_000]


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
        if name.startswith(("pipeline/", "tests/", "locks/"))
        and (folder / name).read_bytes() != (ours.path / name).read_bytes()
    ]
    assert not differing
