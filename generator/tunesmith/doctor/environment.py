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
    """The environment's Python is one that the locks were tested with."""

    code = "ENV001"
    why = "The locks hold wheels for Python 3.11 to 3.13; another version resolves to something untested."
    fix = "Remove .venv and run environment.py with Python 3.11, 3.12 or 3.13."

    def check(self, project: Checkup) -> Iterable[str]:
        version = tuple(project.probe()["python"]) if project.python else sys.version_info[:2]
        if version and not (3, 11) <= version <= (3, 13):
            yield f"Python {'.'.join(map(str, version))}"


class TorchInstalled(Rule):
    """The project's environment is made and has its torch."""

    code = "ENV002"
    why = "Stages run with the python of .venv; without it `dvc repro` would pick whatever the system has."
    fix = "Run `python3 environment.py`."

    def check(self, project: Checkup) -> Iterable[str]:
        if project.python is None:
            yield "no .venv (or PROJECT_VENV)"
        elif "torch" in project.lock and "torch" not in project.probe()["versions"]:
            yield "torch is not installed"


class GraphicsCard(Rule):
    """The graphics card is the one that the spec planned for."""

    code = "ENV003"
    why = "Batch size, precision and price follow from the hardware in the spec; a smaller card runs out of memory."
    fix = "Run on that hardware, or `tunesmith update --set hardware=...` to plan for this one."

    def check(self, project: Checkup) -> Iterable[str]:
        wanted = project.hardware
        if wanted is None or wanted.generation in ("cpu", *NOT_NVIDIA):
            return
        memory = _card_gib()
        if memory is None:
            yield f"the spec plans for {wanted.title}, and nvidia-smi finds no card"
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
    """There is room for the environment, the models and the checkpoints."""

    code = "ENV004"
    why = "A full disk in the middle of training costs the run."
    fix = f"Free at least {FREE_DISK_GIB} GiB on the project's disk."

    def check(self, project: Checkup) -> Iterable[str]:
        free = shutil.disk_usage(project.path).free / GIB
        if free < FREE_DISK_GIB:
            yield f"{free:.1f} GiB free"


class Memory(Rule):
    """The machine's memory holds the model."""

    code = "ENV005"
    why = "On a CPU the weights lie in main memory; a machine that swaps is a hundred times slower."
    fix = "Choose a smaller model, or hardware with more memory."

    def check(self, project: Checkup) -> Iterable[str]:
        model = project.catalogue.models.get(str(project.answers.get("model", "")))
        if model is None or not str(project.answers.get("hardware")).startswith("cpu") or not hasattr(os, "sysconf"):
            return
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
        needed = model.parameters * BYTES_PER_PARAMETER / GIB
        if total < needed:
            yield f"{total:.1f} GiB of memory, and the weights of {model.key} alone take {needed:.1f} GiB"


class UpgradeAvailable(Rule):
    """The template is the newest that this command line knows."""

    code = "ENV006"
    level = NOTE
    why = "Fixes of the template reach a project only by an update."
    fix = "See what it would do: `tunesmith update --preview`."

    def check(self, project: Checkup) -> Iterable[str]:
        from packaging.version import Version

        from tunesmith import __version__
        from tunesmith.update.source import parse

        recorded = parse(str(project.answers.get("_commit", "")))
        if recorded and recorded < Version(__version__):
            yield f"template {recorded}, and {__version__} is here"


class TorchForHardware(Rule):
    """The installed torch was built for the spec's accelerator, and sees one."""

    code = "ENV007"
    why = "A build for CPUs, or one newer than the driver, trains on the processor without a word."
    fix = "Install the build of torch for this driver (pytorch.org/get-started), or plan for what is here: ENV003."

    def check(self, project: Checkup) -> Iterable[str]:
        wanted = project.hardware
        if wanted is None or wanted.generation == "cpu" or project.python is None:
            return
        build = project.probe("--torch")["torch"]
        platform = "hip" if wanted.generation in NOT_NVIDIA else "cuda"
        if build is None:
            return  # ENV002 says so
        if not build[platform]:
            yield f"the spec plans for {wanted.title}, and this torch is built without {platform.upper()}"
        elif not build["device"]:
            yield f"torch for {platform.upper()} {build[platform]} sees no device (torch.cuda.is_available() is False)"
