"""The answers that a project was generated from."""

from typing import Any

import yaml

from engine.core.artifacts import COPIER_ANSWERS
from engine.core.errors import ProjectError


def read_answers() -> dict[str, Any]:
    """The answers; empty if the file was removed or is not YAML."""
    try:
        answers = yaml.safe_load(COPIER_ANSWERS.read_text("utf-8"))
    except (FileNotFoundError, yaml.YAMLError):
        return {}
    return answers if isinstance(answers, dict) else {}


def without_extra(extra: str, where: str) -> ProjectError:
    """The error of a setting for which this project was generated without the code."""
    extras = ",".join(filter(None, (str(read_answers().get("extras", "")), extra)))
    fix = f"change the setting, or bring the code: tunesmith update --set extras={extras}"
    return ProjectError(f"this project was generated without the extra `{extra}`", where, fix)
