"""The bundle: the same sources give the same commits, and earlier releases travel along."""

import shutil
from pathlib import Path

import pytest
from conftest import REPOSITORY

from tunesmith import __version__, bundle, git


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the template's sources that may be changed, outside any repository."""
    folder = tmp_path / "sources"
    for name in bundle.files(REPOSITORY):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, folder / name, follow_symlinks=False)
    return folder


def tags(path: Path) -> dict[str, str]:
    listed = git.run("ls-remote", "--tags", str(path), cwd=path.parent).splitlines()
    return {line.split("refs/tags/")[1]: line.split("\t")[0] for line in listed}


def test_equal_sources_give_equal_commits(sources: Path, tmp_path: Path) -> None:
    bundle.build(sources, tmp_path / "one.bundle")
    bundle.build(REPOSITORY, tmp_path / "two.bundle")
    newest = f"v{__version__}"
    assert tags(tmp_path / "one.bundle")[newest] == tags(tmp_path / "two.bundle")[newest]
    (sources / "template" / "__pycache__").mkdir()
    (sources / "template" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    bundle.build(sources, tmp_path / "three.bundle")
    assert tags(tmp_path / "three.bundle") == tags(tmp_path / "one.bundle")


def test_a_change_gives_another_commit(sources: Path, tmp_path: Path) -> None:
    bundle.build(sources, tmp_path / "one.bundle")
    (sources / "copier.yml").write_text((sources / "copier.yml").read_text() + "# changed\n")
    bundle.build(sources, tmp_path / "two.bundle")
    assert tags(tmp_path / "one.bundle") != tags(tmp_path / "two.bundle")


def test_earlier_releases_are_taken_from_history(sources: Path, tmp_path: Path) -> None:
    bundle.build(sources, tmp_path / "one.bundle", "0.1.0")
    git.start_repository(sources, "0.1.0")
    commit = git.run("rev-parse", "HEAD", cwd=sources)
    missing = "0" * 40
    (sources / "releases.toml").write_text(
        f'[[release]]\nversion = "0.0.9"\ncommit = "{missing}"\n[[release]]\nversion = "0.1.0"\ncommit = "{commit}"\n'
    )
    (sources / "template" / "new.txt").write_text("new\n")
    assert bundle.build(sources, tmp_path / "two.bundle", "0.2.0") == ["0.0.9"]
    assert tags(tmp_path / "two.bundle").keys() == {"v0.1.0", "v0.2.0"}
    assert tags(tmp_path / "two.bundle")["v0.1.0"] == tags(tmp_path / "one.bundle")["v0.1.0"]
