"""Projects of every version in releases.toml are updated to this one: by us, and by plain copier."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from updating import ANSWERS, commit, everything, replace

from tunesmith import __version__, bundle, cli, console, git, wizard
from tunesmith.catalog import Catalogue
from tunesmith.questions import Question
from tunesmith.render import render_answers
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
