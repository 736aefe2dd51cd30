"""Trains a smoke project on one process, on two with DDP, on two with FSDP, and prints the last loss on dev of each.

Without a graphics card: the processes meet over gloo. Run it in a generated project, finished up to the stage
`baseline` with `smoke: true`:

    python3 environment.py python .../benchmarks/sharded_training.py [qlora lora dora full]

params.yaml and models/tuned are left as the last run wants them; `git checkout .` and `dvc checkout` take that back.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PARAMS, CURVES = Path("params.yaml"), Path("reports/curves.json")
LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
WAYS = {"none": (1, 8), "ddp": (2, 4), "fsdp": (2, 4)}  # processes and micro-batch: always eight records a step


def main(methods: list[str]) -> None:
    print(f"{'method':8}" + "".join(f"{way:>10}" for way in WAYS))
    original = PARAMS.read_text("utf-8")
    for method in methods:
        losses = [run(original, method, sharding) for sharding in WAYS]
        print(f"{method:8}" + "".join(f"{loss:10.4f}" for loss in losses), flush=True)


def run(params: str, method: str, sharding: str) -> float:
    """One training; the last loss on dev."""
    devices, micro_batch = WAYS[sharding]
    wanted = {"method": method, "micro_batch_size": micro_batch, "gradient_accumulation_steps": 1}
    for key, value in wanted.items():
        params = re.sub(rf"^  {key}: .*", f"  {key}: {value}", params, flags=re.MULTILINE)
    params = re.sub(r"^  (devices|sharding): .*\n", "", params, flags=re.MULTILINE)
    PARAMS.write_text(
        params.replace("\ntrain:\n", f"\ntrain:\n  devices: {devices}\n  sharding: {sharding}\n"), "utf-8"
    )
    launch = LAUNCH if devices > 1 else ()
    command = [
        sys.executable,
        *launch,
        *([__file__, "--train"] if sharding == "fsdp" else ["-m", "pipeline.train_sft"]),
    ]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return [float(row["eval_loss"]) for row in json.loads(CURVES.read_bytes()) if row["eval_loss"]][-1]


def train_sharded() -> None:
    """`pipeline.train_sft` with FSDP on processors, for which accelerate drops the plugin: here it is put back."""
    from accelerate import state
    from accelerate.utils import DistributedType

    from engine.core.device import Device
    from pipeline import train_sft

    original, build = state.AcceleratorState.__init__, train_sft.build_sharding

    def with_plugin(self: Any, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        fresh = not self.initialized
        original(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fresh and fsdp_plugin is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)

    state.AcceleratorState.__init__ = with_plugin
    train_sft.build_sharding = lambda knobs, device: build(
        knobs, Device("cuda", device.name, device.threads, device.dtype)
    )
    train_sft.main()


if __name__ == "__main__":
    train_sharded() if sys.argv[1:] == ["--train"] else main(sys.argv[1:] or ["qlora", "lora", "dora", "full"])
