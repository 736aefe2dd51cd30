"""Builds the git bundle that every render comes from: one commit a release, fixed author and date, tagged v<version>.

An installed wheel carries the bundle; in a checkout it is built from the working tree when it is needed. Equal content
gives equal commit ids, so the same sources always give the same bundle commit.
"""

import hashlib
import os
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tunesmith import __version__, git, package_data
from tunesmith.errors import GitFailed

PUBLIC_URL = "https://github.com/tunesmith/tunesmith"
NAME = "template.bundle"
DATE = "2026-11-22T00:00:00+00:00"
SKIPPED = ("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".DS_Store", ".venv")

IDENTITY = {
    "GIT_AUTHOR_NAME": git.AUTHOR,
    "GIT_AUTHOR_EMAIL": git.EMAIL,
    "GIT_AUTHOR_DATE": DATE,
    "GIT_COMMITTER_NAME": git.AUTHOR,
    "GIT_COMMITTER_EMAIL": git.EMAIL,
    "GIT_COMMITTER_DATE": DATE,
    # The bundle may depend on nothing that a machine is set up with.
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def path() -> Path:
    """The bundle of this installation, built first if this is a checkout."""
    installed = package_data.packaged() / NAME
    return installed if installed.is_file() else _cached(package_data.root())


def _cached(root: Path) -> Path:
    target = cache_folder() / f"{_digest(root, files(root))}.bundle"
    if not target.is_file():
        build(root, target)
    return target


def cache_folder() -> Path:
    """A folder for bundles of checkouts: the user's cache, or a private temporary one where that cannot be written."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunesmith"
    try:
        base.mkdir(parents=True, exist_ok=True)
        if os.access(base, os.W_OK):
            return base
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="tunesmith."))


def files(root: Path) -> list[str]:
    """Sorted paths of the template's files below ``root``, without what git ignores where there is a git to ask."""
    try:
        listed = git.run(
            "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *package_data.PARTS, cwd=root
        ).split("\0")
    except GitFailed:
        listed = _walk(root)
    return sorted({name for name in listed if _wanted(root, name)})


def _walk(root: Path) -> list[str]:
    found = [part for part in package_data.PARTS if (root / part).is_file()]
    for part in package_data.PARTS:
        for folder, _, names in os.walk(root / part):
            found += [(Path(folder) / name).relative_to(root).as_posix() for name in names]
    return found


def _wanted(root: Path, name: str) -> bool:
    skipped = any(part in SKIPPED for part in name.split("/")) or name.endswith((".pyc", ".pyo"))
    return bool(name) and not skipped and (root / name).is_file()


def _digest(root: Path, names: Iterable[str]) -> str:
    digest = hashlib.sha256(__version__.encode())
    for name in [*names, *(["releases.toml"] if (root / "releases.toml").is_file() else [])]:
        content = (root / name).read_bytes()
        mode = f"{(root / name).lstat().st_mode:o}"
        digest.update(f"{name}\0{mode}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def build(root: Path, target: Path, version: str = __version__) -> list[str]:
    """Write the bundle of the template below ``root``, with the releases before it where their commits can be found.

    Returns:
        The releases that are left out, because this is no clone, or one without their commits.

    Raises:
        GitFailed: git refused; `target` is not written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tunesmith.", dir=target.parent) as scratch:
        repository = Path(scratch) / "repository.git"
        git.run("init", "--bare", "--quiet", str(repository), cwd=root, extra=IDENTITY)
        trees, missing = _released_trees(root, repository, version)
        for name, tree in trees.items():
            _commit(repository, name, tree)
        newest = _commit(repository, version, _worktree(root, repository))
        git.run("update-ref", "refs/heads/main", newest, cwd=repository, extra=IDENTITY)
        git.run("symbolic-ref", "HEAD", "refs/heads/main", cwd=repository, extra=IDENTITY)
        written = Path(scratch) / NAME
        git.run("bundle", "create", "--quiet", str(written), "HEAD", "--all", cwd=repository, extra=IDENTITY)
        written.replace(target)
    return missing


def _worktree(root: Path, repository: Path) -> str:
    """Tree of the files as they lie on disk, symlinks kept (their targets travel along)."""
    extra = IDENTITY | {
        "GIT_DIR": str(repository),
        "GIT_WORK_TREE": str(root),
        "GIT_INDEX_FILE": str(repository / "index"),
    }
    listing = "\0".join(files(root)).encode()
    git.run("-c", "core.autocrlf=false", "update-index", "--add", "-z", "--stdin", cwd=root, extra=extra, data=listing)
    return git.run("write-tree", cwd=root, extra=extra)


def _released_trees(root: Path, repository: Path, version: str) -> tuple[dict[str, str], list[str]]:
    """Tree of each earlier release of releases.toml, and the versions whose commit this folder lacks."""
    manifest = root / "releases.toml"
    releases = tomllib.loads(manifest.read_text(encoding="utf-8")).get("release", []) if manifest.is_file() else []
    trees, missing = {}, []
    for release in releases:
        if release["version"] == version:
            continue
        try:
            listing = git.run("ls-tree", release["commit"], "--", *package_data.PARTS, cwd=root)
        except GitFailed:
            missing.append(release["version"])
            continue
        objects = git.run("rev-parse", "--path-format=absolute", "--git-path", "objects", cwd=root)
        (repository / "objects" / "info" / "alternates").write_text(objects + "\n", encoding="utf-8")
        trees[release["version"]] = git.run("mktree", cwd=repository, extra=IDENTITY, data=listing.encode() + b"\n")
    return trees, missing


def _commit(repository: Path, version: str, tree: str) -> str:
    """A release without parents, so that its id does not depend on which earlier ones this clone has."""
    commit = git.run("commit-tree", tree, "-m", f"Tunesmith {version}", cwd=repository, extra=IDENTITY)
    git.run("tag", f"v{version}", commit, cwd=repository, extra=IDENTITY)
    return commit
