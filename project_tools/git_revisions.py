"""A result as another commit, branch or experiment has it."""

import json
from typing import Any

from engine.core.errors import ProjectError

WORKSPACE = "workspace"


def read_at(path: str, revision: str) -> Any:
    """The JSON file at a revision, from git or from DVC's cache; None if the revision has none.

    Raises:
        ProjectError: there is no such revision, or DVC cannot get the file.
    """
    from dvc.api import read  # lazy: it takes a second
    from dvc.exceptions import DvcException, FileMissingError, PathMissingError
    from scmrepo.exceptions import SCMError

    try:
        return json.loads(read(path, rev=None if revision == WORKSPACE else revision))
    except (FileNotFoundError, FileMissingError, PathMissingError):
        return None
    except (DvcException, SCMError) as error:
        fix = "name a commit, a branch or an experiment"
        raise ProjectError(f"cannot read {path}: {error}", revision, fix) from None
