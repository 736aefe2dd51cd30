"""Projects that somebody lived in, updated from every release: nothing is lost, what was not edited is as fresh.

A life edits a project and commits, waits for the update, and then looks at what became of the edits.
"""

import os
import subprocess
import tomllib
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import yaml
from history import RELEASES
from updating import ANSWERS, Workshop, commit, everything, replace

from tunesmith import git

Life = Callable[[Path], Generator[None, None, None]]
LIVES: dict[str, Life] = {}
OLD = list(RELEASES)[:-1]
APART = (
    ("windows_line_endings", "untracked_and_ignored_files", "a_changed_mode"),
    ("names_that_are_not_ascii", "untouched"),
)


def life(function: Life) -> Life:
    LIVES[function.__name__] = function
    return function


@life
def untouched(project: Path) -> Generator[None, None, None]:
    yield


@life
def tuned_parameters(project: Path) -> Generator[None, None, None]:
    replace(project / "params.yaml", "learning_rate: 0.001", "learning_rate: 0.5 # found by a sweep")
    replace(project / "params.yaml", "parity_items: 8", "parity_items: 12")
    replace(project / "params.yaml", "  weight_decay: 0.0\n", "  weight_decay: 0.1\n  my_own: 3\n")
    commit(project)
    yield
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["train"]["learning_rate"] == 0.5 and params["train"]["weight_decay"] == 0.1
    assert params["train"]["my_own"] == 3 and params["train"]["gradient_clip"] == 1.0
    assert params["serve"]["parity_items"] == 12 and params["evaluate"]["batch_size"] == 32
    assert "# found by a sweep" in (project / "params.yaml").read_text()


@life
def an_added_stage(project: Path) -> Generator[None, None, None]:
    replace(
        project / "dvc.yaml",
        "\nmetrics:\n",
        "\n  mine: # ours\n    cmd: python mine.py\n    deps:\n      - mine.py\n\nmetrics:\n",
    )
    replace(project / "dvc.yaml", "      - data/benchmarks\n", "      - pipeline/own.py\n      - data/benchmarks\n")
    (project / "mine.py").write_text("print('mine')\n")
    commit(project)
    yield
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    assert stages["mine"]["cmd"] == "python mine.py" and "# ours" in (project / "dvc.yaml").read_text()
    deps = stages["curate"]["deps"]
    assert "pipeline/own.py" in deps and "pipeline/similar.py" in deps and "pipeline/alike.py" not in deps


@life
def an_added_dependency(project: Path) -> Generator[None, None, None]:
    replace(project / "pyproject.toml", '  "msgspec",\n', '  "msgspec",\n  "polars",\n')
    replace(project / "locks" / "trl.txt", "accelerate==", "aardvark==2.0\naccelerate==")
    commit(project)
    yield
    dependencies = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "polars" in dependencies and "orjson" in dependencies
    lock = (project / "locks" / "trl.txt").read_text()
    assert "aardvark==2.0\n" in lock and "accelerate==1.0.0.post" in lock


@life
def an_edited_file_that_the_template_renames(project: Path) -> Generator[None, None, None]:
    name = "similar" if (project / "pipeline" / "similar.py").exists() else "alike"
    path = project / "pipeline" / f"{name}.py"
    path.write_text(path.read_text() + "\n\nMINE = 1\n")
    commit(project)
    yield
    assert (project / "pipeline" / "similar.py").read_text().endswith("MINE = 1\n")
    assert not (project / "pipeline" / "alike.py").exists()


@life
def a_deleted_template_file(project: Path) -> Generator[None, None, None]:
    (project / "pipeline" / "gate.py").unlink()
    (project / "DECISION.md").unlink()
    commit(project)
    yield
    assert not (project / "pipeline" / "gate.py").exists() and not (project / "DECISION.md").exists()


@life
def a_moved_template_file(project: Path) -> Generator[None, None, None]:
    (project / "pipeline" / "money").mkdir()
    (project / "engine" / "reporting" / "inputs.py").rename(project / "pipeline" / "money" / "facts.py")
    commit(project)
    yield
    assert "RELEASE_OF_INPUTS" in (project / "pipeline" / "money" / "facts.py").read_text()
    assert not (project / "engine" / "reporting" / "inputs.py").exists()


@life
def an_own_ci_job(project: Path) -> Generator[None, None, None]:
    ci = project / ".github" / "workflows" / "ci.yml"
    ci.write_text(ci.read_text() + "\n  mine:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make mine\n")
    (project / ".github" / "workflows" / "own.yml").write_text("name: Own\non: push\njobs: {}\n")
    commit(project)
    yield
    jobs = yaml.safe_load(ci.read_text())["jobs"]
    assert jobs["mine"]["steps"] == [{"run": "make mine"}] and jobs["check"]["timeout-minutes"] == 60
    assert (project / ".github" / "workflows" / "own.yml").exists()


@life
def windows_line_endings(project: Path) -> Generator[None, None, None]:
    for name in ("pipeline/gate.py", "engine/reporting/inputs.py", ".gitignore"):
        path = project / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    replace_bytes(project / "engine" / "reporting" / "inputs.py", b'"""', b'"""Mine. ')
    git.run("-c", "core.autocrlf=false", "add", "--all", cwd=project)
    git.commit(project, "CRLF")
    yield
    gate, facts = (
        (project / "pipeline" / "gate.py").read_bytes(),
        (project / "engine" / "reporting" / "inputs.py").read_bytes(),
    )
    assert b"RELEASE_OF_GATE = 6\r\n" in gate and gate.count(b"\n") == gate.count(b"\r\n")
    assert b'"""Mine. ' in facts and b"RELEASE_OF_INPUTS = 6\r\n" in facts


@life
def links(project: Path) -> Generator[None, None, None]:
    (project / "latest").symlink_to("pipeline/gate.py")
    (project / "engine" / "reporting" / "charts.py").rename(project / "our_charts.py")
    (project / "engine" / "reporting" / "charts.py").symlink_to("../../our_charts.py")
    commit(project)
    yield
    assert os.readlink(project / "latest") == "pipeline/gate.py"
    assert (project / "our_charts.py").is_file()
    assert os.readlink(project / "engine" / "reporting" / "charts.py") == "../../our_charts.py"


@life
def a_submodule(project: Path) -> Generator[None, None, None]:
    other = project.parent / "other"
    other.mkdir()
    (other / "a.txt").write_text("a\n")
    git.start_repository(other, "other")
    git.run("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "vendored", cwd=project)
    commit(project)
    (project / "vendored" / "untracked.txt").write_text("mine\n")
    yield
    assert (project / "vendored" / "a.txt").read_text() == "a\n"
    assert (project / "vendored" / "untracked.txt").read_text() == "mine\n"


@life
def names_that_are_not_ascii(project: Path) -> Generator[None, None, None]:
    (project / "données").mkdir()
    (project / "données" / "späße 😀.txt").write_text("é\n")
    (project / "prompts" / 'a "quoted"\tname').write_text("x\n")
    (project / "pipeline" / "gate.py").rename(project / "pipeline" / "tør.py")
    commit(project)
    yield
    assert (project / "données" / "späße 😀.txt").read_text() == "é\n"
    assert (project / "prompts" / 'a "quoted"\tname').exists()
    assert "RELEASE_OF_GATE" in (project / "pipeline" / "tør.py").read_text()


@life
def untracked_and_ignored_files(project: Path) -> Generator[None, None, None]:
    (project / ".env").write_text("SECRET=1\n")
    (project / "notes.txt").write_text("not for git\n")
    (project / "data" / "curated").mkdir(parents=True)
    (project / "data" / "curated" / "train.jsonl").write_text("{}\n")
    git.run("rm", "--quiet", "--cached", "pipeline/cost.py", cwd=project)
    replace(project / ".gitignore", "/checkpoints/\n", "/checkpoints/\n/pipeline/cost.py\n")
    git.run("add", ".gitignore", cwd=project)
    git.commit(project, "Ignore")
    cost = (project / "pipeline" / "cost.py").read_bytes()
    yield
    assert (project / ".env").read_text() == "SECRET=1\n" and (project / "notes.txt").exists()
    assert (project / "data" / "curated" / "train.jsonl").exists()
    assert (project / "pipeline" / "cost.py").read_bytes() == cost, "ignored, so never touched"
    assert "/pipeline/cost.py\n" in (project / ".gitignore").read_text()


@life
def a_seed_of_the_users(project: Path) -> Generator[None, None, None]:
    (project / "prompts" / "system.txt").write_text("You are our assistant.\n")
    commit(project)
    yield
    assert (project / "prompts" / "system.txt").read_text() == "You are our assistant.\n"


@life
def a_changed_mode(project: Path) -> Generator[None, None, None]:
    (project / "environment.py").chmod(0o755)
    (project / "params.yaml").chmod(0o755)
    replace(project / "params.yaml", "seed: 42", "seed: 7")
    commit(project)
    yield
    assert os.access(project / "environment.py", os.X_OK) and os.access(project / "params.yaml", os.X_OK)
    assert yaml.safe_load((project / "params.yaml").read_text())["seed"] == 7


def replace_bytes(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


# Lives that edit the same files are lived apart.
TOGETHER = [[name for name in LIVES if name not in APART[0] + APART[1]], *map(list, APART)]


@pytest.mark.parametrize("name", LIVES)
def test_a_life_survives_an_update(name: str, shop: Workshop, tmp_path: Path) -> None:
    check([name], "0.0.1", shop, tmp_path)


@pytest.mark.parametrize("version", OLD[1:])
@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: f"{len(names)}-lives")
def test_lives_survive_an_update_together(names: list[str], version: str, shop: Workshop, tmp_path: Path) -> None:
    check(names, version, shop, tmp_path)


def test_every_life_is_lived_from_every_release() -> None:
    assert {name for names in TOGETHER for name in names} == LIVES.keys()


def check(names: list[str], version: str, shop: Workshop, tmp_path: Path) -> None:
    """Live, update, and look: what was not edited is as fresh, what was is kept, and a second update does nothing."""
    project = shop.project(version, tmp_path / "project")
    lives = [LIVES[name](project) for name in names]
    for lived in lives:
        next(lived)
    before = everything(project)
    done = shop.update(project)
    assert done.code == 0, done.out + done.err
    after = everything(project)
    fresh, old = everything(shop.templates["0.3.0"]), everything(shop.templates[version])
    tracked = set(git.run("ls-files", "-z", cwd=project).split("\0"))
    for path, content in before.items():
        if content == old.get(path) and path in tracked:
            assert after.get(path) == fresh.get(path), f"{path} was not edited and is not as fresh"
        elif path not in old and content not in old.values():
            assert after.get(path) == content, f"{path} is the user's own"
    for lived in lives:
        assert list(lived) == []
    assert git.run("status", "--porcelain", "--untracked-files=no", cwd=project) == ""
    assert git.run("branch", "--show-current", cwd=project) == "template/0.3.0"
    again = shop.update(project, "--preview")
    assert again.code == 0 and "up to date" in again.out
    assert yaml.safe_load((project / ANSWERS).read_text())["_commit"] == "v0.3.0"


@pytest.mark.parametrize("version", OLD)
def test_a_project_in_a_part_of_a_repository(version: str, shop: Workshop, tmp_path: Path) -> None:
    mono = tmp_path / "mono"
    mono.mkdir()
    (mono / "params.yaml").write_text("ours: 1\n")
    git.start_repository(mono, "mono")
    project = shop.project(version, mono / "teams" / "one", inside=mono)
    replace(project / "params.yaml", "seed: 42", "seed: 7")
    commit(mono)
    done = shop.update(project)
    assert done.code == 0, done.err
    fresh = everything(shop.templates["0.3.0"])
    found = everything(project)
    assert {path for path in fresh if fresh[path] != found.get(path)} == {"params.yaml"}
    assert fresh.keys() == found.keys()
    assert (mono / "params.yaml").read_text() == "ours: 1\n"
    assert git.run("status", "--porcelain", cwd=mono) == ""


def test_a_shallow_clone(shop: Workshop, tmp_path: Path) -> None:
    origin = shop.project("0.0.2", tmp_path / "origin")
    replace(origin / "params.yaml", "seed: 42", "seed: 7")
    commit(origin)
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{origin}", tmp_path / "clone"], check=True)
    assert shop.update(tmp_path / "clone").code == 0
    assert yaml.safe_load((tmp_path / "clone" / "params.yaml").read_text())["seed"] == 7
    assert (tmp_path / "clone" / "pipeline" / "trend.py").exists()


def test_every_release_in_turn_is_the_same_as_one_step(shop: Workshop, tmp_path: Path) -> None:
    stepwise, direct = (shop.project("0.0.1", tmp_path / name) for name in ("stepwise", "direct"))
    for project in (stepwise, direct):
        replace(project / "params.yaml", "seed: 42", "seed: 7")
        replace(project / "pipeline" / "alike.py", '"""', '"""Mine. ')
        commit(project)
    for version in list(RELEASES)[1:]:
        done = shop.update(stepwise, "--to", version, "--here")
        assert done.code == 0, done.out + done.err
    assert shop.update(direct, "--here").code == 0
    assert everything(stepwise) == everything(direct)
