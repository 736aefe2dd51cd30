"""params.yaml is read strictly: a slip stops the stage and names itself."""

from pathlib import Path

import pytest

from pipeline.files import ProjectError
from pipeline.settings import EMBEDDER, PARAMS, load

ROOT = Path(__file__).resolve().parents[1]


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = (ROOT / PARAMS).read_text("utf-8")
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new), "utf-8")
    return path


def test_the_emitted_parameters_are_valid() -> None:
    assert load(ROOT / PARAMS).evaluate.bootstrap_samples >= 1


def test_a_misspelt_knob_is_refused_with_the_right_spelling(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="max_new_token") as caught:
        load(changed(tmp_path, "  max_new_tokens:", "  max_new_token:"))
    assert "max_new_tokens" in caught.value.mend


def test_a_value_of_the_wrong_type_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"test_items"):
        load(changed(tmp_path, "test_items: ", "test_items: many # "))


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    assert load(changed(tmp_path, "minimum_effect: ", "minimum_effect: 5e-4 # ")).evaluate.minimum_effect == 5e-4


def test_one_knob_names_the_embedding_model_which_is_fetched_where_a_stage_needs_it(tmp_path: Path) -> None:
    assert load(ROOT / PARAMS).embedder == EMBEDDER
    for knob, off, on in (("similarity", "false", "true"), ("semantic_threshold", "null", "0.9")):
        (tmp_path / knob).mkdir()
        assert load(changed(tmp_path / knob, f"{knob}: {off}", f"{knob}: {on}")).embeds


def test_a_settings_value_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load(ROOT / PARAMS).seed = 1  # type: ignore[misc]


def test_a_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        load(tmp_path / "params.yaml")
    assert "project's root" in caught.value.mend
