"""params.yaml is read strictly: a slip stops the stage and names itself."""

import re
from pathlib import Path

import pytest
import yaml
from finished_project import PARAMS
from pydantic import ValidationError

from engine.core.errors import ProjectError
from engine.core.params import EMBEDDER, TOP, load
from engine.settings.everything import Everything
from engine.settings.model import FetchParams
from engine.settings.train import TrainParams

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
        load(Everything, changed(tmp_path, "  max_new_tokens:", "  max_new_token:"))
    assert "max_new_tokens" in caught.value.fix


@pytest.mark.parametrize(
    ("old", "new", "knob", "fix"),
    [
        ("  verdict: ", "  verdict: goals # ", "gate.verdict", "one of: any, goal, ships; did you mean goal?"),
        ("    echo: ", "    echo: keep # ", "curate.quality.echo", "one of: drop, report"),
        ("  test_items: ", "  test_item: ", "curate.test_item", "did you mean test_items?"),
        ("  test_items: ", "  seed: 1\n  test_items: ", "curate.seed", "remove it; allowed: path, format,"),
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
        load(Everything, path)
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
        load(Everything, path)
    assert caught.value.where.startswith(f"{path}{where}")


def test_a_wrong_word_in_a_group_that_not_every_project_has(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("method: qlora", "method: qlor"), "utf-8")
    with pytest.raises(ProjectError) as caught:
        load(TrainParams, path)
    assert caught.value.where.endswith(": train.method")
    assert "did you mean qlora?" in caught.value.fix


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"seed: 1 # caf\xe9")
    with pytest.raises(ProjectError, match="not UTF-8"):
        load(Everything, path)


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    assert (
        load(Everything, changed(tmp_path, "minimum_effect: ", "minimum_effect: 5e-4 # ")).evaluate.minimum_effect
        == 5e-4
    )


def test_one_knob_names_the_embedding_model_which_is_fetched_where_a_stage_needs_it(tmp_path: Path) -> None:
    assert load(Everything, written(tmp_path)).embedder == EMBEDDER
    for knob, off, on in (("similarity", "false", "true"), ("semantic_threshold", "null", "0.9")):
        (tmp_path / knob).mkdir()
        assert load(FetchParams, changed(tmp_path / knob, f"{knob}: {off}", f"{knob}: {on}")).embeds


def test_a_settings_value_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(Everything, written(tmp_path)).seed = 1  # type: ignore[misc]


def test_a_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        load(Everything, tmp_path / "params.yaml")
    assert "project's root" in caught.value.fix


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = TEXT.replace("method: qlora", "method: qlor").replace("  test_items: ", "  test_item: ")
    path = written(tmp_path, text.replace("gate:\n", "gates: {}\ngate:\n").replace("  alpha: ", "  alpha: 2 # "))
    with pytest.raises(ProjectError) as caught:
        load(Everything, path)
    told = str(caught.value)
    assert "params.yaml has 4 faults" in told
    faults = ("curate.test_item: ", "evaluate.alpha: ", "gates: ", "train.method: ")
    lines = [int(re.search(r"line (\d+)", line)[1]) for line in told.splitlines() if " column " in line]  # type: ignore[index]
    assert lines == sorted(lines) and len(lines) == 4
    for fault in faults:
        assert fault in told.replace("\n   ", ":"), fault
    assert "did you mean qlora?" in told and "did you mean gate?" in told and "did you mean test_items?" in told


@pytest.mark.parametrize(
    ("old", "new", "knob"),
    [
        ("seed: 7", "seed: '7'", "seed"),
        ("smoke: false", "smoke: 0", "smoke"),
        ("max_steps: 96", "max_steps: 96.0", "train.max_steps"),
        ("target_modules: all-linear", "target_modules: 3", "train.target_modules"),
    ],
)
def test_a_value_of_another_type_is_not_converted(tmp_path: Path, old: str, new: str, knob: str) -> None:
    with pytest.raises(ProjectError) as caught:
        load(Everything, changed(tmp_path, old, new))
    assert knob in str(caught.value)


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    assert load(TrainParams, changed(tmp_path, "learning_rate: 0.001", "learning_rate: 1")).train.learning_rate == 1.0


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="stands twice") as caught:
        load(TrainParams, written(tmp_path, TEXT.replace("  max_steps: 96", "  max_steps: 96\n  max_steps: 9")))
    assert caught.value.where.endswith("column 3: train.max_steps")


def test_a_stage_checks_its_own_groups_and_the_names_of_all(tmp_path: Path) -> None:
    assert load(TrainParams, changed(tmp_path, "verdict: ships", "verdict: shipz")).train.max_steps == 96
    (tmp_path / "other").mkdir()
    with pytest.raises(ProjectError, match="unknown key `gates`"):
        load(TrainParams, changed(tmp_path / "other", "gate:\n", "gates:\n"))


def test_the_names_at_the_top_are_those_of_the_groups() -> None:
    assert set(TOP) == Everything.model_fields.keys()
