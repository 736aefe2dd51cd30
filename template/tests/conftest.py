"""What many tests need."""

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one, with answers kept nowhere else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("engine.inference.backend.ANSWERS", tmp_path / "answers")
    return tmp_path
