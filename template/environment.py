"""Make this project's environment, then run a command in it.

    python3 environment.py                       make .venv from locks/, fetch what `dvc repro` will need
    python3 environment.py dvc repro             the same, then run the command with .venv on PATH
    python3 environment.py --env NAME COMMAND    run it in .venvs/NAME: dependency group NAME, by locks/NAME.txt

Needs Python 3.11 or newer and nothing else; uv installs if it is on PATH, pip if not. A second call does nothing but
run the command; a changed lock brings the environment up to date. PROJECT_VENV names another folder than .venv, and
PROJECT_CACHE another one than .cache, which holds models and answers: several checkouts can share them. Variables in
the file .env are set for the command unless they are set already; .env.example lists them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent


class Environment(NamedTuple):
    """A folder, what is installed in it, and the file that pins the versions."""

    folder: Path
    packages: list[str]
    lock: Path

    @property
    def binaries(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.binaries / "python"


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever starts this may have an older one)
        return refuse(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    read_dotenv(ROOT / ".env")
    named = arguments[:1] == ["--env"]
    try:
        environment = of_name(*arguments[1:2]) if named else default()
        command = arguments[2:] if named else arguments
        bring_up_to_date(environment)
    except LookupError as error:
        return refuse(f"--env: {error.args[0]}")
    except subprocess.CalledProcessError as error:
        failed = " ".join(map(str, error.cmd))
        return refuse(f"`{failed}` failed; fix what it says above and run this again", error.returncode)
    fetch = [environment.python, "-m", "pipeline.model", "--fetch"]
    if not named and (code := subprocess.run(fetch, cwd=ROOT, check=False).returncode):
        return code  # it has said why
    if command:
        return run(command, environment)
    binaries = environment.binaries
    print(f"ready: {environment.folder}\n  run   python3 environment.py dvc repro")
    print(f"  or    source {binaries}/activate && dvc repro")
    return 0


def read_dotenv(file: Path) -> None:
    """Set what lines ``NAME=value`` name, unless it is set already. Keys lie there, out of git and of the shell."""
    for line in file.read_text("utf-8").splitlines() if file.is_file() else []:
        name, _, value = line.strip().removeprefix("export ").partition("=")
        if value and not name.startswith("#"):
            os.environ.setdefault(name.strip(), value.strip().strip("\"'"))


def default() -> Environment:
    """What the stages run in: the project's dependencies and its tools for development."""
    declared = pyproject()
    packages = [*declared["project"]["dependencies"], *group(declared["dependency-groups"], "dev")]
    folder = Path(os.environ.get("PROJECT_VENV") or ROOT / ".venv").absolute()
    return Environment(folder, packages, ROOT / "locks" / "trl.txt")


def of_name(name: str = "") -> Environment:
    """The environment of a dependency group that has a lock.

    Raises:
        LookupError: there is no such group, or no such lock.
    """
    groups = pyproject()["dependency-groups"]
    known = [key for key in groups if (ROOT / "locks" / f"{key}.txt").is_file()]
    if name not in known:
        raise LookupError(f"no environment {name!r}; those of pyproject.toml with a lock: {', '.join(known) or 'none'}")
    return Environment(ROOT / ".venvs" / name, group(groups, name), ROOT / "locks" / f"{name}.txt")


def pyproject() -> dict[str, Any]:
    import tomllib  # not in the older Pythons that main() turns away

    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def group(groups: dict[str, Any], name: str) -> list[str]:
    """Requirements of a dependency group (PEP 735), those of the groups that it includes too."""
    found = []
    for entry in groups[name]:
        found += [entry] if isinstance(entry, str) else group(groups, entry["include-group"])
    return found


def bring_up_to_date(environment: Environment) -> None:
    """Create the environment if need be and install the packages at their locked versions.

    Raises:
        subprocess.CalledProcessError: something cannot be installed.
    """
    folder, packages, lock = environment
    locked, wanted = digest(lock.read_text("utf-8")), digest("\n".join(packages))
    stamp = folder / f"installed-{locked}-{wanted}"
    if stamp.exists():
        return
    print(f"making {folder} (a few minutes the first time)", flush=True)
    if not environment.python.exists():
        venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    # The lock's exact torch, alone: a build that is already at hand is then not replaced by a larger one.
    torch = [line.strip() for line in lock.read_text("utf-8").splitlines() if line.startswith("torch==")]
    for wanted_now in filter(None, (torch, packages)):
        install(wanted_now, environment)
    for old in set(folder.glob("installed-*")) - set(folder.glob(f"installed-{locked}-*")):
        old.unlink()  # what another lock installed is gone
    stamp.touch()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def install(packages: list[str], environment: Environment) -> None:
    """By uv, which takes seconds for pip's minutes; by pip if there is no uv, or its settings find no packages."""
    quietly = ["--quiet", "--constraint", environment.lock, *packages]
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--python", environment.python, *quietly]
        if subprocess.run(command, env=pip_settings_for_uv(), check=False).returncode == 0:
            return
        print("uv could not install this; pip tries", file=sys.stderr, flush=True)
    subprocess.run([environment.python, "-m", "pip", "install", "--disable-pip-version-check", *quietly], check=True)


def pip_settings_for_uv() -> dict[str, str]:
    """The environment, with pip's indexes under uv's names: uv reads no PIP_ variable, and prefers the first index."""
    names = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_NO_INDEX": "UV_NO_INDEX"}
    known = {theirs: os.environ[ours] for ours, theirs in names.items() if os.environ.get(ours)}
    links = os.environ.get("PIP_FIND_LINKS", "").replace(" ", ",")
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_FIND_LINKS": links, **known, **os.environ}


def run(command: list[str], environment: Environment) -> int:
    """Run ``command`` with the environment first on PATH: DVC starts each stage with the ``python`` it finds there."""
    folder, binaries = environment.folder, environment.binaries
    variables = {**os.environ, "VIRTUAL_ENV": str(folder), "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    variables.pop("PYTHONHOME", None)
    try:
        return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode
    except FileNotFoundError:
        return refuse(f"no command {command[0]!r} in {binaries} or on PATH", 127)
    except KeyboardInterrupt:
        return 130


def refuse(reason: str, code: int = 1) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
