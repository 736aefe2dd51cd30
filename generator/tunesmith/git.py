"""The one module that runs git. Arguments are lists, never shell text."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tunesmith.errors import GitFailed, GitMissing

AUTHOR = "Tunesmith"
EMAIL = "tunesmith@localhost"

# Set by git for its hooks; inherited, they would make every command act on the wrong repository.
LOCATION_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process environment without the variables that move git elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in LOCATION_VARIABLES}
    return kept | dict(extra or {})


def run(*arguments: str, cwd: Path, extra: Mapping[str, str] | None = None, data: bytes | None = None) -> str:
    """Standard output of ``git ARGUMENTS``, stripped.

    Raises:
        GitMissing: no git on PATH.
        GitFailed: git returned an error.
    """
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=environment(extra), input=data, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise GitMissing from None
    if done.returncode:
        raise GitFailed(arguments, done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="surrogateescape").strip()


def toplevel(path: Path) -> Path | None:
    """Root of the repository that ``path`` is a part of, or None. ``path`` need not exist yet.

    A repository that ignores ``path`` does not count: what is there is no part of it.
    """
    existing = next((parent for parent in (path, *path.parents) if parent.is_dir()), Path("/"))
    try:
        root = Path(run("rev-parse", "--show-toplevel", cwd=existing))
    except GitFailed:
        return None
    if root == path.resolve():
        return root
    try:
        run("check-ignore", "--quiet", "--", f"{path.absolute()}/", cwd=existing)
    except GitFailed:
        return root
    return None


def lend_identity(path: Path) -> None:
    """Give the repository a name to commit under if git has none: DVC's experiments are commits too."""
    for key, value in (("user.name", AUTHOR), ("user.email", EMAIL)):
        try:
            run("config", key, cwd=path)
        except GitFailed:
            run("config", "--local", key, value, cwd=path)


def start_repository(path: Path, message: str) -> bool:
    """Make ``path`` a repository on branch main and commit all of it.

    The commit is not signed and runs no hooks: a program makes it, on machines that may have neither key nor identity.
    Returns whether the user's own identity could be used.
    """
    run("-c", "init.defaultBranch=main", "init", "--quiet", cwd=path)
    # Nothing that is ignored is ever emitted, so a user's global ignore file must not drop a file.
    run("-c", "core.safecrlf=false", "add", "--all", "--force", ".", cwd=path)
    return commit(path, message)


def commit(path: Path, message: str) -> bool:
    """Commit the index; see `start_repository`."""
    arguments = ("-c", "commit.gpgsign=false", "commit", "--quiet", "--no-verify", "--message", message)
    try:
        run(*arguments, cwd=path)
    except GitFailed as failure:
        if not any(word in failure.output for word in ("user.email", "user.name", "empty ident", "auto-detect")):
            raise
        run("-c", f"user.name={AUTHOR}", "-c", f"user.email={EMAIL}", *arguments, cwd=path)
        return False
    return True


def commit_all(path: Path, message: str) -> bool:
    """Commit what changed below ``path``, ignored files left out; returns whether there was anything."""
    run("add", "--all", ".", cwd=path)
    if not run("status", "--porcelain", "--untracked-files=no", cwd=path):
        return False
    commit(path, message)
    return True
