"""What a right answer is: each metric compares the expected text with the answer and gives a score between 0 and 1."""

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from engine.core.text import contains, normalise

Metric: TypeAlias = Callable[[str, str], float]
_FENCE = re.compile(r"\A```[a-zA-Z]*\s*\n(.*?)\n?```\Z", re.DOTALL)
MISSING = object()


def exact_match(expected: str, answer: str) -> float:
    """1 if both texts are the same once normalised."""
    return float(normalise(expected) == normalise(answer))


def token_f1(expected: str, answer: str) -> float:
    """Harmonic mean of token precision and recall, articles and punctuation ignored (SQuAD, arXiv 1606.05250)."""
    wanted, given = _squad_tokens(expected), _squad_tokens(answer)
    if not wanted or not given:
        return float(wanted == given)
    shared = sum((Counter(wanted) & Counter(given)).values())
    return 2 * shared / (len(wanted) + len(given))


def _squad_tokens(text: str) -> list[str]:
    without = "".join(" " if c in string.punctuation else c for c in unicodedata.normalize("NFC", text).lower())
    return [token for token in without.split() if token not in {"a", "an", "the"}]


def rouge_l(expected: str, answer: str) -> float:
    """F1 of the longest common subsequence of words (Lin 2004), with word characters of every script."""
    from rouge_score.rouge_scorer import RougeScorer  # lazy: only free text needs it

    class Words:
        def tokenize(self, text: str) -> list[str]:
            return re.findall(r"\w+", text.lower())

    return float(RougeScorer(["rougeL"], tokenizer=Words()).score(expected, answer)["rougeL"].fmeasure)


@lru_cache(maxsize=1 << 16)  # every metric of every arm asks for the same texts
def parse_json(text: str) -> Any:
    """The JSON value of ``text`` (a Markdown fence around it is taken off, as any client would), or `MISSING`.

    Callers share the value: change a copy.
    """
    stripped = text.strip()
    fenced = _FENCE.match(stripped)
    try:
        return json.loads(fenced.group(1) if fenced else stripped, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return MISSING


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def json_valid(expected: str, answer: str) -> float:
    """1 if the answer parses as JSON."""
    return float(parse_json(answer) is not MISSING)


def json_match(expected: str, answer: str) -> float:
    """1 if both texts parse as JSON and hold the same value; the order of keys does not count."""
    wanted = parse_json(expected)
    return float(wanted is not MISSING and _same(wanted, parse_json(answer)))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right  # Python's True == 1 is not JSON's
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def json_field_accuracy(expected: str, answer: str) -> float:
    """Share of the expected JSON's leaf fields that the answer has right; further fields of the answer do not count."""
    wanted, given = parse_json(expected), parse_json(answer)
    if wanted is MISSING or given is MISSING:
        return 0.0
    answered = dict(_leaves(given))
    leaves = list(_leaves(wanted))
    return sum(_same(value, answered.get(path, MISSING)) for path, value in leaves) / len(leaves)


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every scalar (and every empty object or list) with the keys that lead to it."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    empty = True
    for key, child in children:
        empty = False
        yield from _leaves(child, (*path, key))
    if empty:
        yield path, value


def label_of(text: str, label_key: str | None) -> str:
    """The label a text gives: its JSON object's value at ``label_key`` if it has one, otherwise the normalised text."""
    value = parse_json(text)
    if label_key and isinstance(value, dict) and label_key in value:
        return normalise(str(value[label_key]))
    return normalise(text)


def label_accuracy(expected: str, answer: str, label_key: str | None = None) -> float:
    """1 if both texts give the same label, see `label_of`."""
    return float(label_of(expected, label_key) == label_of(answer, label_key))


METRICS: dict[str, Metric] = {
    "exact_match": exact_match,
    "contains": contains,
    "token_f1": token_f1,
    "rouge_l": rouge_l,
    "json_match": json_match,
    "json_valid": json_valid,
    "json_field_accuracy": json_field_accuracy,
    "label_accuracy": label_accuracy,
}
