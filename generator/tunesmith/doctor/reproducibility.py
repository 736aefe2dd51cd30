"""Whether the same commands give the same results, here and elsewhere."""

import re
from collections.abc import Iterable
from pathlib import Path

from tunesmith.doctor.rule import Checkup, Rule, normalised
from tunesmith.update.tree_diff import declared

REVISION = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


class LockInUse(Rule):
    """The installed packages are the locked ones."""

    code = "REP001"
    why = "Another version of a library changes the results without a trace."
    fix = "Install the locked versions: `python3 environment.py`, or `tunesmith doctor --fix`."

    def check(self, project: Checkup) -> Iterable[str]:
        installed = {normalised(name): version for name, version in project.probe()["versions"].items()}
        for name, version in project.lock.items():
            found = installed.get(name, version).partition("+")[0]  # a local label names a build of the same version
            if found != version.partition("+")[0]:
                yield f"{name} {found}, locked at {version}"
        if installed:
            yield from (f"{name} is not installed" for name in _required(project) if name not in installed)

    def repair(self, project: Checkup) -> str:
        code, _ = project.run("python3", "environment.py") if project.python else (1, "")
        return "" if code else "installed the locked versions"


def _required(project: Checkup) -> list[str]:
    """Names of the packages that pyproject.toml asks for on this machine and environment.py installs."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for text in declared(project.text("pyproject.toml"), groups=("dev",)):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            found.append(normalised(requirement.name))
    return found


class SeedSet(Rule):
    """params.yaml sets a seed."""

    code = "REP002"
    why = "Without a seed the split, the order of training and the benchmark differ from run to run."
    fix = "Set `seed` in params.yaml to a whole number."

    def check(self, project: Checkup) -> Iterable[str]:
        seed = project.parameters.get("seed")
        if project.parameters and (not isinstance(seed, int) or isinstance(seed, bool)):
            yield f"params.yaml: seed is {seed!r}"


class PinnedModel(Rule):
    """The base model is pinned to a revision or a checksum."""

    code = "REP003"
    why = "The owner of a model on a hub can replace the weights under the same name."
    fix = "Set model.revision in params.yaml to the full commit id on the hub (or model.sha256 of the package's file)."

    def check(self, project: Checkup) -> Iterable[str]:
        source = project.parameter("model", "source")
        revision, digest = project.parameter("model", "revision"), project.parameter("model", "sha256")
        if source == "hub" and not REVISION.fullmatch(str(revision)):
            yield f"params.yaml: model.revision is {revision!r}"
        if source == "package" and not SHA256.fullmatch(str(digest)):
            yield f"params.yaml: model.sha256 is {digest!r}"


class PipelineUpToDate(Rule):
    """The results are up to date with the code, the data and the parameters."""

    code = "REP004"
    why = "A report of an older state says nothing about the present one."
    fix = "Run `python3 environment.py dvc repro` and commit dvc.lock."

    def check(self, project: Checkup) -> Iterable[str]:
        if project.python is None or not (project.path / "dvc.lock").is_file():
            return
        code, output = project.run("dvc", "status", "--json")
        changed = re.findall(r'(?m)^\s{0,4}"([^"]+)":', output) or re.findall(r'"([^"]+)": \[', output)
        if code == 0 and changed:
            yield f"stages to run again: {', '.join(sorted(set(changed)))}"


class RemoteConfigured(Rule):
    """A DVC remote is configured and reachable."""

    code = "REP005"
    why = "Without a remote, data and weights are on this disk only, and nobody can repeat the run from a clone."
    fix = "`dvc remote add --default storage WHERE`, or for this clone `dvc remote modify --local storage url WHERE`."

    def check(self, project: Checkup) -> Iterable[str]:
        config = project.text(".dvc/config") + project.text(".dvc/config.local")
        url = (re.findall(r"(?m)^\s*url\s*=\s*(\S+)", config) or [""])[-1]
        if not url:
            yield ".dvc/config names no remote"
        elif "://" not in url:
            place = (project.path / ".dvc" / url).resolve()
            if not place.is_dir() and not place.parent.is_dir():
                yield f"{url} does not exist"
        elif project.python:
            code, output = project.run("dvc", "data", "status", "--json", "--not-in-remote")
            if code:
                lines = output.strip().splitlines()
                reasons = [line for line in lines if line.startswith("ERROR:")] or lines or ["cannot be reached"]
                yield f"{url}: {reasons[-1].removeprefix('ERROR:').strip()}"


class BenchmarkTracked(Rule):
    """The frozen benchmark's description is committed."""

    code = "REP006"
    why = "Scores can be compared only on the same benchmark. The digest in git proves that it is the same."
    fix = "Commit data/eval/benchmark.json."

    def check(self, project: Checkup) -> Iterable[str]:
        name = "data/eval/benchmark.json"
        if (project.path / Path(name)).is_file() and name not in project.tracked:
            yield f"{name} is not tracked by git"
