"""Why a record is left out: a few fixed codes, each with its meaning, so that two runs can be compared by reason."""

from typing import Any

REASONS = {
    "json": "the line is not one strict JSON object",
    "encoding": "the bytes are not UTF-8 text",
    "schema": "a field is missing, ambiguous or of the wrong type",
    "roles": "the order of the turns cannot be rendered by a chat template",
    "empty": "a turn is empty",
    "too_short": "the answer is shorter than curate.min_answer_chars",
    "too_long": "the record is longer than curate.max_chars, or its line is too long",
    "special_tokens": "the text contains a chat template's control token",
    "broken_text": "the text was decoded with the wrong encoding",
    "control_characters": "the text contains invisible or control characters",
    "language": "the language is not one of curate.languages",
    "refusal": "the answer declines to answer",
    "echo": "the answer repeats the prompt",
    "cut_answer": "the answer stops in the middle",
    "repetition": "the answer repeats one line",
    "boilerplate": "the answer opens or closes with a sentence that many different answers share",
    "private": "the text contains personal data that curate.private drops",
    "secret": "the text contains a key, a token or a password",
    "preference": "the chosen and the rejected answer cannot be compared",
    "exact_duplicate": "another record is the same",
    "near_duplicate": "another record is almost the same, with the same answer",
    "semantic_duplicate": "another record paraphrases the prompt, with the same answer",
    "conflicting_label": "another record has the same prompt and a different answer",
    "superseded": "a record of data/feedback corrects this one",
    "contaminated": "the text contains an item of a benchmark",
    "label_limit": "its label has enough training records (curate.max_per_label, curate.max_label_ratio)",
    "benchmark_leak": "the record is a near duplicate or a paraphrase of a frozen benchmark item, or in its group",
}


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
