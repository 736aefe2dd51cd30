"""DVC knows the code that decides a result: an edit runs again the stages that run it, and no other."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Project
from .test_1_update import changed_stages, live, run


@pytest.fixture(scope="module")
def recorded(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The main example with every stage recorded as done."""
    made = Project(Path(shutil.copytree(project.path, tmp_path_factory.mktemp("code") / "project", symlinks=True)))
    live(made)
    assert changed_stages(made) == set()
    return made


@pytest.fixture
def done(recorded: Project) -> Iterator[Project]:
    yield recorded
    recorded.git("checkout", "--", ".")


SCORING = {"baseline", "evaluate", "gate", "report", "tuned"}
CASES = {
    "a comment": ("engine/core/display.py", '"""\n\nfrom', '"""\n\n# Words.\nfrom', set()),
    "a docstring": ("engine/core/device.py", '"""What a run computes on', '"""Where and how a run computes', set()),
    "a seed": ("engine/data/dedup/near_duplicates.py", "default_rng(0x5EED)", "default_rng(0x5EEE)", {"curate"}),
    "the trainer": ("pipeline/train_sft.py", "packing=False", "packing=True", {"train"}),
    "a page": ("engine/html/report.css", "body", "main", {"report", "curate", "format", "gate"}),
    "words of the report": ("engine/reporting/report_page/report.html.j2", "Chance alone?", "By chance?", {"report"}),
    "a ladder, which no stage reads": ("evals/ladder.yaml", "bar: ", "bar: 0.01 # ", set()),
    "torch": ("locks/trl.txt", "torch==2.13.0", "torch==2.13.1", {"model", "format", "baseline", "train", "tuned"}),
    "a server that decides nothing": ("locks/trl.txt", "uvicorn==", "uvicorn==0.", set()),
    "the project's own metric": ("evals/metrics.py", "METRICS: ", "LIMIT = 3\nMETRICS: ", SCORING),
}


@pytest.mark.parametrize(("file", "old", "new", "expected"), CASES.values(), ids=CASES.keys())
def test_an_edit_runs_again_what_it_decides(done: Project, file: str, old: str, new: str, expected: set[str]) -> None:
    done.edit(file, old, new)
    assert changed_stages(done) == {"code"}
    run(done, "dvc", "repro", "code")
    assert expected <= changed_stages(done)
    if file != "locks/trl.txt":  # torch decides in every stage that renders or answers
        assert changed_stages(done) == expected
