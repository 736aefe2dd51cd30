"""The hash of a stage's code changes with what the stage runs, and with nothing else."""

import textwrap
from pathlib import Path

import pytest

from engine.core import fingerprint
from engine.core.fingerprint import closure, code, data, entries, fingerprints, locked_versions, parsed

PROJECT = {
    "dvc.yaml": """
        stages:
          code: {cmd: python -m engine.core.fingerprint}
          format: {cmd: python -m pipeline.format}
          train: {cmd: python -m torch.distributed.run --standalone -m pipeline.train}
          own: {cmd: [python scripts/count.py --all, "python -m json.tool x.json"]}
          list: {cmd: ls data}
        """,
    "pipeline/__init__.py": "",
    "pipeline/shared.py": "import numpy\nONE = 1\n",
    "pipeline/format.py": "from pipeline.shared import ONE\n",
    "pipeline/train.py": '"""Trains."""\n\nfrom pipeline import shared\nfrom pipeline.trainers.sft import fit\n',
    "pipeline/trainers/__init__.py": "",
    "pipeline/trainers/sft.py": "def fit():\n    import trl\n    return trl  # heavy\n",
    "pipeline/trainers/defaults.json": "{}",
    "pipeline/trainers/README.md": "Read me.",
    "scripts/count.py": "import helper\n",
    "scripts/helper.py": "TWO = 2\n",
    "locks/trl.txt": "numpy==2.0\ntorch==2.13.0\ntrl==1.0\nuvicorn==0.40\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return tmp_path


def changed(root: Path, name: str, text: str) -> set[str]:
    """The stages whose hash an edit changes."""
    before = fingerprints(root)
    (root / name).write_text(text, encoding="utf-8")
    parsed.cache_clear()
    fingerprint.file_hash.cache_clear()
    after = fingerprints(root)
    return {stage for stage in before.keys() | after.keys() if before.get(stage) != after.get(stage)}


def test_every_stage_that_starts_code_has_a_hash(root: Path) -> None:
    assert fingerprints(root).keys() == {"format", "train", "own"}
    assert entries(root, "python -m torch.distributed.run -m pipeline.train") == [Path("pipeline/train.py")]
    assert closure(root, [Path("scripts/count.py")]) == [Path("scripts/count.py"), Path("scripts/helper.py")]


@pytest.mark.parametrize(
    ("name", "text", "stages"),
    [
        ("pipeline/shared.py", "import numpy\nONE = 2\n", {"format", "train"}),
        ("pipeline/shared.py", '"""Shared."""\n\nimport numpy\n\n\n# The first.\nONE = 1  # a number\n', set()),
        ("pipeline/format.py", "from pipeline.shared import ONE\nprint(ONE)\n", {"format"}),
        ("pipeline/trainers/sft.py", "def fit():\n    import trl\n    return None\n", {"train"}),
        ("pipeline/trainers/defaults.json", '{"rank": 8}', {"train"}),
        ("pipeline/trainers/README.md", "Read me again.", set()),
        ("pipeline/trainers/unused.py", "THREE = 3\n", set()),
        ("scripts/helper.py", "TWO = 3\n", {"own"}),
        ("locks/trl.txt", "numpy==2.1\ntorch==2.13.0\ntrl==1.0\n", {"format", "train"}),
        ("locks/trl.txt", "numpy==2.0\ntorch==2.13.0\ntrl==1.1\n", {"train"}),
        ("locks/trl.txt", "numpy==2.0\ntorch==2.13.0\ntrl==1.0\nuvicorn==0.41\n", set()),
    ],
)
def test_an_edit_changes_the_stages_that_run_it(root: Path, name: str, text: str, stages: set[str]) -> None:
    assert changed(root, name, text) == stages


TRICKY = '''\
#!/usr/bin/env python
"""A docstring
over lines."""; X = "# no comment"
import os  # a comment


class A:
    """Of a class."""

    text = """kept: # this

      and its trailing space  \x20
    """

    def f(self):
        \'\'\'One.\'\'\'
        return f"{self.text!r:>{10}} # {'é'}"  # é

    async def g(self): "Doc"; return 1
'''


def test_only_comments_docstrings_blank_lines_and_trailing_space_are_left_out() -> None:
    import ast

    assert code(TRICKY, ast.parse(TRICKY)).decode() == (
        '; X = "# no comment"\nimport os\nclass A:\n'
        '    text = """kept: # this\n\n      and its trailing space   \n    """\n    def f(self):\n'
        "        return f\"{self.text!r:>{10}} # {'é'}\"\n    async def g(self): ; return 1"
    )


def test_line_ends_of_windows_change_nothing(root: Path) -> None:
    text = PROJECT["pipeline/train.py"].replace("\n", "\r\n")
    assert changed(root, "pipeline/train.py", text) == set()


def test_a_lock_is_read_by_normalised_names(root: Path) -> None:
    (root / "locks" / "other.txt").write_text("# made\nRouge_Score==0.1 ; python_version > '3'\ntorch==2.12.0\n")
    assert locked_versions(root, "other") == {"rouge-score": "0.1", "torch": "2.12.0"}
    assert locked_versions(root)["torch"] == "2.13.0", "another environment's versions do not count"
    assert locked_versions(root, "absent") == {}


def test_the_lock_of_a_backend_decides_for_the_stage_that_runs_it(root: Path) -> None:
    (root / "locks" / "axolotl.txt").write_text("torch==2.12.0\nany-package==1\n")
    train = 'from engine.training import contract\ncontract.run_in("axolotl", ["axolotl", "train"])\n'
    assert changed(root, "pipeline/train.py", train) == {"train"}
    assert changed(root, "locks/axolotl.txt", "torch==2.12.0\nany-package==2\n") == {"train"}
    with pytest.raises(SyntaxError, match="write out the name"):
        changed(root, "pipeline/train.py", train.replace('"axolotl", [', "NAME, ["))


def test_folders_of_data_belong_to_their_package(root: Path) -> None:
    pages = root / "pipeline" / "trainers" / "pages"
    pages.mkdir()
    (pages / "page.html").write_text("<p>")
    assert [path.name for path in data(root, Path("pipeline/trainers"))] == ["defaults.json", "page.html"]


def test_code_that_cannot_be_read_is_named(root: Path) -> None:
    (root / "pipeline" / "shared.py").write_text("ONE = (\n")
    parsed.cache_clear()
    with pytest.raises(SyntaxError) as caught:
        fingerprints(root)
    assert caught.value.filename == "pipeline/shared.py" and caught.value.lineno == 1
