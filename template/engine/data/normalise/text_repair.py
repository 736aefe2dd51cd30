"""Text repair: wrong encodings, invisible characters, control tokens. Each test is cheap for text that is in order."""

import re
from collections.abc import Callable
from functools import cache

from engine.data.normalise.repair_policy import Anomalies

# Control characters that no text needs, zero-width and direction marks, and the byte order mark.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u2060\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_ALLOWED_ASCII = bytes([9, 10, 13, *range(32, 127)])
_SPECIAL = re.compile(
    r"<\|(?:im_start|im_end|endoftext|begin_of_text|end_of_text|eot_id|start_header_id|end_header_id|eom_id|python_tag"
    r"|system|user|assistant|end|start|message|channel|return|call|fim_\w+|vision_\w+)\|>"
    r"|</s>|<s>(?=\s*\[INST\])|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<\uff5c[^\uff5c<>]{1,40}\uff5c>"
)
_FOREIGN = re.compile(r"[^\x00-\x7f]{0,8}")  # what is quoted of a repair: more may be half of something private
_OPENINGS = ("<|", "s>", "INST]", "SYS>>", "_of_turn>", "<\uff5c")


def repaired(text: str, anomalies: Anomalies) -> str:
    """The text for training. Raises `BadRecordError` if a policy requires it."""
    if not text.isascii():
        text = _decoded(text, anomalies)
    text = _without_control(text, anomalies)
    for opening in _OPENINGS:
        if opening in text and (found := _SPECIAL.search(text)):
            detail = f"column {found.start() + 1} of a text: the control token {found.group()}"
            return _SPECIAL.sub("", text) if anomalies.repair("special_tokens", detail) else text
    return text


def _without_control(text: str, anomalies: Anomalies) -> str:
    if text.isascii() and not text.encode().translate(None, _ALLOWED_ASCII):  # a quick look
        return text
    if not (found := _CONTROL.search(text)):
        return text
    detail = f"column {found.start() + 1} of a text: U+{ord(found.group()):04X}"
    return _CONTROL.sub("", text) if anomalies.repair("control_characters", detail) else text


def _decoded(text: str, anomalies: Anomalies) -> str:
    """Text without mojibake. ftfy takes a millisecond for a text with mojibake, so a quick check comes first."""
    is_bad, fix_encoding = _ftfy()
    if not is_bad(text):
        return text
    better = fix_encoding(text)
    if better == text:
        return text
    where = next((i for i, (old, new) in enumerate(zip(text, better, strict=False)) if old != new), 0)
    old, new = (_FOREIGN.match(version, where) for version in (text, better))
    detail = f"column {where + 1} of a text: {old and old[0]!r} was {new and new[0]!r}"
    return better if anomalies.repair("broken_text", detail) else text


@cache
def _ftfy() -> tuple[Callable[[str], bool], Callable[[str], str]]:
    import ftfy
    import ftfy.badness

    return ftfy.badness.is_bad, ftfy.fix_encoding
