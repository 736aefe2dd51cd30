"""Curation by datatrove's executors gives the same bytes. Runs where datatrove is installed, Ray where that is too."""

import importlib.util
import os
import stat
import sys
from pathlib import Path

import pytest
from raw_data import ROOT, curate_settings, rows, write_raw

from engine.core.errors import ProjectError
from engine.data.datatrove_executor import run_on
from pipeline.curate import curate

INSTALLED = importlib.util.find_spec("datatrove") is not None
RAY = importlib.util.find_spec("ray") is not None
needs_datatrove = pytest.mark.skipif(not INSTALLED, reason="datatrove is not installed")

# A cluster of one machine: takes the script as sbatch does, runs the tasks of its array, prints the number of the job.
SBATCH = f"""#!{sys.executable}
import os, re, subprocess, sys
script = sys.stdin.read() if not sys.argv[1:] or sys.argv[-1].startswith("-") else open(sys.argv[-1]).read()
last = int((re.search(r"#SBATCH --array=0-(\\d+)", script) or [0, "0"])[1])
for task in range(last + 1) if "merge_stats" not in script else ():
    names = dict(SLURM_ARRAY_TASK_ID=str(task), SLURM_NODELIST="localhost", SLURM_JOB_ID="1", RUN_OFFSET="0")
    subprocess.run(["bash"], input=script.encode(), env=os.environ | names, capture_output=True)
print("Submitted batch job 1")
"""
QUIET = "#!/bin/bash\n"
SCONTROL = "#!/bin/bash\necho localhost\n"
SRUN = """#!/bin/bash
while [ "$1" != launch_pickled_pipeline ]; do shift; done
exec "$@"
"""


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("engine.data.executor.PIECE_BYTES", 4000)


def outputs(engine: str) -> dict[str, bytes]:
    """Every file that a run writes."""
    data = rows(120) + rows(10)
    data[5]["prompt"] += " cafÃ©, mail ann@example.org"
    write_raw(data)
    curate(curate_settings(engine=engine), smoke=False)
    found = {str(path): path.read_bytes() for path in sorted(Path().rglob("*.*")) if path.is_file()}
    for path in found:
        Path(path).unlink()
    return found


@needs_datatrove
@pytest.mark.parametrize(
    "engine",
    ["datatrove-local", pytest.param("datatrove-ray", marks=pytest.mark.skipif(not RAY, reason="no ray"))],
)
def test_every_engine_gives_the_same_bytes(engine: str) -> None:
    here = outputs("embedded")
    assert len(here) > 8
    assert outputs(engine) == here


@needs_datatrove
def test_slurm_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("squeue", QUIET), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("engine.data.datatrove_executor._POLL_SECONDS", 0.1)
    monkeypatch.setattr("engine.data.datatrove_executor._MOST_RANKS", 3)
    kept = {name: data for name, data in outputs("embedded").items() if not name.startswith("bin")}
    assert {name: data for name, data in outputs("datatrove-slurm").items() if not name.startswith("bin")} == kept


@needs_datatrove
def test_an_error_in_a_worker_is_the_same_error_here() -> None:
    write_raw(b"prompt,completion\na,b\n", "data/feedback/a.csv")
    Path("data/feedback/a.csv").write_bytes(b"prompt,prompt\na,b\n")
    write_raw(rows(120))
    with pytest.raises(ProjectError, match="two columns of the table have the same name") as error:
        curate(curate_settings(engine="datatrove-local"), smoke=False)
    assert "data/feedback/a.csv, line 1" in str(error.value)


@pytest.mark.skipif(INSTALLED, reason="datatrove is installed")
def test_without_datatrove_the_error_says_how_to_install_it() -> None:
    with pytest.raises(ProjectError, match="datatrove is not installed") as error:
        run_on("datatrove-ray", [])
    assert "environment.py pip install" in str(error.value)
