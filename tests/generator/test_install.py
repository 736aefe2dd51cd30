"""An installed wheel, with no checkout and no network, makes projects that plain `copier update` upgrades."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from tunesmith import __version__, bundle, git

REVISION = "0123456789abcdef0123456789abcdef01234567"


def build_wheel(sources: Path, folder: Path) -> str:
    """Builds the wheel into ``folder``; returns what pip and the build printed."""
    options = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", *options, "--wheel-dir", str(folder)]
    done = subprocess.run([*command, str(sources)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel holds. Put first on the path, it hides the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build_wheel(REPOSITORY, folder)
    (wheel,) = folder.glob(f"tunesmith-{__version__}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def new(installed: Path, folder: Path, home: Path | None = None, **answers: str) -> Path:
    """A project that the installed wheel made in ``folder``, by somebody whose own figures are in ``home``."""
    command = [sys.executable, "-P", "-m", "tunesmith", "new", "project", "--defaults"]
    command += [word for key, value in answers.items() for word in ("--set", f"{key}={value}")]
    settings = {**os.environ, "PYTHONPATH": str(installed), "https_proxy": "http://127.0.0.1:9"}
    settings |= {"XDG_CONFIG_HOME": str(home)} if home else {}
    done = subprocess.run(
        command, cwd=folder, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "project"


@pytest.fixture
def project(installed: Path, tmp_path: Path) -> Path:
    chosen = {
        "learning_rate": "5e-4",
        "model": "qwen3-0.6b",
        "model_revision": REVISION,
        "hardware": "l4",
        "shots": "4",
    }
    return new(installed, tmp_path, **chosen)


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A bundle with the release 0.4.0 of a changed template, and 0.3.0 before it."""
    sources = tmp_path / "sources"
    for name in bundle.files(REPOSITORY):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        (sources / name).write_bytes((REPOSITORY / name).read_bytes())
        (sources / name).chmod((REPOSITORY / name).stat().st_mode)
    for name in bundle.files(REPOSITORY):
        if (REPOSITORY / name).is_symlink():
            (sources / name).unlink()
            (sources / name).symlink_to((REPOSITORY / name).readlink())
    git.start_repository(sources, "0.3.0")
    commit = git.run("rev-parse", "HEAD", cwd=sources)
    (sources / "releases.toml").write_text(f'[[release]]\nversion = "0.3.0"\ncommit = "{commit}"\n')
    (sources / "template" / "CHANGES.md").write_text("New in 0.4.0\n")
    copier = (sources / "copier.yml").read_text().replace("    learning_rate: 0.001\n", "    learning_rate: 0.5\n")
    (sources / "copier.yml").write_text(copier + "\ngreeting:\n  type: str\n  default: hello\n")
    bundle.build(sources, tmp_path / "newer.bundle", "0.4.0")
    return tmp_path / "newer.bundle"


def answers(project: Path) -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load((project / ".copier-answers.yml").read_text())
    return loaded


def test_the_wheel_holds_the_data_and_the_bundle(installed: Path) -> None:
    data = installed / "tunesmith" / "_data"
    for name in (
        "copier.yml",
        "template.bundle",
        "schemas/spec.schema.json",
        "template/prices.yaml.jinja",
        "schemas/catalog/prices.yaml",
        "examples/home_assistant/spec.yaml",
        "project_tools/plots.py",
        "project_tools/plots.html.j2",
    ):
        assert (data / name).stat().st_size, name
    assert not [path for path in data.rglob("*") if "__pycache__" in path.parts]


def test_the_wheel_holds_every_release_listed(installed: Path) -> None:
    listed = tomllib.loads((REPOSITORY / "releases.toml").read_text())["release"]
    tags = git.run("ls-remote", "--tags", str(installed / "tunesmith" / "_data" / bundle.NAME), cwd=installed)
    held = {line.split("refs/tags/v")[1] for line in tags.splitlines()}
    assert held == {__version__, *(release["version"] for release in listed)}


def test_a_wheel_built_outside_a_clone_warns_of_the_releases_that_it_lacks(tmp_path: Path) -> None:
    sources = tmp_path / "tarball"
    for name in git.run("ls-files", "-z", cwd=REPOSITORY).split("\0"):
        if (REPOSITORY / name).is_file():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, sources / name, follow_symlinks=False)
    assert "lacks release 0.1.0" in build_wheel(sources, tmp_path)


def test_the_wheel_renders_what_the_checkout_renders(
    project: Path, tree: Callable[[Path], dict[str, bytes]], tmp_path: Path
) -> None:
    saved = tmp_path / "again"
    command = [sys.executable, "-m", "tunesmith", "new", str(saved), "--spec", str(project / ".copier-answers.yml")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert tree(saved) == tree(project)


def upgraded(project: Path, newer: Path, *data: str) -> None:
    """The project after `copier update` to the newer release, as somebody without Tunesmith runs it."""
    settings = {
        **os.environ,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{newer}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"{bundle.PUBLIC_URL}.git",
    }
    command = [sys.executable, "-m", "copier", "update", "--defaults", *data]
    done = subprocess.run(
        command, cwd=project, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_plain_copier_upgrades_the_project(project: Path, newer: Path) -> None:
    before = answers(project)
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("shots: 4", "shots: 8"))
    git.commit_all(project, "Eight shots")
    upgraded(project, newer)
    after = answers(project)
    assert after.pop("greeting") == "hello"
    assert after.pop("_commit") == "v0.4.0"
    assert after == {key: value for key, value in before.items() if key != "_commit"}
    assert (project / "CHANGES.md").read_text() == "New in 0.4.0\n"
    assert (project / "params.yaml").read_text() == params.replace("shots: 4", "shots: 8")


OWN = """hardware:
  house_card:
    {title: House card, memory_gib: 64, bf16: true, generation: hopper, tflops: 500, bandwidth_gb_s: 2000, watts: 400}
"""


def test_plain_copier_upgrades_a_project_with_a_machine_of_ones_own(
    installed: Path, newer: Path, tmp_path: Path
) -> None:
    """By a colleague who has neither the file with its figures nor the one with its price."""
    home = tmp_path / "home"
    (home / "tunesmith").mkdir(parents=True)
    (home / "tunesmith/hardware.yaml").write_text(OWN)
    (home / "tunesmith/prices.yaml").write_text(
        "hardware: {house_card: 0.7}\non_prem: {devices: {house_card: {purchase_usd: 9000}}}\n"
    )
    project = new(installed, tmp_path, home, hardware="house_card", approach="finetune")
    before, prices = answers(project), (project / "prices.yaml").read_bytes()
    assert b"House card" in prices
    upgraded(project, newer)
    after = answers(project)
    assert (after.pop("_commit"), after.pop("greeting")) == ("v0.4.0", "hello")
    assert after == {key: value for key, value in before.items() if key != "_commit"}
    assert (project / "CHANGES.md").read_text() == "New in 0.4.0\n" and (project / "prices.yaml").read_bytes() == prices
    assert yaml.safe_load((project / "params.yaml").read_text())["cost"]["hardware"] == "house_card"
    assert not git.run("diff", "--name-only", "--diff-filter=U", cwd=project)
    git.commit_all(project, "Update")
    upgraded(project, newer, "--data", "hardware=l4")
    assert answers(project)["hardware"] == "l4"
    assert yaml.safe_load((project / "params.yaml").read_text())["cost"]["hardware"] == "l4"
