"""The licence of a project's own code, which LICENSE and pyproject.toml state; the data's is another question."""

import tomllib
from pathlib import Path

import pytest
from conftest import Run

REPOSITORY = Path(__file__).parents[2]
APACHE = (REPOSITORY / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize(
    ("chosen", "spdx", "begins"),
    [
        ("proprietary", "LicenseRef-Proprietary", None),
        ("MIT", "MIT", "MIT License\n\nCopyright (c) the authors of tuned-model\n"),
        ("Apache-2.0", "Apache-2.0", APACHE),
    ],
)
def test_the_licence_that_was_chosen_is_written(
    chosen: str, spdx: str, begins: str | None, tunesmith: Run, tmp_path: Path
) -> None:
    made = tmp_path / "project"
    assert tunesmith("new", made, "--defaults", "--set", f"code_licence={chosen}").returncode == 0
    project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    assert project["license"] == spdx and project.get("license-files", []) == (["LICENSE"] if begins else [])
    assert (made / "LICENSE").exists() == bool(begins)
    if begins:
        text = (made / "LICENSE").read_text()
        assert text.startswith(begins) and text.endswith(".\n") and "{" not in text
