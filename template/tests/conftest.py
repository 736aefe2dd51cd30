"""What the tests of this project share. The engine's own tests: `tunesmith selftest .`"""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder, as the current one."""
    monkeypatch.chdir(ROOT)
    return ROOT
