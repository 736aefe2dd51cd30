"""Into the template with an existing repository, and out of it again."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from updating import Workshop, commit, everything, replace

from tunesmith import cli, git


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    """A repository that never saw the template, with files at two of its paths and untracked work."""
    root = tmp_path / "existing"
    (root / "pipeline").mkdir(parents=True)
    (root / "README.md").write_text("# Ours\n")
    (root / "pipeline" / "gate.py").write_text("OURS = 1\n")
    (root / "src.py").write_text("print(1)\n")
    git.start_repository(root, "Ours")
    (root / "untracked.txt").write_text("mine\n")
    return root


def test_adopt_adds_on_a_branch_and_overwrites_nothing(
    existing: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(existing)
    assert cli.main(["adopt", str(existing), "--defaults"]) == 0
    shown = capsys.readouterr().out
    assert "kept yours: README.md" in shown and "kept yours: pipeline/gate.py" in shown
    after, fresh = everything(existing), everything(project)
    assert {path: after[path] for path in before} == before
    assert {path: content for path, content in after.items() if path not in before} == {
        path: content for path, content in fresh.items() if path not in before
    }
    assert git.run("branch", "--show-current", cwd=existing) == "template/adopt"
    assert git.run("status", "--porcelain", cwd=existing) == "?? untracked.txt"
    theirs = git.run("show", "refs/tunesmith/adopted:README.md", cwd=existing)
    assert theirs == (project / "README.md").read_text().strip()
    assert cli.main(["adopt", str(existing), "--defaults"]) == 2, "twice"
    git.run("switch", "--quiet", "main", cwd=existing)
    assert everything(existing) == before


def test_an_adopted_repository_is_updated_like_any_other(existing: Path, shop: Workshop) -> None:
    assert cli.main(["adopt", str(existing), "--defaults"]) == 0
    assert shop.update(existing, "--set", "hardware=l4", "--here").code == 0
    assert yaml.safe_load((existing / "params.yaml").read_text())["cost"]["hardware"] == "l4"
    assert (existing / "README.md").read_text() == "# Ours\n"


def test_adopt_lists_what_a_kept_file_lacks(existing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (existing / ".gitignore").write_text("*.log\n.venv/\n")
    (existing / "pyproject.toml").write_text('[project]\nname = "ours"\ndependencies = ["Torch>=2", "polars"]\n')
    commit(existing)
    assert cli.main(["adopt", str(existing), "--defaults", "--json"]) == 0
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert missing.keys() == {".gitignore", "pyproject.toml"}
    assert "/data/curated" in missing[".gitignore"] and ".venv/" not in missing[".gitignore"]
    names = {item.split("=")[0].split("[")[0] for item in missing["pyproject.toml"]}
    assert "trl" in names and not {"torch", "polars"} & names


def test_adopt_moves_no_branch_that_exists(existing: Path) -> None:
    git.run("branch", "template/adopt", cwd=existing)
    assert cli.main(["adopt", str(existing), "--defaults"]) == 0
    assert git.run("branch", "--show-current", cwd=existing) == "template/adopt-2"
    assert git.run("rev-parse", "template/adopt", cwd=existing) == git.run("rev-parse", "main", cwd=existing)


def test_adopt_refuses_uncommitted_work_and_files_in_the_way(existing: Path) -> None:
    (existing / "params.yaml").write_text("mine\n")
    assert cli.main(["adopt", str(existing), "--defaults"]) == 3
    (existing / "params.yaml").unlink()
    (existing / "src.py").write_text("changed\n")
    assert cli.main(["adopt", str(existing), "--defaults"]) == 2
    assert git.run("branch", "--format=%(refname:short)", cwd=existing) == "main"


def test_adopt_into_a_part_of_a_repository(existing: Path, project: Path) -> None:
    (existing / "models").mkdir()
    assert cli.main(["adopt", str(existing / "models"), "--defaults"]) == 0
    assert everything(existing / "models") == everything(project)
    assert (existing / "pipeline" / "gate.py").read_text() == "OURS = 1\n"


def test_an_ejected_project_names_us_nowhere_that_runs(project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    ci = copy / ".github" / "workflows" / "ci.yml"
    steps = yaml.safe_load(ci.read_text())["jobs"]["check"]["steps"]
    replace(copy / "params.yaml", "seed: 42", "seed: 7")
    commit(copy)
    before = everything(copy)
    assert cli.main(["eject", str(copy)]) == 0
    for name in (".copier-answers.yml", ".tunesmith.yaml", ".github/workflows/upgrade.yml"):
        assert not (copy / name).exists()
    left = yaml.safe_load(ci.read_text())["jobs"]["check"]["steps"]
    assert left == [step for step in steps if "tunesmith" not in str(step)] and len(left) == len(steps) - 1
    after = everything(copy)
    assert {path for path in before if after.get(path) != before[path]} == {
        ".copier-answers.yml",
        ".tunesmith.yaml",
        ".github/workflows/upgrade.yml",
        ".github/workflows/ci.yml",
    }
    for path, content in after.items():
        if path.endswith((".py", ".yaml", ".yml", ".toml", ".txt")):
            assert b"import tunesmith" not in content and b"tunesmith doctor" not in content
    assert git.run("status", "--porcelain", cwd=copy) == ""
    git.run(
        "-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false", "revert", "--no-edit", "HEAD", cwd=copy
    )
    assert everything(copy) == before


def test_eject_refuses_what_is_no_project(existing: Path) -> None:
    assert cli.main(["eject", str(existing)]) == 2
