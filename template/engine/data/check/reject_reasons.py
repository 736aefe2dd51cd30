"""Why a record is left out: a few fixed codes, each with its meaning, so that two runs can be compared by reason."""

from pathlib import Path
from typing import Any

import yaml

REASONS: dict[str, str] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))


class BadRecordError(Exception):
    """A record that cannot be used. ``reason`` is a key of `REASONS`, ``detail`` says what and where."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail.encode("utf-8", "replace").decode()  # what it quotes may be no text


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    names = {bool: "a truth value", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
