"""The one module that runs git. Arguments are lists, never shell text."""

import os
import re
import subprocess
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from tunesmith.errors import FileProblem, GitFailed, GitMissing, NotAProject

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
    return output(*arguments, cwd=cwd, extra=extra, data=data)[1].decode(errors="surrogateescape").strip()


def output(
    *arguments: str,
    cwd: Path,
    extra: Mapping[str, str] | None = None,
    data: bytes | None = None,
    allowed: Container[int] = (0,),
) -> tuple[int, bytes]:
    """Exit code and standard output of ``git ARGUMENTS``, as bytes; a code outside ``allowed`` is a failure.

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
    if done.returncode not in allowed:
        raise GitFailed(arguments, done.stderr.decode(errors="replace"))
    return done.returncode, done.stdout


def version() -> tuple[int, int]:
    """Major and minor version of the git on PATH."""
    found = re.search(r"(\d+)\.(\d+)", run("--version", cwd=Path("/")))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def toplevel(path: Path) -> Path | None:
    """Root of the repository that ``path`` is a part of, or None. ``path`` need not exist yet.

    A repository that ignores ``path`` does not count: what is there is no part of it.

    Raises:
        FileProblem: it belongs to another user.
    """
    existing = next((parent for parent in (path, *path.parents) if parent.is_dir()), Path("/"))
    try:
        root = Path(run("rev-parse", "--show-toplevel", cwd=existing))
    except GitFailed as failure:
        if "dubious ownership" in failure.output:
            fix = f"if you trust it: git config --global --add safe.directory {existing}"
            raise FileProblem(existing, "belongs to another user, so git does nothing there", fix) from None
        return None
    if root == path.resolve():
        return root
    try:
        run("check-ignore", "--quiet", "--", f"{path.absolute()}/", cwd=existing)
    except GitFailed:
        return root
    return None


def repository(path: Path) -> Path:
    """Root of the repository that holds the directory of a project.

    Raises:
        NotAProject: there is no such directory, or no repository around it.
    """
    if not path.is_dir():
        raise NotAProject(path, "is not a directory" if path.exists() else "no such directory")
    root = toplevel(path)
    if root is None:
        raise NotAProject(path, "is not inside a git repository")
    return root


def folder(path: Path) -> Path:
    """The repository's own folder (a linked work tree's own one), where its index and its state lie."""
    return Path(run("rev-parse", "--absolute-git-dir", cwd=path))


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
    return under_a_name(arguments, path)[1]


def under_a_name(arguments: Sequence[str], path: Path, data: bytes | None = None) -> tuple[str, bool]:
    """Output of a command that commits, and whether git had a name of the user's to do it under."""
    try:
        return run(*arguments, cwd=path, data=data), True
    except GitFailed as failure:
        if not any(word in failure.output for word in ("user.email", "user.name", "empty ident", "auto-detect")):
            raise
        borrowed = ("-c", f"user.name={AUTHOR}", "-c", f"user.email={EMAIL}")
        return run(*borrowed, *arguments, cwd=path, data=data), False


def commit_all(path: Path, message: str) -> bool:
    """Commit what changed below ``path``, ignored files left out; returns whether there was anything."""
    run("add", "--all", ".", cwd=path)
    if not run("status", "--porcelain", "--untracked-files=no", cwd=path):
        return False
    commit(path, message)
    return True
