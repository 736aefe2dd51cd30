"""Personal data and secrets by pattern, confirmed by check digits or by shape if they have any.

Names and addresses need a language model to be found and are not looked for, by Presidio neither: it runs here without
one, by its patterns alone, and knows more kinds of numbers and of ways to write them.  A placeholder stands for the
same value throughout a record, in prompt and answer, so that what the record teaches stays consistent.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from engine.core.answers import without_extra
from engine.data.check.pii_prefilter import PATTERNS, clues
from engine.data.check.reject_reasons import BadRecordError
from engine.settings.curate import PrivateSettings

# Start, end and kind of what is private in a text, from the left. Of two that overlap, the stricter action wins.
Spans: TypeAlias = Callable[[str, dict[str, str]], list[tuple[int, int, str]]]
_LOOKED_BEYOND = 200  # characters: what is private may begin before a cut and end after it


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of a payment card (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_valid(text: str) -> bool:
    """Whether the check digits of an IBAN are right (ISO 13616: the number modulo 97 is 1)."""
    letters = re.sub(r"[ -]", "", text).upper()
    if not 15 <= len(letters) <= 34:
        return False
    return int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])) % 97 == 1


def _card(text: str) -> bool:
    digits = re.sub(r"[ -]", "", text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits)


def _public_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or address.is_reserved)


def _phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 9 <= len(digits) <= 15 and len(set(digits)) > 2


def _ssn(text: str) -> bool:
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


class _Kind(NamedTuple):
    """A kind of private data, and what every text has that holds some: so many digits, and a sign."""

    name: str
    pattern: re.Pattern[str]
    digits: int = 0
    sign: str = ""


def _kind(name: str, regex: str = "|".join(PATTERNS["secrets"]), digits: int = 0, sign: str = "") -> _Kind:
    return _Kind(name, re.compile(regex), digits, sign)


_KINDS = [_kind(**fields) for fields in PATTERNS["kinds"]]
_CONFIRMED = {"iban": iban_valid, "card": _card, "us_ssn": _ssn, "ip": _public_ip, "phone": _phone}
_HELD_BY_ALL = re.compile(r"[\d@:]")  # what everything that Presidio finds has one of


class PrivateData:
    """Finds private data in a record's texts and treats each kind as the settings say."""

    def __init__(self, settings: PrivateSettings, engine: str = "regex") -> None:
        self.actions = {kind: getattr(settings, kind) for kind in PrivateSettings.model_fields}
        self.counts = dict.fromkeys(self.actions, 0)
        self.known: dict[tuple[str, str], str] = {}  # the placeholders of the record at hand
        self.presidio = _presidio() if engine == "presidio" else None

    def possible(self, text: str) -> bool:
        """Whether a text that is unremarkable to the patterns may yet hold something private."""
        return self.presidio is not None and _HELD_BY_ALL.search(text) is not None

    def treated(self, text: str) -> str:
        """A text of the current record, redacted if the settings require it.

        Raises:
            BadRecordError: a kind is found whose records are to be dropped.
        """
        secret, digits = clues(text)
        for kind in _KINDS[:1] if self.presidio else _KINDS:
            if digits < kind.digits or kind.sign not in text or (kind.name == "secret" and not secret):
                continue
            text = kind.pattern.sub(partial(self._replaced, kind.name), text)
        found = self.presidio(text, self.actions) if self.presidio else []
        placed = [
            (start, end, self._replacement(kind, text[start:end], start))
            for start, end, kind in found
            if kind != "ip" or _public_ip(text[start:end])
        ]
        for start, end, new in reversed(placed):
            text = text[:start] + new + text[end:]
        return text

    def _replaced(self, kind: str, match: re.Match[str]) -> str:
        value = match.group()
        confirmed = _CONFIRMED.get(kind)
        return value if confirmed and not confirmed(value) else self._replacement(kind, value, match.start())

    def _replacement(self, kind: str, value: str, start: int) -> str:
        action, known = self.actions[kind], self.known
        self.counts[kind] += 1
        if action == "drop":
            what = "secret" if kind == "secret" else "private"
            raise BadRecordError(what, f"column {start + 1} of a text: {kind}")
        if action == "report":
            return value
        if (kind, value) not in known:
            number = 1 + sum(other == kind for other, _ in known)
            mark = hashlib.sha256(value.encode()).hexdigest()[:8] if action == "hash" else str(number)
            known[kind, value] = f"<{kind.upper()}_{mark}>"
        return known[kind, value]


def _presidio() -> Spans:
    try:
        from engine.data.check.presidio import finder  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise without_extra("pii", "curate.pii_engine: presidio") from None
    spans: Spans = finder()
    return spans


def hidden(text: str, limit: int, engine: str = "regex") -> str:
    """At most ``limit`` characters of a text without private data, independently of the settings.

    Both look at it, our patterns and the ``engine`` that looks at the data.
    """
    text, redacting = text[: limit + _LOOKED_BEYOND], dict.fromkeys(PrivateSettings.model_fields, "redact")
    known = dict[tuple[str, str], str]()
    for name in dict.fromkeys(("regex", engine)):
        private = PrivateData(PrivateSettings.model_validate(redacting), name)
        private.known = known
        text = private.treated(text)
    return text[:limit]
