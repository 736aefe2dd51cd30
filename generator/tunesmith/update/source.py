"""Where a project's template comes from: the installed package, a path, a URL, or a company's mirror."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from tunesmith import __version__, bundle, git
from tunesmith.errors import FileProblem, GitFailed, NewerProject, UnknownVersion, UpdateState
from tunesmith.render import Origin, expanded

SETTING = "TUNESMITH_TEMPLATE"
SCHEMA = "schemas/spec.schema.json"
CHANGELOG = "CHANGELOG.md"


@dataclass(frozen=True)
class Source:
    """A local clone of the template with all of its releases; ``origin`` renders from it under the recorded address."""

    clone: Path
    origin: Origin
    shown: str

    @classmethod
    def open(cls, address: str, wanted: str, scratch: Path) -> "Source":
        """Clone the template once, into ``scratch``.

        ``address`` is what the project records. ``wanted`` is --source; without it the setting TUNESMITH_TEMPLATE,
        then the package's own bundle where the address is the public one, then the address itself.

        Raises:
            FileProblem: nothing can be cloned from there.
        """
        location = wanted or os.environ.get(SETTING, "")
        if not location:
            public = expanded(address).removesuffix(".git") == bundle.PUBLIC_URL
            location = str(bundle.path()) if public else address
        if Path(location).exists():
            location = str(Path(location).resolve())
        clone = scratch / "source.git"
        try:
            git.run("clone", "--bare", "--quiet", "--", expanded(location), str(clone), cwd=scratch)
        except GitFailed as failure:
            fix = f"name a bundle, a repository or a URL with --source, or in the environment variable {SETTING}"
            reason = failure.output.splitlines()[-1] if failure.output else "git cannot clone it"
            raise FileProblem(Path(location), f"is not a readable template: {reason}", fix) from None
        return cls(clone, Origin(address, clone.as_posix()), location)

    def versions(self) -> list[Version]:
        """Released versions, oldest first."""
        tags = git.run("tag", "--list", "v*", cwd=self.clone).split()
        return sorted(version for version in map(parse, tags) if version)

    def target(self, asked: str, at_least: Version) -> tuple[Version, Version | None]:
        """The version to go to, and the newest one if this command line is too old for it.

        Raises:
            UnknownVersion: ``asked`` is not released.
            UpdateState: it is older than the project.
        """
        known = self.versions()
        if asked:
            version = parse(asked)
            if version is None or version not in known:
                raise UnknownVersion(asked, self.shown, [str(one) for one in known if one >= at_least])
            if version < at_least:
                fix = "an update goes forward only; `git revert` takes the commits of an update back"
                raise UpdateState(f"template {version} is older than the project's, which is {at_least}", fix)
            refuse_newer(version, "the version asked for")
            return version, None
        usable = [one for one in known if one <= Version(__version__)] or [at_least]
        newest = known[-1] if known and known[-1] > usable[-1] else None
        return max(usable[-1], at_least), newest

    def read(self, version: Version, path: str) -> str:
        """Text of a file of a release, empty if it has none."""
        try:
            return git.run("show", f"v{version}:{path}", cwd=self.clone)
        except GitFailed:
            return ""

    def schema(self, version: Version) -> dict[str, Any]:
        """The questions of a release as its JSON Schema; empty for a template that has none."""
        import json

        text = self.read(version, SCHEMA)
        loaded: dict[str, Any] = json.loads(text) if text else {}
        return loaded

    def changelog(self, after: Version, upto: Version) -> str:
        """The parts of the changelog about the versions after one, up to and with another."""
        parts = re.split(r"(?m)^(?=## )", self.read(upto, CHANGELOG))
        kept = []
        for part in parts:
            version = parse(part.removeprefix("## ").split("\n")[0].split(" ")[0].strip("[]"))
            if version and after < version <= upto:
                kept.append(part.strip())
        return "\n\n".join(kept)


def parse(text: str) -> Version | None:
    """A version as tags and answers spell it (v0.1.0), or None."""
    try:
        return Version(text.strip().removeprefix("v"))
    except InvalidVersion:
        return None


def refuse_newer(version: Version, what: str) -> None:
    """Stop where the template is newer than this command line, which does not know its questions.

    Raises:
        NewerProject
    """
    if version > Version(__version__):
        raise NewerProject(what, str(version), __version__)
