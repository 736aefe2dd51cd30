"""The same work beyond one process pool: datatrove's executors, on this machine, a Slurm cluster or a Ray cluster.

A task reads and writes folders below the project, so a cluster's machines need the project on a shared file system.
Install it beside the locked packages: `python3 environment.py pip install "datatrove[ray]==0.10.1"`.
"""

import functools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from engine.core.artifacts import CURATION_LOGS
from engine.core.errors import ProjectError
from engine.core.io import read_json, write_json
from engine.data.executor import Task

_FAILED = "failed.json"
_MOST_RANKS = 256  # datatrove starts a process for each, which takes a second or two; a rank does several tasks
_POLL_SECONDS = 2.0


def run_on(engine: str, tasks: list[Task]) -> None:
    """Run tasks by ``datatrove-local``, ``datatrove-slurm`` or ``datatrove-ray``, and wait for the last.

    Slurm reads its partition and time limit from the environment as always: SBATCH_PARTITION, SBATCH_TIMELIMIT.

    Raises:
        ProjectError: datatrove is not installed, a task raised it, or tasks did not finish.
    """
    try:
        import datatrove.executor  # noqa: F401
    except ImportError:
        fix = 'python3 environment.py pip install "datatrove[ray]==0.10.1"'
        raise ProjectError("datatrove is not installed", f"curate.engine: {engine}", fix) from None
    shutil.rmtree(CURATION_LOGS, ignore_errors=True)
    CURATION_LOGS.mkdir(parents=True)
    root = Path.cwd()
    ranks = min(len(tasks), _MOST_RANKS)
    step = functools.partial(_run_rank, str(root), tasks)
    try:
        _ENGINES[engine]([step], ranks, root / CURATION_LOGS)
    except Exception as error:  # whatever an executor makes of a task's error, the task has written it down
        _raise_failed()
        fix = f"see the logs in {CURATION_LOGS}; finished parts are kept"
        raise ProjectError(f"{engine} stopped: {type(error).__name__}: {error}", "curate.engine", fix) from error
    _raise_failed()
    shutil.rmtree(CURATION_LOGS)


def _run_rank(root: str, tasks: list[Task], data: Any, rank: int, world_size: int) -> None:
    """One rank's share of the tasks, in a worker process; datatrove calls it."""
    os.chdir(root)
    for task in tasks[rank::world_size]:
        try:
            task.function(*task.arguments)
        except ProjectError as error:
            write_json(CURATION_LOGS / f"{rank}.{_FAILED}", [error.what, error.where, error.fix])
            raise


def _raise_failed() -> None:
    for path in sorted(CURATION_LOGS.glob(f"*.{_FAILED}")):
        raise ProjectError(*read_json(path))


def _local(steps: list[Any], ranks: int, logs: Path) -> None:
    from datatrove.executor import LocalPipelineExecutor

    workers = min(ranks, os.cpu_count() or 1)
    LocalPipelineExecutor(steps, tasks=ranks, workers=workers, logging_dir=str(logs), start_method="spawn").run()


def _ray(steps: list[Any], ranks: int, logs: Path) -> None:
    import ray
    from datatrove.executor import RayPipelineExecutor

    path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))  # so that workers find this code
    ray.init(runtime_env={"env_vars": {"PYTHONPATH": path}}, log_to_driver=False)  # RAY_ADDRESS names a cluster
    try:
        RayPipelineExecutor(steps, tasks=ranks, logging_dir=str(logs), mem_per_cpu_gb=1).run()
    finally:
        ray.shutdown()


def _slurm(steps: list[Any], ranks: int, logs: Path) -> None:
    from datatrove.executor import SlurmPipelineExecutor

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    executor = SlurmPipelineExecutor(
        steps,
        tasks=ranks,
        time=os.environ.get("SBATCH_TIMELIMIT", "04:00:00"),
        partition=os.environ.get("SBATCH_PARTITION", "normal"),
        qos=os.environ.get("SBATCH_QOS", ""),
        job_name="curate",
        logging_dir=str(logs),
        srun_args={"export": "ALL"},
    )
    executor.run()
    while executor.get_incomplete_ranks(skip_completed=True):
        asked = ["squeue", "--noheader", f"--jobs={executor.job_id}"]
        if not subprocess.run(asked, capture_output=True, text=True).stdout.strip():
            time.sleep(_POLL_SECONDS)  # a shared file system may be late
            if left := executor.get_incomplete_ranks(skip_completed=True):
                raise RuntimeError(f"{len(left)} of {ranks} Slurm tasks did not finish")
        time.sleep(_POLL_SECONDS)


_ENGINES = {"datatrove-local": _local, "datatrove-ray": _ray, "datatrove-slurm": _slurm}
