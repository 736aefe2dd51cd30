"""What the owner of a project can fix, as one message; and how a stage ends."""

import sys
from collections.abc import Callable


class ProjectError(Exception):
    """Something the project's owner can fix: what happened, where, and how to fix it."""

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


def run_stage(main: Callable[[], None]) -> int:
    """Run a stage's ``main``; print a `ProjectError` or a full disk as one message. Returns the exit code."""
    try:
        main()
    except ProjectError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(ProjectError(str(error.strerror or error), str(error.filename or "")), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: no partial files are left", file=sys.stderr)
        return 130
    return 0
