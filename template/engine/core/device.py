"""What a run computes on: device, number type, threads, seeds, versions, memory."""

import os
import platform
import resource
import sys
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from engine.core.errors import ProjectError

# No dependency reports usage, and the terminal belongs to the stages' own progress.
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}
os.environ.update(QUIET)
BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and Arm names in /proc/cpuinfo
RECORDED_PACKAGES = [
    "torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "tokenizers", "numpy", "dvc",
]  # fmt: skip


@dataclass(frozen=True)
class Device:
    """Where tensors live and how they are computed."""

    kind: Literal["cpu", "cuda"]
    name: str
    threads: int
    dtype: Any  # torch.dtype

    @property
    def place(self) -> str:
        """The device of this process, as torch calls it; of several that train together each has one."""
        return self.kind if self.kind == "cpu" else f"{self.kind}:{os.environ.get('LOCAL_RANK', '0')}"

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware (emulated bf16 is slower than fp32)."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return platform.machine() == "arm64"  # Apple silicon from M2 on; M1 emulates it without harm
    return bool(words & BF16_INSTRUCTIONS)


def available_cores() -> int:
    """Cores this process may use; containers and job schedulers often grant fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def place(devices: int) -> int:
    """Which of the processes that train together this one is; the launcher starts one for each device.

    Raises:
        ProjectError: another number was started than params.yaml names, or the machine has fewer graphics cards.
    """
    started, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    where = "params.yaml: train.devices"
    if started != devices:
        fix = "start it with `dvc repro train`; `tunesmith update --set devices=N` changes dvc.yaml for another number"
        raise ProjectError(f"train.devices is {devices}, but {started} processes were started", where, fix)
    import torch

    if torch.cuda.is_available():
        if (cards := torch.cuda.device_count()) < devices:
            fix = "train on a machine that has them, or set train.devices (and dvc.yaml) to the number that exists"
            raise ProjectError(f"train.devices is {devices}, but this machine has {cards}", where, fix)
        torch.cuda.set_device(rank)
    return rank


def prepare(seed: int, compute_dtype: str = "auto") -> Device:
    """Seed every generator and choose device, dtype and threads from what the machine *has*.

    Nothing is chosen by timing: the same machine must give the same adapter twice.
    """
    import torch
    from transformers import set_seed

    quiet()
    set_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on CUDA
    threads = int(os.environ.get("OMP_NUM_THREADS") or available_cores())
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Device("cuda", torch.cuda.get_device_name(), threads, _dtype(compute_dtype, has_bf16, torch.float16))
    return Device("cpu", cpu_name(), threads, _dtype(compute_dtype, cpu_has_bf16(), torch.float32))


def quiet() -> None:
    """Leave the terminal to the stage's own progress: no bars and no advice from libraries."""
    from transformers.utils import logging

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # PEFT's use of old names
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _dtype(name: str, has_bf16: bool, otherwise: Any) -> Any:
    import torch

    if name == "auto":
        return torch.bfloat16 if has_bf16 else otherwise
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]


def cpu_name() -> str:
    """The processor's marketing name, or the platform's word for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory_gib(device: Device) -> float:
    """Peak memory of this process: allocated on the GPU, or resident on the CPU."""
    if device.kind == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated() / 2**30)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak * (1 if sys.platform == "darwin" else 1024) / 2**30)


def versions() -> dict[str, str]:
    """Versions of Python and of every package that can change a result."""
    found = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
