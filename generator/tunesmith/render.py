"""The one module that knows copier: renders the template of a bundle, by its public address, without a network."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tunesmith import __version__, bundle, git
from tunesmith.errors import RenderFailed


@dataclass(frozen=True)
class Origin:
    """A template: the address that projects record, and where git reads it (a bundle, a clone, the address)."""

    address: str
    location: str


def render(answers: Mapping[str, Any], target: Path, scratch: Path) -> None:
    """Render this version's template into ``target``, which must not exist. ``scratch`` takes copier's clone.

    Raises:
        RenderFailed: copier refused the answers or the template.
        OSError: the files cannot be written.
    """
    installed = Origin(bundle.PUBLIC_URL, bundle.path().as_posix())
    render_answers(installed, f"v{__version__}", answers, target, scratch)


def render_answers(origin: Origin, tag: str, answers: Mapping[str, Any], target: Path, scratch: Path) -> None:
    """Render the template's version ``tag`` with ready answers; see `render`."""
    with _copier(origin, scratch) as copier:
        copier.run_copy(origin.address, target, **_options(copier, tag, answers))


def update_in_place(origin: Origin, tag: str, project: Path, answers: Mapping[str, Any], scratch: Path) -> None:
    """Copier's own update of ``project``, for machines whose git cannot merge trees.

    Raises:
        RenderFailed: copier refused.
    """
    with _copier(origin, scratch) as copier:
        copier.run_update(project, overwrite=True, **_options(copier, tag, answers))


def _options(copier: ModuleType, tag: str, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Options of every call. The settings are empty, because a user's own defaults would change the bytes."""
    settings = copier.Settings()
    return {"data": dict(answers), "settings": settings, "vcs_ref": tag, "defaults": True, "quiet": True}


@contextmanager
def _copier(origin: Origin, scratch: Path) -> Iterator[ModuleType]:
    """Copier, in an environment where its git reads ``origin`` offline.

    Raises:
        RenderFailed: copier refused the answers or the template.
    """
    with _offline(origin, scratch):
        # Imported here: it takes half a second, and plumbum copies the environment as it starts.
        import copier
        from copier.errors import CopierError
        from jinja2 import TemplateError
        from plumbum import ProcessExecutionError, local

        try:
            with local.env(**_variables(origin, scratch)):
                yield copier
        except (CopierError, TemplateError, ProcessExecutionError, ValueError) as error:
            raise RenderFailed(str(error)) from error


def expanded(address: str) -> str:
    """An address as git reads it: copier records `gh:owner/name` as it was typed."""
    for short, url in (("gh:", "https://github.com/"), ("gl:", "https://gitlab.com/")):
        if address.startswith(short):
            return url + address.removeprefix(short).strip("/")
    return address.removeprefix("git+")


def _variables(origin: Origin, scratch: Path) -> dict[str, str]:
    """git reads ``location`` wherever copier names the address, with or without the .git that it appends."""
    bare = expanded(origin.address).removesuffix(".git")
    names = [name for name in (f"{bare}.git", bare) if name != origin.location]
    settings = {"GIT_CONFIG_COUNT": str(len(names)), "COPIER_CACHE_DIR": str(scratch / "mirror")}
    for number, name in enumerate(names):
        settings[f"GIT_CONFIG_KEY_{number}"] = f"url.{origin.location}.insteadOf"
        settings[f"GIT_CONFIG_VALUE_{number}"] = name
    return settings


@contextmanager
def _offline(origin: Origin, scratch: Path) -> Iterator[None]:
    """The environment that copier's git runs in, without what the caller's git hook set."""
    before = dict(os.environ)
    for name in git.LOCATION_VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(_variables(origin, scratch))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
