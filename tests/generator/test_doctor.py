"""`tunesmith doctor`: each rule finds what it is for, and a fresh project passes."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import REPOSITORY
from updating import commit, replace

from tunesmith import cli, git
from tunesmith.doctor import drift, rule
from tunesmith.doctor import environment as machine
from tunesmith.doctor.command import rules

OLDER_TRL = """
class SFTConfig:
    def __init__(self, output_dir, seed): ...
class SFTTrainer:
    def __init__(self, **options): ...
"""
Examine = Callable[..., dict[str, list[str]]]


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(project, tmp_path / "project", symlinks=True))


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Examine:
    """What doctor finds, by code."""
    monkeypatch.delenv("PROJECT_VENV", raising=False)

    def run(path: Path, *arguments: str, code: int | None = None) -> dict[str, list[str]]:
        capsys.readouterr()
        if "--skip" not in arguments:
            arguments = (*arguments, "--skip", "OWN001", "--skip", "OWN004")  # they render, which takes a second
        returned = cli.main(["doctor", str(path), "--json", *arguments])
        findings = json.loads(capsys.readouterr().out)["findings"]
        assert code is None or returned == code, findings
        return {finding["code"]: finding["found"] for finding in findings}

    return run


@pytest.fixture
def environment(copy: Path) -> Callable[..., None]:
    """Gives the project an environment: this python, with libraries of our making on its path."""

    def make(**modules: str) -> None:
        libraries = copy / ".venv" / "libraries"
        (copy / ".venv" / "bin").mkdir(parents=True)
        libraries.mkdir()
        for name, text in modules.items():
            (libraries / f"{name}.py").write_text(text)
        python = copy / ".venv" / "bin" / "python"
        start = f"import sys; sys.path.insert(0, {str(libraries)!r}); sys.argv = sys.argv[1:]; import runpy"
        start += "; runpy.run_path(sys.argv[0], run_name='__main__')"
        python.write_text(f'#!/bin/sh\n[ "$1" = -P ] && shift\nexec {sys.executable} -P -c "{start}" "$@"\n')
        python.chmod(0o755)

    return make


def test_every_rule_says_what_why_how_and_where() -> None:
    page = (REPOSITORY / "docs" / "doctor.md").read_text(encoding="utf-8")
    codes = [rule.code for rule in rules()]
    assert len(codes) == len(set(codes)) >= 20
    for one in rules():
        assert re.fullmatch(r"(ENV|REP|OWN|DRF|SAF)\d{3}", one.code)
        assert one.title().endswith(".") and one.why and one.fix and one.link().startswith("https://")
        assert f"## {one.code}\n\n{one.title()}" in page, f"docs/doctor.md: {one.code}"


def test_a_fresh_project_has_no_fault_but_its_missing_environment(examine: Examine, project: Path) -> None:
    assert examine(project, "--skip", "ENV", code=0).keys() <= {"SAF002"}
    assert "ENV002" in examine(project, code=4)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("notes.md", "AKIA" + "ABCDEFGHIJKLMNOP"),
        (".github/workflows/own.yml", "TOKEN: hf_" + "a" * 34),
        ("config.py", "KEY = 'sk-" + "b" * 40 + "'"),
        ("id", "-----BEGIN OPENSSH PRIVATE " + "KEY-----\n" + "b3Bl" * 16),
    ],
)
def test_secrets_in_tracked_files_are_found(name: str, line: str, examine: Examine, copy: Path) -> None:
    (copy / name).write_text(f"first\n{line}\n")
    assert "SAF001" not in examine(copy), "untracked"
    commit(copy)
    assert examine(copy, code=4)["SAF001"][0].startswith(f"{name}:2: looks like")


def test_what_only_looks_like_a_secret_can_be_allowed(examine: Examine, copy: Path) -> None:
    (copy / "notes.md").write_text("AKIA" + "IOSFODNN7EXAMPLE\nhf_" + "a" * 34 + "  # pragma: allowlist secret\n")
    commit(copy)
    assert "SAF001" not in examine(copy)


def test_pickles_and_conflict_markers_are_found(examine: Examine, copy: Path) -> None:
    (copy / "model.pkl").write_bytes(b"x")
    (copy / "notes.md").write_text("<<<<<<< yours\na\n=======\nb\n>>>>>>> theirs\n")
    commit(copy)
    found = examine(copy, code=4)
    assert found["SAF003"] == ["model.pkl"] and found["SAF004"] == ["notes.md"]


def test_fix_repairs_what_is_safe(examine: Examine, copy: Path) -> None:
    replace(copy / ".gitignore", ".env\n", "")
    commit(copy)
    assert "SAF005" in examine(copy, code=4)
    assert examine(copy, "--fix", "--skip", "ENV", code=0)["SAF005"]
    assert "SAF005" not in examine(copy)
    assert (copy / ".gitignore").read_text().endswith(".env\n")


def test_an_unpinned_model_and_a_missing_seed_are_found(examine: Examine, copy: Path) -> None:
    params = copy / "params.yaml"
    params.write_text(re.sub(r"sha256: \S+", "sha256: null", params.read_text()).replace("seed: 42", "seed: null"))
    found = examine(copy, code=4)
    assert "model.sha256 is None" in found["REP003"][0] and "seed is None" in found["REP002"][0]
    params.write_text(params.read_text().replace("source: package", "source: hub"))
    assert "model.revision is None" in examine(copy)["REP003"][0]


def test_a_remote_that_is_gone_is_found(examine: Examine, copy: Path) -> None:
    config = copy / ".dvc" / "config"
    assert "REP005" not in examine(copy)
    config.write_text("[core]\n    remote = storage\n['remote \"storage\"']\n    url = /nowhere/at/all\n")
    assert examine(copy)["REP005"] == ["/nowhere/at/all does not exist"]
    config.write_text("[core]\n")
    assert examine(copy)["REP005"] == [".dvc/config names no remote"]


def program(copy: Path, name: str, text: str) -> None:
    """A program of the project's environment."""
    path = copy / ".venv" / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_remote_that_cannot_be_reached_is_told_by_dvcs_error(
    examine: Examine, copy: Path, environment: Callable[..., None]
) -> None:
    environment()
    (copy / ".dvc" / "config").write_text("[core]\n    remote = s\n['remote \"s\"']\n    url = s3://bucket/x\n")
    program(copy, "dvc", "echo 'ERROR: no credentials'; echo; echo 'Having trouble? See dvc.org.'; exit 255")
    assert examine(copy, code=4)["REP005"] == ["s3://bucket/x: no credentials"]
    program(copy, "dvc", "echo '{}'")
    assert "REP005" not in examine(copy)


def test_stages_that_would_run_again_are_named(examine: Examine, copy: Path, environment: Callable[..., None]) -> None:
    environment()
    program(copy, "dvc", """echo '{"train": [{"changed deps": {"params.yaml": {"seed": "modified"}}}]}'""")
    assert "REP004" not in examine(copy), "nothing has run yet"
    (copy / "dvc.lock").write_text("schema: '2.0'\n")
    assert "train" in examine(copy)["REP004"][0]
    program(copy, "dvc", "echo '{}'")
    assert "REP004" not in examine(copy)


def test_a_benchmark_that_git_does_not_track_is_found(examine: Examine, copy: Path) -> None:
    (copy / "data" / "eval").mkdir(parents=True, exist_ok=True)
    (copy / "data" / "eval" / "benchmark.json").write_text("{}\n")
    assert examine(copy)["REP006"] == ["data/eval/benchmark.json is not tracked by git"]
    commit(copy)
    assert "REP006" not in examine(copy)


def test_the_machine_is_held_against_what_the_project_needs(
    examine: Examine, copy: Path, environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment()
    assert not {"ENV001", "ENV004", "ENV005"} & examine(copy).keys()
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 2**30))
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 2**14)
    monkeypatch.setattr(rule.Checkup, "probe", lambda *names: {**rule.NOTHING, "python": [3, 9]})
    found = examine(copy, code=4)
    assert found["ENV001"] == ["Python 3.9"] and found["ENV004"] == ["3.0 GiB free"]
    assert found["ENV005"][0].startswith("0.2 GiB of memory, but the weights")


def test_an_older_template_and_an_unfinished_update_are_told(examine: Examine, copy: Path) -> None:
    replace(copy / ".copier-answers.yml", "_commit: v0.3.0", "_commit: v0.1.0")
    commit(copy)
    assert examine(copy)["ENV006"] == ["template 0.1.0; 0.3.0 is available"]
    gate = copy / "pipeline" / "gate.py"
    gate.write_text("MINE = 1\n")
    commit(copy)
    assert cli.main(["update", str(copy)]) == 3
    assert examine(copy)["OWN003"] == ["an update to 0.3.0 is in progress"]


def test_edited_template_files_are_named_with_their_last_editor(examine: Examine, copy: Path) -> None:
    (copy / "pipeline" / "gate.py").write_text("mine\n")
    (copy / "pipeline" / "cost.py").unlink()
    replace(copy / "README.md", "## Run it", "## Start")
    git.run("config", "user.name", "Ada", cwd=copy)
    git.run("config", "user.email", "a@b.c", cwd=copy)
    commit(copy)
    found = examine(copy, "--skip", "ENV", code=0)["OWN001"]
    assert found[0] == "pipeline/cost.py: deleted" and found[1].startswith("pipeline/gate.py: edited, last by Ada, ")
    assert len(found) == 2, "the README is a seed: the project's own once edited"


def test_edited_engine_files_are_named(examine: Examine, copy: Path) -> None:
    replace(copy / "engine" / "core" / "io.py", "import ", "import sys\nimport ")
    (copy / "engine" / "core" / "errors.py").unlink()
    (copy / "engine" / "core" / "own.py").write_text("OWN = 1\n")
    version = copy / "engine" / "VERSION"
    version.write_bytes(version.read_bytes().replace(b"\n", b"\r\n"))
    commit(copy)
    found = examine(copy, "--skip", "ENV", code=0)
    assert found["OWN004"][0] == "engine/core/errors.py: deleted"
    assert found["OWN004"][1].startswith("engine/core/io.py: edited, last by ")
    assert found["OWN004"][2:] == ["engine/core/own.py: added"], "line ends are no edit"
    assert "OWN001" not in found, "the engine is listed apart"


def test_answers_without_a_version_are_found(examine: Examine, copy: Path) -> None:
    replace(copy / ".copier-answers.yml", "_commit: v0.3.0", "_commit: main")
    commit(copy)
    assert "_commit is 'main'" in examine(copy, code=4)["OWN002"][0]


def test_another_version_than_the_locks_is_found(
    examine: Examine, copy: Path, environment: Callable[..., None]
) -> None:
    environment()
    (copy / "locks" / "trl.txt").write_text("pyyaml==1.0\njsonschema==0.1+cpu\nnot-installed==3\n")
    (copy / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["Not_Installed>=3", "PyYAML", "winonly; sys_platform == \'win32\'"]\n'
        '[project.optional-dependencies]\ncluster = ["an-extra"]\n'
        '[dependency-groups]\ndev = ["PyYAML", {include-group = "other"}]\nother = ["another"]\n'
    )
    found = examine(copy)["REP001"]
    assert len(found) == 3 and found[0].endswith("locked at 1.0") and found[2] == "not-installed is not installed"


def test_fix_installs_what_the_lock_says(examine: Examine, copy: Path, environment: Callable[..., None]) -> None:
    """environment.py is run; here it is one that fixes the lock instead."""
    environment()
    (copy / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (copy / "locks" / "trl.txt").write_text("pyyaml==1.0\n")
    (copy / "environment.py").write_text("raise SystemExit(1)\n")
    assert examine(copy, "--fix", code=4)["REP001"]
    (copy / "environment.py").write_text("open('locks/trl.txt', 'w').write('')\n")
    assert examine(copy, "--fix", "--skip", "DRF", "--skip", "ENV", "--skip", "OWN", code=0)["REP001"]
    assert "REP001" not in examine(copy)


def test_a_keyword_that_the_installed_library_lacks_is_found(
    examine: Examine, copy: Path, environment: Callable[..., None]
) -> None:
    environment(trl=OLDER_TRL)
    found = examine(copy)["DRF001"]
    assert any(
        re.fullmatch(r"pipeline/train_sft\.py:\d+: trl\.SFTConfig has no argument max_steps", one) for one in found
    )
    assert not any("has no argument seed" in one or "SFTTrainer has" in one for one in found)
    assert any("peft.LoraConfig is not in the installed version" in one for one in found)


def test_keywords_are_found_wherever_a_call_may_hide_them(copy: Path) -> None:
    (copy / "pipeline" / "odd.py").write_text(
        "import trl as t\nfrom transformers import AutoModel\n\n"
        "t.SFTConfig(a=1, **{'b': 2})\nAutoModel.from_pretrained('x', c=3)\nprint(d=4)\nt.x.Y(e=5)\n"
    )
    (copy / "engine" / "odd.py").write_text("from peft import LoraConfig\n\nLoraConfig(f=6)\n")
    found = drift.calls(rule.Checkup(copy, copy, ""))
    assert found["trl:SFTConfig"] | {"a": "pipeline/odd.py:4", "b": "pipeline/odd.py:4"} == found["trl:SFTConfig"]
    assert found["transformers:AutoModel.from_pretrained"] == {"c": "pipeline/odd.py:5"}
    assert found["peft:LoraConfig"]["f"] == "engine/odd.py:3"
    assert not {"d", "e"} & {keyword for keywords in found.values() for keyword in keywords}


@pytest.mark.parametrize(
    ("hardware", "cuda", "device", "wanted"),
    [
        ("l4", "None", "False", "built without CUDA"),
        ("l4", "'12.8'", "False", "torch for CUDA 12.8 sees no device"),
        ("l4", "'12.8'", "True", ""),
        ("mi300x", "'12.8'", "True", "built without HIP"),
        ("cpu_8", "None", "False", ""),
    ],
)
def test_torch_is_held_against_the_hardware(
    hardware: str, cuda: str, device: str, wanted: str, examine: Examine, copy: Path, environment: Callable[..., None]
) -> None:
    environment(
        torch=f"class version: cuda, hip = {cuda}, None\nclass cuda: is_available = staticmethod(lambda: {device})\n"
    )
    replace(copy / ".copier-answers.yml", "hardware: cpu", f"hardware: {hardware}")
    commit(copy)
    found = examine(copy).get("ENV007", [""])[0]
    assert wanted in found and bool(wanted) == bool(found)


def test_a_cpu_profile_needs_no_graphics_card(examine: Examine, copy: Path) -> None:
    replace(copy / ".copier-answers.yml", "hardware: cpu", "hardware: cpu_8")
    commit(copy)
    assert "ENV003" not in examine(copy)


def test_the_graphics_card_is_held_against_the_spec(
    examine: Examine, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(copy / ".copier-answers.yml", "hardware: cpu", "hardware: h100_sxm")
    commit(copy)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    tool = tmp_path / "nvidia-smi"
    for printed, wanted in (("24564", "this one has 24 GiB"), ("81559", ""), ("", "nvidia-smi finds no card")):
        tool.write_text(f"#!/bin/sh\necho {printed}\n")
        tool.chmod(0o755)
        found = examine(copy).get("ENV003", [""])[0]
        assert wanted in found and bool(wanted) == bool(found)


def test_people_get_the_fix_and_the_link(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(copy / ".gitignore", ".env\n", "")
    commit(copy)
    assert cli.main(["doctor", str(copy)]) == 4
    shown = capsys.readouterr().out
    assert "SAF005 fault" in shown and "fix: Add `.env`" in shown and "docs/doctor.md#saf005" in shown
