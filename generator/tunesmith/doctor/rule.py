"""What a rule is, and the project that it looks at."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import yaml

from tunesmith import bundle, catalog, flat_yaml, git, project_env
from tunesmith.catalog import Catalogue, Hardware
from tunesmith.manifest import ANSWERS, PARAMETERS
from tunesmith.questions import MACHINE

FAULT, NOTE = "fault", "note"  # a note leaves the exit code alone
PROBE = Path(__file__).with_name("probe.py")
NOTHING: Mapping[str, Any] = {"versions": {}, "fields": {}, "python": [], "torch": None}
PAGE = f"{bundle.PUBLIC_URL}/blob/main/docs/doctor.md"


@dataclass(frozen=True)
class Checkup:
    """A project under examination; everything is read once, and only when a rule asks for it."""

    path: Path
    root: Path
    prefix: str
    cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def answers(self) -> Mapping[str, Any]:
        """The recorded answers as they lie on disk."""
        return flat_yaml.read(ANSWERS, (self.path / ANSWERS).read_bytes()).values

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue, with the machine that the answers describe."""
        return catalog.load(self.answers.get(MACHINE))

    @property
    def hardware(self) -> Hardware | None:
        """The machine that the project is planned for; None where nobody has described it."""
        return self.catalogue.hardware.get(str(self.answers.get("hardware", "cpu")))

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """params.yaml; empty where it is missing or broken."""
        try:
            loaded = yaml.load(self.text(PARAMETERS), Loader=flat_yaml.FAST)
        except yaml.YAMLError:
            return {}
        return loaded if isinstance(loaded, dict) else {}

    def parameter(self, group: str, key: str) -> Any:
        """A parameter of a group, None where there is none."""
        found = self.parameters.get(group)
        return found.get(key) if isinstance(found, dict) else None

    @cached_property
    def tracked(self) -> list[str]:
        """Paths that git tracks, from the project's folder."""
        listed = git.output("ls-files", "-z", cwd=self.path)[1].split(b"\0")[:-1]
        return [os.fsdecode(path) for path in listed]

    def text(self, name: str) -> str:
        """A file's text, empty where it is missing."""
        path = self.path / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    @cached_property
    def lock(self) -> Mapping[str, str]:
        """Exact versions of locks/*.txt by normalised name."""
        lines = [line for path in sorted(self.path.glob("locks/*.txt")) for line in path.read_text().splitlines()]
        pairs = (line.split(";")[0].strip().partition("==") for line in lines if not line.startswith("#"))
        return {normalised(name): version for name, equals, version in pairs if equals}

    @cached_property
    def python(self) -> Path | None:
        """The python of the project's environment, None where none was made."""
        return project_env.python(self.path)

    def probe(self, *classes: str) -> Mapping[str, Any]:
        """What the project's python has installed, and the fields of library classes (``package:Class``)."""
        if self.python is None:
            return NOTHING
        key = " ".join(classes)
        if key not in self.cache:
            command = [str(self.python), "-P", str(PROBE), *classes]
            done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=False)
            self.cache[key] = json.loads(done.stdout) if done.returncode == 0 else NOTHING
        found: Mapping[str, Any] = self.cache[key]
        return found

    def run(self, *command: str) -> tuple[int, str]:
        """Exit code and output of a command in the project's environment; only for one that was made."""
        assert self.python
        environment = {**os.environ, "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


class Rule:
    """One question about a project. A subclass's docstring is its title; ``check`` yields what is wrong, and where."""

    code: ClassVar[str]
    level: ClassVar[str] = FAULT
    why: ClassVar[str]
    fix: ClassVar[str]

    @classmethod
    def title(cls) -> str:
        """The rule in a line."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    @classmethod
    def link(cls) -> str:
        """Where the rule is explained."""
        return f"{PAGE}#{cls.code.lower()}"

    def check(self, project: Checkup) -> Iterable[str]:
        """What is wrong; nothing when all is well."""
        raise NotImplementedError

    def repair(self, project: Checkup) -> str:
        """Fix it where that is safe, and say what was done; empty where it is not safe."""
        return ""


def normalised(name: str) -> str:
    """A package's name as indexes spell it."""
    return name.strip().lower().replace("_", "-").replace(".", "-").split("[")[0]
