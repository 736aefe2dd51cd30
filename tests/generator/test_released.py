"""Projects of every version in releases.toml are updated to this one: by us, and by plain copier."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from updating import ANSWERS, commit, everything, replace, update

from tunesmith import __version__, bundle, cli, console, git, wizard
from tunesmith.catalog import Catalogue
from tunesmith.questions import Question
from tunesmith.render import render_answers
from tunesmith.update.relocate import left_for
from tunesmith.update.source import Source

RELEASES = tomllib.loads((REPOSITORY / "releases.toml").read_text(encoding="utf-8"))["release"]
VERSIONS = [release["version"] for release in RELEASES if release["version"] != __version__]


@pytest.fixture(scope="module", params=VERSIONS)
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a project as that release renders them."""
    folder = tmp_path_factory.mktemp("released")
    (folder / "scratch").mkdir()
    source = Source.open(bundle.PUBLIC_URL, "", folder / "scratch")
    assert request.param in map(str, source.versions()), "this clone lacks the commit that releases.toml names"
    render_answers(source.origin, f"v{request.param}", {}, folder / "project", folder / "scratch")
    return folder / "project"


@pytest.fixture
def lived(fresh: Path, tmp_path: Path) -> Path:
    """A committed project of that release, with a tuned parameter, an edited stage and a file of its own."""
    project = Path(shutil.copytree(fresh, tmp_path / "project", symlinks=True))
    git.start_repository(project, "Generate")
    replace(project / "params.yaml", "seed: 42", "seed: 7")
    gate = project / "pipeline" / "gate.py"
    gate.write_text(gate.read_text() + "\n\nMINE = 1\n")
    (project / "pipeline" / "own.py").write_text("OWN = 1\n")
    commit(project)
    return project


def check(project: Path) -> None:
    """It is at this version, and what the user wrote is there."""
    assert yaml.safe_load((project / ANSWERS).read_text())["_commit"] == f"v{__version__}"
    assert yaml.safe_load((project / "params.yaml").read_text())["seed"] == 7
    assert (project / "pipeline" / "gate.py").read_text().endswith("\n\nMINE = 1\n")
    assert (project / "pipeline" / "own.py").read_text() == "OWN = 1\n"
    assert (project / "engine" / "core" / "io.py").read_bytes() == (
        REPOSITORY / "template" / "engine" / "core" / "io.py"
    ).read_bytes()


def test_it_is_updated_and_then_up_to_date(lived: Path) -> None:
    assert cli.main(["update", str(lived), "--here"]) == 0
    check(lived)
    assert cli.main(["update", str(lived), "--preview"]) == 0


def test_plain_copier_updates_it_too(lived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the way for a git that cannot merge trees; its version is made up here."""
    monkeypatch.setattr(git, "version", lambda: (2, 30))
    assert cli.main(["update", str(lived)]) == 0
    check(lived)


def test_answers_on_a_terminal_plan_nothing_anew(lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting every default gives what --defaults gives; another answer is recorded, and no knob moves."""
    known = yaml.safe_load((lived / ANSWERS).read_text())
    other, third = (Path(shutil.copytree(lived, tmp_path / name, symlinks=True)) for name in ("other", "third"))
    monkeypatch.setattr(console, "interactive", lambda: True)
    questions: list[str] = []

    def ask(_catalogue: Catalogue, question: Question, default: Any) -> Any:
        questions.append(question.key)
        return {"judge": judge}.get(question.key, default)

    judge = False
    monkeypatch.setattr(wizard, "ask_one", ask)
    assert cli.main(["update", str(lived), "--here"]) == 0
    assert ("judge" in questions) is ("judge" not in known) and not known.keys() & set(questions)
    assert len(questions) == len(set(questions))
    assert cli.main(["update", str(other), "--here", "--defaults"]) == 0
    assert everything(lived) == everything(other)
    if "judge" in known:  # a release that asked it is not asked again
        return
    judge = True
    assert cli.main(["update", str(third), "--here"]) == 0
    answers, before = (yaml.safe_load((path / ANSWERS).read_text()) for path in (third, other))
    assert answers["judge"] is True and (third / "pipeline" / "judge.py").exists()
    assert {key: value for key, value in answers.items() if key != "judge"} == {
        key: value for key, value in before.items() if key != "judge"
    }


def test_an_extra_that_the_parameters_use_stays(lived: Path) -> None:
    """Every project of these releases has the code of all extras; one that uses some of it keeps just that."""
    if "pii_engine: regex" not in (lived / "params.yaml").read_text():  # an older release has none of them
        return
    replace(lived / "params.yaml", "pii_engine: regex", "pii_engine: presidio")
    replace(lived / "params.yaml", "  engine: embedded", "  engine: datatrove-slurm")
    commit(lived)
    assert cli.main(["update", str(lived), "--here"]) == 0
    assert yaml.safe_load((lived / ANSWERS).read_text())["extras"] == "cluster,pii"
    assert (lived / "engine" / "data" / "datatrove_executor.py").exists()
    assert (lived / "engine" / "data" / "check" / "presidio.py").exists()
    assert not (lived / "engine" / "inference" / "llama_cpp_backend.py").exists()
    assert "cluster = [" in (lived / "pyproject.toml").read_text()


OWN = """from pipeline import wording
from pipeline.files import ProjectError, write_json
from pipeline.gate import main

USED = (wording.points, ProjectError, write_json, main)
"""
EDITED_TESTS = ("tests/test_gate.py", "tests/test_metrics.py")
STAGE = """  own:
    cmd: python -m pipeline.own
    deps:
      - pipeline/files.py
      - pipeline/own.py
    outs:
      - own.json

  gate:"""


@pytest.fixture(params=["root", "part"])
def settled(request: pytest.FixtureRequest, fresh: Path, tmp_path: Path) -> Path:
    """A project that a team has made its own: tuned, with a stage, a module, and edits of code, a test, line ends."""
    root = tmp_path / "repository"
    project = root if request.param == "root" else root / "team" / "project"
    shutil.copytree(fresh, project, symlinks=True)
    replace(project / "params.yaml", "seed: 42", "seed: 7")
    replace(project / "dvc.yaml", "  gate:", STAGE)
    (project / "pipeline" / "own.py").write_text(OWN)
    for name in ("pipeline/gate.py", *EDITED_TESTS):
        (project / name).write_text((project / name).read_text() + "\n\nMINE = 1\n")
    replace(project / "pipeline" / "files.py", "import json\n", "import json  # mine\n")
    runtime = project / "pipeline" / "runtime.py"
    runtime.write_bytes(runtime.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\nMINE = 2\r\n")
    git.start_repository(root, "Generate")
    return project


def test_the_owners_work_follows_the_code(settled: Path) -> None:
    done = update(settled, "--here", "--json")
    assert done.code == 0, done.out + done.err
    text = (settled / "engine" / "core" / "io.py").read_text()
    assert "import json  # mine\n" in text and not (settled / "pipeline" / "files.py").exists()
    device = (settled / "engine" / "core" / "device.py").read_bytes()
    assert device.endswith(b"\nMINE = 2\r\n") and device.count(b"\n") == device.count(b"\r\n")
    assert (settled / "pipeline" / "gate.py").read_text().endswith("\n\nMINE = 1\n")
    assert (settled / "pipeline" / "own.py").read_text() == (
        "from engine.core import display as wording\nfrom engine.core.errors import ProjectError\n"
        "from engine.core.io import write_json\nfrom pipeline.gate import main\n\n"
        "USED = (wording.points, ProjectError, write_json, main)\n"
    )
    own = yaml.safe_load((settled / "dvc.yaml").read_text())["stages"]["own"]
    assert own["deps"] == ["engine/core/io.py", "pipeline/own.py"]
    assert yaml.safe_load((settled / "params.yaml").read_text())["seed"] == 7
    kinds = {change["path"]: change["kind"] for change in done.data["files"]}
    assert kinds["pipeline/own.py"] == "imports" and {kinds[name] for name in EDITED_TESTS} == {"kept_test"}
    assert "conflict" not in kinds.values() and "dropped" not in kinds.values()
    shipped = {path.name for path in (REPOSITORY / "template" / "tests").glob("*.py")}
    edited = {Path(name).name for name in EDITED_TESTS}
    assert {path.name for path in (settled / "tests").glob("*.py")} == shipped | edited


def test_the_engine_is_a_commit_of_its_own(settled: Path) -> None:
    before = git.run("rev-parse", "HEAD", cwd=settled)
    assert update(settled, "--here").code == 0
    subjects = git.run("log", "--format=%s", f"{before}..", cwd=settled).splitlines()
    assert subjects == [f"Update to template {__version__}", f"Engine: template {__version__}"]
    listed = git.run("diff", "--name-status", "--no-renames", "--relative", "HEAD~1", cwd=settled).splitlines()
    read = dict(reversed(line.split("\t")) for line in listed)
    assert read["pipeline/gate.py"] == "M" and not [path for path in read if path.startswith(("engine/", "locks/"))]
    assert not [path for path, status in read.items() if status == "D" and path.endswith(".py")]
    assert "MINE" in (settled / "tests" / "test_gate.py").read_text()


def test_the_preview_counts_the_engine_and_lists_the_rest(settled: Path) -> None:
    shown = update(settled, "--preview").out
    assert "files of the engine and locks, none edited by you: " in shown
    assert "engine/core/device.py" in shown and "\n  engine/core/errors.py" not in shown
    assert "1 yours: imports of moved modules rewritten\n  pipeline/own.py" in shown


def test_a_conflict_names_the_new_home(lived: Path) -> None:
    (lived / "pipeline" / "gate.py").write_text("rewritten = 1\n")
    (lived / "pipeline" / "runtime.py").write_text("rewritten = 2\n")
    commit(lived)
    done = update(lived, "--here", "--json")
    assert done.code == 3
    notes = {change["path"]: change["note"] for change in done.data["files"] if change["kind"] == "conflict"}
    assert "engine/evaluation/gate_checks.py" in notes["pipeline/gate.py"]
    assert "pipeline/runtime.py" in notes["engine/core/device.py"]
    assert not [change for change in done.data["files"] if change["kind"] == "dropped"]


def test_a_tool_that_its_owner_edited_stays_and_says_what_it_became(lived: Path) -> None:
    """Edited, with other line ends, and as it was; and a stage of the owner's that runs one."""
    tools = [lived / "pipeline" / f"{name}.py" for name in ("ladder", "plots", "convert", "revisions")]
    if not all(tool.exists() for tool in tools):
        pytest.skip("this release has no ladder")
    ladder, plots, convert, revisions = tools
    ladder.write_text(ladder.read_text() + "\n\nMINE = 1\n")
    plots.write_bytes(plots.read_bytes().replace(b"\n", b"\r\n"))
    (lived / "pipeline" / "own.py").write_text("from pipeline.convert import convert\n\nOWN = convert\n")
    stage = "  drawn:\n    cmd: python -m pipeline.plots\n    deps:\n      - pipeline/ladder.py\n\n  gate:"
    replace(lived / "dvc.yaml", "  gate:", stage)
    commit(lived)
    done = update(lived, "--here", "--json")
    assert done.code == 0, done.out + done.err
    assert ladder.read_text().endswith("\n\nMINE = 1\n") and "from engine.core.params import" in ladder.read_text()
    assert not plots.exists() and not convert.exists() and not revisions.exists()
    (kept,) = [change for change in done.data["files"] if change["kind"] == "kept_tool"]
    assert kept["path"] == "pipeline/ladder.py" and "now project_tools.ladder of the package tunesmith" in kept["note"]
    told = {(one["path"], one["what"].partition(": ")[2]) for one in done.data["to_check"]}
    assert told >= {
        ("dvc.yaml", "`python -m pipeline.plots` is now `tunesmith tool`"),
        ("dvc.yaml", f"pipeline/ladder.py is {left_for('project_tools.ladder')}"),
        ("pipeline/ladder.py", "project_tools.git_revisions is in the package tunesmith and not in the project"),
        ("pipeline/own.py", "project_tools.convert is in the package tunesmith and not in the project"),
    }
    stages = yaml.safe_load((lived / "dvc.yaml").read_text())["stages"]
    assert stages["drawn"] == {"cmd": "python -m pipeline.plots", "deps": ["pipeline/ladder.py"]}
