"""params.yaml is read strictly: a slip stops the stage and names itself."""

import re
from pathlib import Path

import pytest
import yaml
from finished_project import PARAMS

from engine.core.errors import ProjectError
from engine.core.settings import EMBEDDER, load

KNOBS = yaml.safe_load(PARAMS)
KNOBS["curate"]["semantic_threshold"], KNOBS["evaluate"]["similarity"] = None, False
TEXT = yaml.safe_dump(KNOBS, sort_keys=False).replace("shots:\n  - 2\n  - 6\n", "shots: [2, 6]\n")


def written(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text, "utf-8")
    return path


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = TEXT
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new), "utf-8")
    return path


def test_a_misspelt_knob_is_refused_with_the_right_spelling(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="max_new_token") as caught:
        load(changed(tmp_path, "  max_new_tokens:", "  max_new_token:"))
    assert "max_new_tokens" in caught.value.fix


@pytest.mark.parametrize(
    ("old", "new", "knob", "fix"),
    [
        ("  verdict: ", "  verdict: goals # ", "gate.verdict", "one of: any, goal, ships; did you mean goal?"),
        ("    echo: ", "    echo: keep # ", "curate.quality.echo", "one of: drop, report"),
        ("  test_items: ", "  test_item: ", "curate.test_item", "did you mean test_items?"),
        ("  test_items: ", "  seed: 1\n  test_items: ", "curate.seed", "remove it; here may stand: path, format,"),
        ("  test_items: ", "  # ", "curate", "git diff"),
        ("  test_items: ", "  test_items: many # ", "curate.test_items", "git diff"),
        ("  shots: [", "  shots: [few, ", "evaluate.shots.0", "git diff"),
        ("  primary_metric: ", "  primary_metric: 1 # ", "evaluate.primary_metric", "in quotes"),
        ("  primary_metric: ", "  1: 2\n  primary_metric: ", "evaluate", "in quotes"),
    ],
)
def test_a_slip_is_told_with_its_line_and_what_was_meant(
    tmp_path: Path, old: str, new: str, knob: str, fix: str
) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(ProjectError) as caught:
        load(path)
    found = re.fullmatch(rf"{path}, line (\d+), column (\d+): {knob}", caught.value.where)
    assert found, caught.value.where
    line = path.read_text("utf-8").splitlines()[int(found[1]) - 1]
    name = "few" if knob.endswith("0") else f"{knob.rpartition('.')[2]}:"
    assert line[int(found[2]) - 1 :].startswith(name)
    assert fix in caught.value.fix


@pytest.mark.parametrize(("text", "where"), [("", ""), ("- 1", ""), ("seed: 1\nsmoke", ", line 2, column 1 to line 2")])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ProjectError) as caught:
        load(path)
    assert caught.value.where.startswith(f"{path}{where}")


def test_a_wrong_word_in_a_group_that_not_every_project_has(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train:\n  method: qlor\n")
    with pytest.raises(ProjectError) as caught:
        load(path)
    assert caught.value.where == f"{path}, line 2, column 3: train.method"
    assert "did you mean qlora?" in caught.value.fix


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"seed: 1 # caf\xe9")
    with pytest.raises(ProjectError, match="not UTF-8"):
        load(path)


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    assert load(changed(tmp_path, "minimum_effect: ", "minimum_effect: 5e-4 # ")).evaluate.minimum_effect == 5e-4


def test_one_knob_names_the_embedding_model_which_is_fetched_where_a_stage_needs_it(tmp_path: Path) -> None:
    assert load(written(tmp_path)).embedder == EMBEDDER
    for knob, off, on in (("similarity", "false", "true"), ("semantic_threshold", "null", "0.9")):
        (tmp_path / knob).mkdir()
        assert load(changed(tmp_path / knob, f"{knob}: {off}", f"{knob}: {on}")).embeds


def test_a_settings_value_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        load(written(tmp_path)).seed = 1  # type: ignore[misc]


def test_a_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        load(tmp_path / "params.yaml")
    assert "project's root" in caught.value.fix
