"""The answers that a project was generated from."""

from typing import Any

import yaml

from engine.core.artifacts import COPIER_ANSWERS


def read_answers() -> dict[str, Any]:
    """The answers; empty if the file was removed or is not YAML."""
    try:
        answers = yaml.safe_load(COPIER_ANSWERS.read_text("utf-8"))
    except (FileNotFoundError, yaml.YAMLError):
        return {}
    return answers if isinstance(answers, dict) else {}
