"""Make this project's environment, then run a command in it.

    python3 environment.py                make .venv from locks/, fetch what `dvc repro` will need
    python3 environment.py dvc repro      the same, then run the command with .venv on PATH

Needs Python 3.11 or newer and nothing else. A second call does nothing but run the command; a changed lock brings the
environment up to date. PROJECT_VENV names another folder for it, PROJECT_CACHE another one than .cache for models and
answers: several checkouts can share them.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "locks" / "trl.txt"


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever starts this may have an older one)
        return refuse(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    folder = Path(os.environ.get("PROJECT_VENV") or ROOT / ".venv").absolute()
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    packages = requirements()
    lock, wanted = digest(LOCK.read_text()), digest("\n".join(packages))
    stamp = folder / f"installed-{lock}-{wanted}"
    try:
        if not stamp.exists():
            install(packages, folder, python)
            for old in set(folder.glob("installed-*")) - set(folder.glob(f"installed-{lock}-*")):
                old.unlink()  # what another lock installed is gone
            stamp.touch()
    except subprocess.CalledProcessError as error:
        failed = " ".join(map(str, error.cmd[1:]))
        return refuse(f"`{failed}` failed; fix what it says above and run this again", error.returncode)
    if code := subprocess.run([python, "-m", "pipeline.model", "--fetch"], cwd=ROOT, check=False).returncode:
        return code  # it has said why
    if sys.argv[1:]:
        return run(sys.argv[1:], folder, binaries)
    print(f"ready: {folder}\n  run   python3 environment.py dvc repro\n  or    source {binaries}/activate && dvc repro")
    return 0


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def requirements() -> list[str]:
    """What pyproject.toml asks for, tools for development included. The stages run from this folder, uninstalled."""
    import tomllib  # not in the older Pythons that main() turns away

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def install(packages: list[str], folder: Path, python: Path) -> None:
    """Create the environment if need be and install the packages at their locked versions."""
    print(f"making {folder} (a few minutes the first time)", flush=True)
    if not python.exists():
        venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", LOCK]
    subprocess.run([*pip, *torch_first()], check=True)
    subprocess.run([*pip, *packages], check=True)


def torch_first() -> list[str]:
    """The lock's exact torch, alone: a build that is already at hand is then not replaced by a larger one."""
    return [line.strip() for line in LOCK.read_text().splitlines() if line.startswith("torch==")]


def run(command: list[str], folder: Path, binaries: Path) -> int:
    """Run ``command`` with the environment first on PATH: DVC starts each stage with the ``python`` it finds there."""
    environment = {**os.environ, "VIRTUAL_ENV": str(folder), "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONHOME", None)
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    except FileNotFoundError:
        return refuse(f"no command {command[0]!r} in {binaries} or on PATH", 127)
    except KeyboardInterrupt:
        return 130


def refuse(reason: str, code: int = 1) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
