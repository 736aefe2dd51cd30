"""Runs the real command line for the generator's tests, and keeps the machine's git and copier settings out."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from updating import Workshop

REPOSITORY = Path(__file__).resolve().parents[2]

hypothesis.settings.load_profile("ci")  # the same examples on every machine: what passes here passes in CI

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", autouse=True)
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home without a git identity, caches of its own, and a git that refuses every network protocol."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n[commit]\n\tgpgsign = true\n")
    settings = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "COPIER_CACHE_DIR": str(home / "copier"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "file",
        "SOURCE_DATE_EPOCH": "1800000000",  # no project changes because midnight passes during the tests
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="session")
def tunesmith() -> Run:
    """Runs ``tunesmith ARGUMENTS`` as a process without a terminal."""

    def run(*arguments: object, cwd: Path | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tunesmith", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def project(tunesmith: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the default answers; tests only read it."""
    path = tmp_path_factory.mktemp("rendered") / "project"
    done = tunesmith("new", path, "--defaults")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Maps each file below a folder to its bytes, git's own files left out."""

    def files(folder: Path) -> dict[str, bytes]:
        found = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in found
            if ".git" not in path.relative_to(folder).parts
        }

    return files


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes a spec and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "spec.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Workshop]":
    """Projects of six releases of the template, for the update tests."""
    import history
    import updating

    with updating.workshop(tmp_path_factory.mktemp("workshop"), history.build, list(history.RELEASES)) as made:
        yield made
