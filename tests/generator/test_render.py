"""Same answers, same bytes: twice, in any directory, by the command or by plain copier."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, Run

from tunesmith import bundle
from tunesmith.questions import defaults, knobs, questions

Tree = Callable[[Path], dict[str, bytes]]
ANSWERS = ".copier-answers.yml"
HOSTILE = """
project_name: hostile-text
description: 'say "{{ 7*7 }}" & {% raw %} <b> # no: comment \\ 😀'
system_prompt: |
  Line one: {{ description }}
  line two's "end"
licence: 'no'
learning_rate: 2e-5
compute_dtype: auto
ci: none
example: none
"""


def copier_copy(source: object, target: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", *arguments, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr


def answers(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load((folder / ANSWERS).read_text(encoding="utf-8"))
    return loaded


def without_copiers_keys(files: dict[str, bytes], *others: bytes) -> dict[str, bytes]:
    """The files with the answers that begin with ``_``, or with one of ``others``, taken out."""
    lines = files[ANSWERS].splitlines(keepends=True)
    return files | {ANSWERS: b"".join(line for line in lines if not line.startswith((b"_", *others)))}


def without_source(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files without copier's own keys and without the estimate, which only the command line works out."""
    return without_copiers_keys(files, b"plan_estimates:") | {"plan.json": b"", "DECISION.md": b""}


@pytest.fixture(scope="module")
def hostile(tunesmith: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "spec.yaml").write_text(HOSTILE, encoding="utf-8")
    done = tunesmith("new", folder / "project", "--spec", folder / "spec.yaml")
    assert done.returncode == 0, done.stderr
    return folder


def test_no_jinja_in_python() -> None:
    for path in sorted((REPOSITORY / "template").rglob("*.py")):
        text = path.read_text("utf-8")
        assert "{{" not in text and "{%" not in text, path


def test_the_same_spec_gives_the_same_bytes_in_any_directory(
    project: Path, tunesmith: Run, tmp_path: Path, tree: Tree
) -> None:
    assert tunesmith("new", "elsewhere/again", "--defaults", cwd=tmp_path).returncode == 0
    assert tree(tmp_path / "elsewhere" / "again") == tree(project)


def test_plain_copier_gives_the_same_bytes(project: Path, tmp_path: Path, tree: Tree) -> None:
    copier_copy(REPOSITORY, tmp_path / "plain", "--vcs-ref", "HEAD")
    assert without_source(tree(tmp_path / "plain")) == without_source(tree(project))


def test_an_example_brings_its_own_answers(tunesmith: Run, tmp_path: Path, tree: Tree) -> None:
    """Its format, fields, licence, prompts and metric, from the command line and from plain copier alike."""
    assert tunesmith("new", tmp_path / "cli", "--defaults", "--set", "example=home_assistant").returncode == 0
    copier_copy(REPOSITORY, tmp_path / "plain", "--vcs-ref", "HEAD", "--data", "example=home_assistant")
    assert without_source(tree(tmp_path / "plain")) == without_source(tree(tmp_path / "cli"))
    recorded = answers(tmp_path / "plain")
    shipped = yaml.safe_load((REPOSITORY / "examples/home_assistant/spec.yaml").read_text(encoding="utf-8"))
    for key in ("dataset_format", "group_key", "licence", "prompted_system_prompt", "primary_metric"):
        assert recorded[key] == shipped[key] != defaults()[key]


def test_plain_copier_reads_a_spec_as_its_data(hostile: Path, tmp_path: Path, tree: Tree) -> None:
    plain_folder = tmp_path / "template"
    for name in bundle.files(REPOSITORY):
        (plain_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (plain_folder / name).write_bytes((REPOSITORY / name).read_bytes())
    copier_copy(plain_folder, tmp_path / "plain", "--data-file", str(hostile / "spec.yaml"))
    assert without_source(tree(tmp_path / "plain")) == without_source(tree(hostile / "project"))


@pytest.mark.parametrize("made", ["project", "hostile"])
def test_plain_copier_fed_with_a_projects_answers_gives_every_file_of_it(
    made: str, request: pytest.FixtureRequest, tmp_path: Path, tree: Tree
) -> None:
    """The estimate included; only copier's own keys tell where a template came from."""
    folder: Path = request.getfixturevalue(made)
    ours = folder if made == "project" else folder / "project"
    copier_copy(REPOSITORY, tmp_path / "plain", "--vcs-ref", "HEAD", "--data-file", str(ours / ANSWERS))
    assert without_copiers_keys(tree(tmp_path / "plain")) == without_copiers_keys(tree(ours))


def test_copier_refuses_what_is_planned_with_the_same_words(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "copier",
        "copy",
        "--defaults",
        "-d",
        "serving=vllm",
        str(REPOSITORY),
        str(tmp_path / "x"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode and "planned, not built yet" in done.stderr
    assert not (tmp_path / "x").exists()


def test_the_answers_are_complete(project: Path) -> None:
    recorded = answers(project)
    asked = {key for key, question in questions().items() if not question.knob and question.applies(defaults())}
    assert asked <= recorded.keys()
    assert {f"plan_{key}" for key in knobs()} <= recorded.keys()
    assert recorded["_src_path"] == bundle.PUBLIC_URL
    assert recorded["_commit"] == "v0.3.0"
    assert not [key for key in recorded if key.startswith("pin_")]


def test_the_estimate_is_recorded_and_emitted(project: Path, tmp_path: Path) -> None:
    plan = json.loads((project / "plan.json").read_text(encoding="utf-8"))
    assert plan == json.loads(answers(project)["plan_estimates"])
    assert plan["hardware"] == "cpu" and {"training_seconds", "prompt_tokens/tuned"} <= plan["figures"].keys()
    assert all(0 < band["low"] <= band["typical"] <= band["high"] for band in plan["figures"].values())
    copier_copy(REPOSITORY, tmp_path / "plain", "--vcs-ref", "HEAD")
    assert json.loads((tmp_path / "plain" / "plan.json").read_text(encoding="utf-8")) == {}


def test_pins_are_recorded_beside_the_plan(hostile: Path) -> None:
    recorded = answers(hostile / "project")
    assert (recorded["pin_learning_rate"], recorded["plan_learning_rate"]) == (2e-5, 0.001)
    assert recorded["pin_compute_dtype"] == "auto"


def test_text_with_jinja_quotes_and_line_breaks_arrives_as_written(hostile: Path) -> None:
    recorded = answers(hostile / "project")
    spec = yaml.safe_load(HOSTILE)
    assert recorded["description"] == spec["description"]
    assert recorded["system_prompt"] == spec["system_prompt"]
    assert recorded["licence"] == "no"
    assert spec["description"] in (hostile / "project" / "README.md").read_text(encoding="utf-8")
    prompt = (hostile / "project" / "prompts" / "system.txt").read_text(encoding="utf-8")
    assert prompt.rstrip("\n") == spec["system_prompt"].rstrip("\n")


def test_a_pinned_knob_reaches_the_parameters(hostile: Path) -> None:
    params = yaml.safe_load((hostile / "project" / "params.yaml").read_text(encoding="utf-8"))
    assert float(params["train"]["learning_rate"]) == 2e-5


def test_variants_leave_whole_files_out(tunesmith: Run, hostile: Path, project: Path, tmp_path: Path) -> None:
    assert (project / ".github").is_dir() and not (hostile / "project" / ".github").exists()
    assert tunesmith("new", tmp_path / "facts", "--defaults", "--set", "example=facts").returncode == 0
    assert (tmp_path / "facts" / "data" / "build.py").is_file() and not (project / "data" / "build.py").exists()


def test_nothing_of_this_machine_is_in_the_render(project: Path, tree: Tree) -> None:
    local = [str(REPOSITORY).encode(), os.environ["HOME"].encode(), str(project.parent).encode()]
    for name, content in tree(project).items():
        assert not [word for word in local if word in content], name
        assert "__pycache__" not in name and not name.endswith(".jinja")


@pytest.mark.parametrize("variant", ["project", "hostile"])
def test_the_render_is_already_formatted(variant: str, request: pytest.FixtureRequest, tree: Tree) -> None:
    rendered: Path = request.getfixturevalue(variant)
    folder = rendered if variant == "project" else rendered / "project"
    for name, content in tree(folder).items():
        if name.endswith((".yaml", ".yml", ".md", ".toml", ".py", ".txt")) and content:
            text = content.decode()
            assert text.endswith("\n") and not text.endswith("\n\n"), name
            assert "\t" not in text and "\n\n\n\n" not in text, name
            assert not [
                line for line in text.splitlines() if line != line.rstrip() and not name.startswith("prompts")
            ], name
        if name.endswith((".yaml", ".yml")):
            yaml.safe_load(content)


@pytest.mark.parametrize("check", [["format", "--check", "."], ["check", "."]])
def test_the_render_is_clean_for_ruff(check: list[str], project: Path) -> None:
    pytest.importorskip("ruff")
    command = [sys.executable, "-m", "ruff", *check, "--no-cache"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("approach", ["prompting", "rag", "finetune", "rag_finetune"])
def test_every_module_that_is_imported_is_emitted(approach: str, tunesmith: Run, tmp_path: Path) -> None:
    """A variant leaves files out: what is left must not need them."""
    project = tmp_path / "project"
    assert tunesmith("new", project, "--defaults", "--set", f"approach={approach}").returncode == 0
    missing = {
        (str(path.relative_to(project)), module)
        for folder in ("pipeline", "tests", "evals")
        for path in (project / folder).rglob("*.py")
        for module in imported(path)
        if module.split(".")[0] == "pipeline" and not (project / module.replace(".", "/")).with_suffix(".py").exists()
        if not (project / module.replace(".", "/")).is_dir()
    }
    assert missing == set()


def imported(path: Path) -> set[str]:
    """Modules that a file imports; of ``from package import x`` the module x.

    Without an import that only a variant reaches: it tells mypy that the module may be missing.
    """
    found = set()
    text = path.read_text("utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) and "import-not-found" in lines[node.lineno - 1]:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            package = (REPOSITORY / "template" / node.module.replace(".", "/")).is_dir()
            found |= {f"{node.module}.{name.name}" for name in node.names} if package else {node.module}
    return found
