"""A history of the template for update tests: six releases, each built from the working tree with realistic changes.

0.0.1 is the working tree and a module. What follows does what releases do: add files and knobs, rename a module, bump
locks, add, rename and drop a question, add and drop a stage. 0.3.0, the last, is what the command line updates to.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tunesmith import bundle, git

REPOSITORY = Path(__file__).resolve().parents[2]
CHANGELOG = "# Changelog\n"
NOTES = '"""Says how long the pipeline is."""\n\nfrom pathlib import Path\n\nprint(len(Path("dvc.yaml").read_text()))\n'
STAGE = """
  notes:
    cmd: python -m pipeline.notes
    deps:
      - pipeline/notes.py
    params:
      - seed
"""
MOVES = '"0.0.3": {modules: {pipeline.alike: pipeline.similar}}\n'


def edit(root: Path, name: str, old: str, new: str) -> None:
    """Replace a text that must be there, once."""
    path = root / name
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{name} has no {old!r}: change tests/generator/history.py with the template"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def first(root: Path) -> None:
    """0.0.1: the working tree, and a module that later releases rename."""
    (root / "schemas/moves.yaml").write_text("", encoding="utf-8")
    lines = "".join(f"ALIKE_{number} = {number}\n" for number in range(30))
    (root / "template/pipeline/alike.py").write_text(f'"""Finds records that are alike."""\n\n{lines}')
    benchmarks = "      - data/benchmarks\n"
    edit(root, "template/dvc.yaml.jinja", benchmarks, f"      - pipeline/alike.py\n{benchmarks}")


def knob_and_file(root: Path) -> None:
    """0.0.2: a module, parameters, another version in the lock, a line in a seeded prompt; what 0.0.5 drops."""
    (root / "template/pipeline/notes.py").write_text(NOTES)
    edit(root, "template/params.yaml.jinja", "  weight_decay: 0.0\n", "  weight_decay: 0.0\n  gradient_clip: 1.0\n")
    knob = "    weight_decay: Annotated[float, Field(ge=0)]\n"
    fields = "    gradient_clip: float\n    warm_restarts: int\n"
    edit(root, "template/engine/settings/train.py", knob, knob + fields)
    edit(root, "template/locks/trl.txt", "accelerate==", "accelerate==1.0.0.post")
    (root / "template/prompts/extra.txt").write_text("".join(f"Extra line {number}.\n" for number in range(20)))
    edit(
        root,
        "template/params.yaml.jinja",
        "  weight_decay: 0.0\n",
        "  weight_decay: 0.0\n  warm_restarts: 2 # of each\n",
    )
    edit(root, "template/.gitignore.jinja", ".env\n", ".env\n/scratch/\n")
    edit(root, "template/pyproject.toml.jinja", '  "msgspec",\n', '  "msgspec",\n  "tabulate",\n')
    prompt = root / "template/prompts/system.txt.jinja"
    prompt.write_text(prompt.read_text(encoding="utf-8").rstrip("\n") + " Be brief.\n", encoding="utf-8")


def renamed_module(root: Path) -> None:
    """0.0.3: a module gets another name wherever it is named; another default."""
    (root / "template/pipeline/alike.py").rename(root / "template/pipeline/similar.py")
    (root / "schemas/moves.yaml").write_text(MOVES, encoding="utf-8")
    edit(root, "template/dvc.yaml.jinja", "pipeline/alike.py", "pipeline/similar.py")
    batch = "  batch_size: {{ evaluation_batch_size }} #"
    edit(root, "template/params.yaml.jinja", batch, "  batch_size: {{ [evaluation_batch_size, 32] | min }} #")


def question_and_stage(root: Path) -> None:
    """0.0.4: a question, a stage, a dependency, lines in .gitignore and in the CI job."""
    add_question(root, "greeting", [])
    text = (root / "template/dvc.yaml.jinja").read_text(encoding="utf-8")
    (root / "template/dvc.yaml.jinja").write_text(
        text.replace("\nmetrics:\n", f"{STAGE}\nmetrics:\n", 1), encoding="utf-8"
    )
    edit(root, "template/pyproject.toml.jinja", '  "msgspec",\n', '  "msgspec",\n  "orjson",\n')
    edit(root, "template/.gitignore.jinja", ".env\n", ".env\n.envrc\n")
    edit(root, "template/.github/workflows/ci.yml", "timeout-minutes: 45", "timeout-minutes: 60")


def renamed_question(root: Path) -> None:
    """0.0.5: a question renamed; a stage, its module, a parameter, a dependency, an ignored path and a seed gone."""
    (root / "template/prompts/extra.txt").unlink()
    edit(root, "template/params.yaml.jinja", "  warm_restarts: 2 # of each\n", "")
    edit(root, "template/engine/settings/train.py", "    warm_restarts: int\n", "")
    edit(root, "template/.gitignore.jinja", "/scratch/\n", "")
    edit(root, "template/pyproject.toml.jinja", '  "tabulate",\n', "")
    drop_question(root, "greeting")
    add_question(root, "salutation", ["greeting"])
    edit(root, "template/dvc.yaml.jinja", STAGE, "")
    (root / "template/pipeline/notes.py").unlink()
    edit(root, "template/params.yaml.jinja", "alpha: 0.05 #", "alpha: 0.05 # two-sided;")
    edit(root, "template/README.md.jinja", "## Run it", "## Run it first")


def code_and_folder(root: Path) -> None:
    """0.3.0: changed code, a new folder, a changed template of the answers' neighbours."""
    for name in ("pipeline/gate", "engine/reporting/inputs", "pipeline/cost"):
        path = root / f"template/{name}.py"
        path.write_text(f"{path.read_text('utf-8')}\n\nRELEASE_OF_{path.stem.upper()} = 6\n", encoding="utf-8")
    (root / "template/deploy").mkdir(exist_ok=True)
    (root / "template/deploy/README.md").write_text("# Cases of your own\n\nOne line each.\n")
    (root / "template/pipeline/trend.py").write_text('"""Compares runs."""\n\nWINDOW = 5\n')
    edit(root, "template/params.yaml.jinja", "  parity_items: 8 #", "  parity_items: 16 #")


RELEASES: dict[str, Callable[[Path], None]] = {
    "0.0.1": first,
    "0.0.2": knob_and_file,
    "0.0.3": renamed_module,
    "0.0.4": question_and_stage,
    "0.0.5": renamed_question,
    "0.3.0": code_and_folder,
}


def add_question(root: Path, key: str, former: list[str]) -> None:
    """A question in the schema and in copier.yml, its answer in the README."""
    path = root / "schemas/spec.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["properties"][key] = {
        "title": key.title(),
        "description": "What the report opens with.",
        "x-why": "Readers like it.",
        "x-group": "project",
        "type": "string",
        "default": "Hello",
        **({"x-was": former} if former else {}),
    }
    path.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    default = f"'{{{{ {former[0]} | default(\"Hello\") }}}}'" if former else "Hello"
    with (root / "copier.yml").open("a", encoding="utf-8") as handle:
        handle.write(f"\n{key}:\n  type: str\n  default: {default}\n")
    edit(root, "template/README.md.jinja", "## Run it", f"{{{{ {key} }}}}\n\n## Run it")


def drop_question(root: Path, key: str) -> None:
    """Take a question out again."""
    path = root / "schemas/spec.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    del schema["properties"][key]
    path.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    edit(root, "copier.yml", f"\n{key}:\n  type: str\n  default: Hello\n", "")
    edit(root, "template/README.md.jinja", f"{{{{ {key} }}}}\n\n", "")


def build(folder: Path) -> Path:
    """The bundle with all releases."""
    sources = folder / "sources"
    for name in bundle.files(REPOSITORY):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, sources / name, follow_symlinks=False)
    manifest = changelog = ""
    git.run("init", "--quiet", cwd=sources)
    for version, change in RELEASES.items():
        change(sources)
        changelog = f"\n## {version}\n\n- {(change.__doc__ or '').split(': ', 1)[1]}\n{changelog}"
        (sources / "CHANGELOG.md").write_text(CHANGELOG + changelog, encoding="utf-8")
        if version != "0.3.0":
            git.run("add", "--all", cwd=sources)
            git.commit(sources, version)
            manifest += f'[[release]]\nversion = "{version}"\ncommit = "{git.run("rev-parse", "HEAD", cwd=sources)}"\n'
            (sources / "releases.toml").write_text(manifest, encoding="utf-8")
    bundle.build(sources, folder / "history.bundle", "0.3.0")
    return folder / "history.bundle"
