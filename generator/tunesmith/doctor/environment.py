"""Whether this machine can run the project."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable

from tunesmith.doctor.rule import NOTE, Checkup, Rule

GIB = 2**30
FREE_DISK_GIB = 10  # environment, base model, checkpoints and merged weights of a small model
BYTES_PER_PARAMETER = 4.0  # fp32 weights on a CPU
NOT_NVIDIA = ("cdna3",)


class PythonVersion(Rule):
    """The environment's Python is a version that the locks were tested with."""

    code = "ENV001"
    why = "The locks name wheels for Python 3.11 to 3.13. Another version installs untested packages."
    fix = "Remove .venv and run environment.py with Python 3.11, 3.12 or 3.13."

    def check(self, project: Checkup) -> Iterable[str]:
        version = tuple(project.probe()["python"]) if project.python else sys.version_info[:2]
        if version and not (3, 11) <= version <= (3, 13):
            yield f"Python {'.'.join(map(str, version))}"


class TorchInstalled(Rule):
    """The project's environment exists and has torch."""

    code = "ENV002"
    why = "Stages run with the Python of .venv. Without it, `dvc repro` uses the system's Python."
    fix = "Run `python3 environment.py`."

    def check(self, project: Checkup) -> Iterable[str]:
        if project.python is None:
            yield "no .venv (or PROJECT_VENV)"
        elif "torch" in project.lock and "torch" not in project.probe()["versions"]:
            yield "torch is not installed"


class GraphicsCard(Rule):
    """The graphics card matches the hardware of the spec."""

    code = "ENV003"
    why = "Batch size, precision and price are planned for that hardware. A smaller card runs out of memory."
    fix = "Run on that hardware, or plan for this one: `tunesmith update --set hardware=...`."

    def check(self, project: Checkup) -> Iterable[str]:
        wanted = project.hardware
        if wanted is None or wanted.generation in ("cpu", *NOT_NVIDIA):
            return
        memory = _card_gib()
        if memory is None:
            yield f"the spec plans for {wanted.title}, but nvidia-smi finds no card"
        elif memory < wanted.memory_gib * 0.9:  # drivers keep a part for themselves
            yield f"the spec plans for {wanted.title} with {wanted.memory_gib:.0f} GiB, this one has {memory:.0f} GiB"


def _card_gib() -> float | None:
    """Memory of the largest card in GiB."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    sizes = [float(line) for line in done.stdout.split() if line.replace(".", "", 1).isdigit()]
    return max(sizes) / 1024 if sizes else None


class DiskSpace(Rule):
    """The disk has room for the environment, the models and the checkpoints."""

    code = "ENV004"
    why = "A disk that fills up during training ends the run."
    fix = f"Free at least {FREE_DISK_GIB} GiB on the project's disk."

    def check(self, project: Checkup) -> Iterable[str]:
        free = shutil.disk_usage(project.path).free / GIB
        if free < FREE_DISK_GIB:
            yield f"{free:.1f} GiB free"


class Memory(Rule):
    """The model fits into the machine's memory."""

    code = "ENV005"
    why = "On a CPU the weights are in main memory. A machine that swaps is about a hundred times slower."
    fix = "Choose a smaller model, or hardware with more memory."

    def check(self, project: Checkup) -> Iterable[str]:
        model = project.catalogue.models.get(str(project.answers.get("model", "")))
        if model is None or not str(project.answers.get("hardware")).startswith("cpu") or not hasattr(os, "sysconf"):
            return
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
        needed = model.parameters * BYTES_PER_PARAMETER / GIB
        if total < needed:
            yield f"{total:.1f} GiB of memory, but the weights of {model.key} alone take {needed:.1f} GiB"


class UpgradeAvailable(Rule):
    """The project has the newest template that this command line knows."""

    code = "ENV006"
    level = NOTE
    why = "A project gets fixes of the template only by an update."
    fix = "Preview the update: `tunesmith update --preview`."

    def check(self, project: Checkup) -> Iterable[str]:
        from packaging.version import Version

        from tunesmith import __version__
        from tunesmith.update.source import parse

        recorded = parse(str(project.answers.get("_commit", "")))
        if recorded and recorded < Version(__version__):
            yield f"template {recorded}; {__version__} is available"


class TorchForHardware(Rule):
    """The installed torch was built for the spec's accelerator and finds one."""

    code = "ENV007"
    why = "A build for CPUs, or a build newer than the driver, silently trains on the CPU."
    fix = "Install the build of torch for this driver (pytorch.org/get-started), or plan for this machine (ENV003)."

    def check(self, project: Checkup) -> Iterable[str]:
        wanted = project.hardware
        if wanted is None or wanted.generation == "cpu" or project.python is None:
            return
        build = project.probe("--torch")["torch"]
        platform = "hip" if wanted.generation in NOT_NVIDIA else "cuda"
        if build is None:
            return  # ENV002 says so
        if not build[platform]:
            yield f"the spec plans for {wanted.title}, but this torch is built without {platform.upper()}"
        elif not build["device"]:
            yield f"torch for {platform.upper()} {build[platform]} sees no device (torch.cuda.is_available() is False)"
