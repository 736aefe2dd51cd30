"""The emitted environment.py: what it installs, with uv or pip, in which folder, and what it refuses."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import Run

ENVIRONMENT = Path(__file__).parents[2] / "template" / "environment.py"
PYPROJECT = """[project]
name = "x"
version = "0"
dependencies = ["one"]
[dependency-groups]
dev = [{include-group = "tools"}]
tools = ["two"]
other = ["one"]
unlocked = ["one"]
"""


def wheel(folder: Path, name: str, version: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        about = f"{name}-{version}.dist-info"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with environment.py and two small packages, found in a folder alone. No uv is on PATH."""
    project, wheels = tmp_path / "project", tmp_path / "wheels"
    for folder in (wheels, project / "locks", project / "pipeline"):
        folder.mkdir(parents=True)
    for name, version in (("one", "1.0"), ("one", "2.0"), ("two", "1.0"), ("two", "2.0")):
        wheel(wheels, name, version)
    (project / "environment.py").write_bytes(ENVIRONMENT.read_bytes())
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "locks" / "trl.txt").write_text("one==1.0\ntwo==1.0\n")
    (project / "locks" / "other.txt").write_text("one==2.0\n")
    (project / "pipeline" / "model.py").write_text("print('fetched')\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name in ("PROJECT_VENV", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    return project


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "environment.py", *arguments], cwd=project, capture_output=True, text=True, check=False
    )


ASK = "import one, sys; print(one.version, *(['two'] if __import__('importlib.util').util.find_spec('two') else []))"


def test_each_environment_has_its_own_lock_and_group(bare: Path) -> None:
    assert run(bare, "python", "-c", ASK).stdout.splitlines()[-2:] == ["fetched", "1.0 two"]
    other = run(bare, "--env", "other", "python", "-c", ASK)
    assert other.stdout.splitlines()[-1] == "2.0" and "fetched" not in other.stdout
    assert (bare / ".venvs" / "other").is_dir()
    assert "making" not in run(bare, "--env", "other", "python", "-c", ASK).stdout, "nothing to install again"
    (bare / "locks" / "other.txt").write_text("one==1.0\n")
    assert run(bare, "--env", "other", "python", "-c", ASK).stdout.splitlines()[-1] == "1.0"


@pytest.mark.parametrize("name", ["unlocked", "absent"])
def test_an_environment_without_a_group_or_a_lock_is_refused(bare: Path, name: str) -> None:
    refused = run(bare, "--env", name, "python", "-V")
    assert refused.returncode == 1 and not (bare / ".venvs").exists()
    assert refused.stderr == f"error: --env: no environment '{name}'; those of pyproject.toml with a lock: other\n"


def test_a_package_that_cannot_be_had_is_said_and_tried_again(bare: Path) -> None:
    (bare / "locks" / "trl.txt").write_text("one==1.0\ntwo==9.0\n")
    failed = run(bare, "python", "-V")
    assert failed.returncode and "pip install" in failed.stderr and "run this again" in failed.stderr
    assert not list((bare / ".venv").glob("installed-*"))


def test_uv_installs_if_it_is_on_path(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the settings that pip has: the packages lie where PIP_FIND_LINKS says."""
    uv = pytest.importorskip("uv").find_uv_bin()
    monkeypatch.setenv("PATH", f"{Path(uv).parent}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    assert run(bare, "python", "-c", ASK).stdout.splitlines()[-1] == "1.0 two"
    (about,) = (bare / ".venv").glob("lib/python*/site-packages/one-*.dist-info")
    assert (about / "INSTALLER").read_text() == "uv"


def test_pip_installs_what_uv_cannot(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "uv").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    done = run(bare, "python", "-c", ASK)
    assert done.stdout.splitlines()[-1] == "1.0 two" and "uv could not install this; pip tries" in done.stderr


def test_variables_of_dotenv_are_set_unless_they_are_set_already(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / ".env").write_text(
        "# Keys\n#A=no\nexport B='two words'\nC=from file\nD=\nPROJECT_VENV=elsewhere\n\nnothing\n"
    )
    monkeypatch.setenv("C", "from shell")
    done = run(bare, "python", "-c", "import os; print(*(os.environ.get(name) for name in 'ABCD'), sep=',')")
    assert done.stdout.splitlines()[-1] == "None,two words,from shell,None"
    assert (bare / "elsewhere").is_dir() and not (bare / ".venv").exists()


@pytest.mark.parametrize(("approach", "trains"), [("prompting", False), ("finetune", True)])
def test_a_project_installs_training_only_if_it_trains(
    approach: str, trains: bool, tunesmith: Run, tmp_path: Path
) -> None:
    import tomllib

    assert tunesmith("new", tmp_path / "p", "--defaults", "--set", f"approach={approach}").returncode == 0
    declared = tomllib.loads((tmp_path / "p" / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {"trl", "peft", "bitsandbytes", "datasets"} & {*declared} == (
        {"trl", "peft", "bitsandbytes", "datasets"} if trains else set()
    )


def test_an_editable_install_makes_the_code_importable_from_anywhere(project: Path, tmp_path: Path) -> None:
    """What pip's build asks of setuptools, without the network: an editable wheel from the checkout."""
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", str(project), str(copy)], check=True)
    for folder in ("models", "reports", "results"):
        (copy / folder).mkdir(exist_ok=True)
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(copy)]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    installed = {path.name for path in target.iterdir()}
    assert {"pipeline", "evals"} <= installed and not {"data", "models", "prompts", "locks"} & installed
