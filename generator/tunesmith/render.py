"""The one module that knows copier: renders the template of a bundle, by its public address, without a network."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith import __version__, bundle, git
from tunesmith.errors import RenderFailed
from tunesmith.planner.resolve import resolve
from tunesmith.questions import questions
from tunesmith.spec import Spec


def answers_for(spec: Spec) -> dict[str, Any]:
    """The copier answers of a spec: what it says, what the planner chose (plan_KEY) and what it pins (pin_KEY).

    Answers to questions that do not matter are left out, because copier would not record them.
    """
    known = spec.combined() | {
        key: choice.value for key, choice in resolve(spec.answers).items() if key not in spec.pins
    }
    data = {key: value for key, value in spec.answers.items() if questions()[key].applies(known)}
    data |= {f"plan_{key}": choice.value for key, choice in resolve(spec.answers).items()}
    return data | {f"pin_{key}": value for key, value in spec.pins.items()}


def render(spec: Spec, target: Path, scratch: Path) -> None:
    """Render into ``target``, which must not exist. ``scratch`` takes copier's clone of the bundle.

    Raises:
        RenderFailed: copier refused the answers or the template.
        OSError: the files cannot be written.
    """
    with _offline(scratch):
        # Imported here: it takes half a second, and reads its environment as it starts.
        from copier import Settings, run_copy
        from copier.errors import CopierError
        from jinja2 import TemplateError
        from plumbum import ProcessExecutionError, local

        try:
            with local.env(**_variables(scratch)):
                run_copy(
                    bundle.PUBLIC_URL,
                    target,
                    data=answers_for(spec),
                    settings=Settings(),  # a user's own defaults would change the bytes
                    vcs_ref=f"v{__version__}",
                    defaults=True,
                    quiet=True,
                )
        except (CopierError, TemplateError, ProcessExecutionError, ValueError) as error:
            raise RenderFailed(str(error)) from error


def _variables(scratch: Path) -> dict[str, str]:
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{bundle.path().as_posix()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"{bundle.PUBLIC_URL}.git",
        "COPIER_CACHE_DIR": str(scratch / "mirror"),
    }


@contextmanager
def _offline(scratch: Path) -> Iterator[None]:
    """git reads the bundle wherever copier names the public address, and nothing that the caller's git hook set."""
    before = dict(os.environ)
    for name in git.LOCATION_VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(_variables(scratch))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
