"""Who owns which file of a project: the template, the project (seeded once), or the user alone.

The project carries the manifest as `.tunesmith.yaml`. It lists owners only: the bytes as they were rendered come from
rendering the recorded version again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

import yaml

NAME = ".tunesmith.yaml"
ANSWERS = ".copier-answers.yml"
PARAMETERS = "params.yaml"


class Owner(Enum):
    """What an update does with a file that the user edited and the template changed."""

    TEMPLATE = "template"  # merges the two
    SEED = "seed"  # leaves the user's
    USER = "user"  # the template never had it


@dataclass(frozen=True)
class Manifest:
    """Patterns by owner; ``*`` matches across folders too. A path that nothing matches is the user's."""

    template: Sequence[str] = ("*",)
    seed: Sequence[str] = ()

    @classmethod
    def read(cls, text: str) -> "Manifest":
        """The manifest as a project carries it; one that cannot be read gives every rendered file to the template."""
        try:
            loaded: Any = yaml.safe_load(text)
        except yaml.YAMLError:
            return cls()
        if not isinstance(loaded, dict):
            return cls()
        return cls(_patterns(loaded.get("template")), _patterns(loaded.get("seed")))

    def owner(self, path: str) -> Owner:
        """Owner of a path of the project."""
        if any(fnmatchcase(path, pattern) for pattern in self.seed):
            return Owner.SEED
        matched = any(fnmatchcase(path, pattern) for pattern in self.template)
        return Owner.TEMPLATE if matched else Owner.USER


def _patterns(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
