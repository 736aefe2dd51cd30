"""A setting whose code the project was generated without says how to bring it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from finished_project import PARAMS
from raw_data import curate_settings, rows, write_raw

from engine.core.errors import ProjectError
from engine.core.io import write_text
from engine.core.params import load
from engine.evaluation.diagnostics import secondary_of
from engine.settings.evaluate import EvaluateParams
from engine.settings.inference import GgufSettings
from pipeline.baseline import gguf_model
from pipeline.curate import curate


def by_a_cluster() -> None:
    write_raw(rows(120))
    curate(curate_settings(engine="datatrove-local"), smoke=False)


def by_presidio() -> None:
    write_raw(rows(120))
    curate(curate_settings(pii_engine="presidio"), smoke=False)


def by_meaning() -> None:
    write_raw(rows(120))
    curate(curate_settings(semantic_threshold=0.9), smoke=False)


def by_similarity() -> None:
    write_text(Path("params.yaml"), PARAMS.replace("endpoint: null", "endpoint: null, similarity: true"))
    secondary_of({"tuned": []}, load(EvaluateParams))


def by_llama() -> None:
    gguf_model(GgufSettings(path="x.gguf", sha256="0" * 64), 1)


@pytest.mark.parametrize(
    ("module", "run", "extra", "where"),
    [
        ("engine.data.datatrove_executor", by_a_cluster, "cluster", "curate.engine: datatrove-local"),
        ("engine.data.check.presidio", by_presidio, "pii", "curate.pii_engine: presidio"),
        ("engine.data.dedup.semantic_dedup", by_meaning, "embeddings", "params.yaml: curate.semantic_threshold"),
        ("engine.inference.embedder", by_similarity, "embeddings", "params.yaml: evaluate.similarity"),
        ("engine.inference.llama_cpp_backend", by_llama, "llama", "params.yaml: evaluate.gguf"),
    ],
)
@pytest.mark.parametrize("chosen", ["", "other"])
def test_what_is_left_out_is_named(
    module: str,
    run: Callable[[], None],
    extra: str,
    where: str,
    chosen: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (project / ".copier-answers.yml").write_text(f"extras: '{chosen}'\n")
    with pytest.raises(ProjectError) as error:
        run()
    assert error.value.where == where and f"`{extra}`" in error.value.what
    wanted = f"{chosen},{extra}" if chosen else extra
    assert f"tunesmith update --set extras={wanted}" in error.value.fix
