"""A quick look at a text: most have nothing to repair and nothing to hide, and should cost next to nothing."""

from pathlib import Path
from typing import Any

import yaml

# Lower-case letters, white space and the usual marks: without them a text is short, and what is left tells the rest.
_ORDINARY = b"abcdefghijklmnopqrstuvwxyz \n\t\r.,;!?'\"()"
_HARMLESS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$%&*+/\\^`{|}~#>]" + b"-_:="
_NOT_DIGITS = bytes(byte for byte in range(256) if not 48 <= byte <= 57)
_FEWEST_DIGITS = 4  # of an IP address; every other number that is looked for has more
PATTERNS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("pii_patterns.yaml").read_text("utf-8"))
_CLUES = [(sign.encode(), texts) for sign, texts in PATTERNS["secret_clues"].items()]


def unremarkable(text: str) -> bool:
    """Whether no repair and no pattern of private data can apply to ``text``. False only means: look closely."""
    rest = text.encode("utf-8", "replace").translate(None, _ORDINARY)
    if not rest:
        return True
    if rest.translate(None, _HARMLESS) or len(rest.translate(None, _NOT_DIGITS)) >= _FEWEST_DIGITS:
        return False  # an at sign, a bracket, a control character, a letter beyond ASCII; or a number
    return not _may_hold_secret(text, rest)


def clues(text: str) -> tuple[bool, int]:
    """Whether a text may hold a secret, and how many digits it has. Beyond ASCII there are other digits and cases."""
    if not text.isascii():
        return True, len(text)
    rest = text.encode().translate(None, _ORDINARY)
    return _may_hold_secret(text, rest), len(rest.translate(None, _NOT_DIGITS))


def _may_hold_secret(text: str, rest: bytes) -> bool:
    for sign, beginnings in _CLUES:
        if sign in rest:
            for beginning in beginnings:
                if beginning in text:
                    return True
    if b"=" in rest or b":" in rest:
        lower = text.lower()
        for name in PATTERNS["secret_names"]:
            if name in lower:
                return True
    return False
