"""Personal data and secrets by pattern, confirmed by check digits or by shape if they have any.

Names and addresses need a language model to be found and are not looked for, by Presidio neither: it runs here without
one, by its patterns alone, and knows more kinds of numbers and of ways to write them.  A placeholder stands for the
same value throughout a record, in prompt and answer, so that what the record teaches stays consistent.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from engine.core.errors import ProjectError
from engine.data.check.pii_prefilter import clues
from engine.data.check.reject_reasons import BadRecordError
from engine.settings.curate import PrivateSettings

_LOOKED_BEYOND = 200  # characters: what is private may begin before a cut and end after it
Check: TypeAlias = Callable[[str], bool]


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


def _any(text: str) -> bool:
    return True


_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}"
    r"|\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[\w-]{35}|\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{36}|\bpypi-[\w-]{50,}"
    r"|\bSG\.[\w-]{16,32}\.[\w-]{32,64}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"  # JSON web token
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[\s\S]{0,8000}?-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
    r"|\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,64}:[^\s:/@]{3,64}@(?=[\w.-])"  # password in an address
    r"|(?i:\b(?:api[_-]?key|secret|token|password|passwd)\b[\"']?\s{0,3}[:=]\s{0,3}[\"']?)"
    r"(?=[\w+/=.-]*\d)(?=[\w+/=.-]*[A-Za-z])[\w+/=.-]{16,}"
)


class _Kind(NamedTuple):
    """A kind of private data, and what every text has that holds some: so many digits, and a sign."""

    name: str
    pattern: re.Pattern[str]
    confirmed: Check
    digits: int = 0
    sign: str = ""


# Order matters: what an earlier kind took, a later one does not see.
_KINDS = (
    _Kind("secret", _SECRET, _any),
    _Kind(
        "email",
        re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"),
        _any,
        sign="@",
    ),
    _Kind(
        "iban",
        re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b"),
        iban_valid,
        digits=2,
    ),
    _Kind("card", re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])"), _card, digits=13),
    _Kind("us_ssn", re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])"), _ssn, digits=9, sign="-"),
    _Kind("ip", re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)"), _public_ip, digits=4, sign="."),
    _Kind(
        "phone",
        re.compile(r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?)?\d{2,4}(?:[ .-]\d{2,4}){2,4}(?![\w-])"),
        _phone,
        digits=9,
    ),
)
# Presidio's names of our kinds; what else it finds is an identifier, but for what is nobody's.
_ENTITIES = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IP_ADDRESS": "ip", "CREDIT_CARD": "card"}
_ENTITIES |= {"IBAN_CODE": "iban", "US_SSN": "us_ssn"}
_NOT_PRIVATE = {"DATE_TIME", "URL", "UUID"}
_SURE_ENOUGH = 0.4  # of Presidio's scores: a phone number has that, a bare run of digits less
_MILDNESS = ("drop", "hash", "redact", "report")
_HELD_BY_ALL = re.compile(r"[\d@:]")  # what everything that Presidio finds has one of


class PrivateData:
    """Finds private data in a record's texts and treats each kind as the settings say."""

    def __init__(self, settings: PrivateSettings, engine: str = "regex") -> None:
        self.actions = {kind: getattr(settings, kind) for kind in PrivateSettings.model_fields}
        self.counts = dict.fromkeys(self.actions, 0)
        self.known: dict[tuple[str, str], str] = {}  # the placeholders of the record at hand
        self.recognizers = _presidio() if engine == "presidio" else []

    def possible(self, text: str) -> bool:
        """Whether a text that is unremarkable to the patterns may yet hold something private."""
        return bool(self.recognizers) and _HELD_BY_ALL.search(text) is not None

    def treated(self, text: str) -> str:
        """A text of the current record, redacted if the settings require it.

        Raises:
            BadRecordError: a kind is found whose records are to be dropped.
        """
        secret, digits = clues(text)
        for kind in _KINDS[:1] if self.recognizers else _KINDS:
            if digits < kind.digits or kind.sign not in text or (kind.name == "secret" and not secret):
                continue

            def replace(match: re.Match[str], kind: _Kind = kind) -> str:
                found = match.group()
                return self._replacement(kind.name, found, match.start()) if kind.confirmed(found) else found

            text = kind.pattern.sub(replace, text)
        return self._by_presidio(text) if self.recognizers else text

    def _replacement(self, kind: str, found: str, start: int) -> str:
        action = self.actions[kind]
        self.counts[kind] += 1
        if action == "drop":
            what = "secret" if kind == "secret" else "private"
            raise BadRecordError(what, f"column {start + 1} of a text: {kind}")
        return found if action == "report" else _placeholder(kind, action, found, self.known)

    def _by_presidio(self, text: str) -> str:
        spans = []
        for recognizer in self.recognizers:
            for span in recognizer.analyze(text, recognizer.supported_entities, None):
                if span.score >= _SURE_ENOUGH and span.entity_type not in _NOT_PRIVATE:
                    kind = _ENTITIES.get(span.entity_type, "identifier")
                    rank = _MILDNESS.index(self.actions[kind]), -span.score, span.start - span.end
                    spans.append((rank, span.start, span.end, kind))
        taken: list[tuple[int, int, str]] = []
        for _, start, end, kind in sorted(
            spans
        ):  # if two overlap: the stricter policy, then the surer kind, then the longer match
            if all(end <= other or start >= stop for other, stop, _ in taken):
                taken.append((start, end, kind))
        done, parts = 0, []
        for start, end, kind in sorted(taken):
            found = text[start:end]
            new = found if kind == "ip" and not _public_ip(found) else self._replacement(kind, found, start)
            parts += [text[done:start], new]
            done = end
        return "".join([*parts, text[done:]])


@cache
def _presidio() -> list[Any]:
    """Presidio's recognizers by pattern, for texts of any language.

    Raises:
        ProjectError: it is not installed.
    """
    try:
        import tldextract
        from presidio_analyzer import PatternRecognizer, RecognizerRegistry
        from presidio_analyzer.predefined_recognizers import PhoneRecognizer
    except ImportError:
        fix = 'python3 environment.py pip install "presidio-analyzer==2.2.366"'
        raise ProjectError("Presidio is not installed", "curate.pii_engine: presidio", fix) from None
    # Presidio checks the domain of an address by a list that tldextract downloads; its own copy will do.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    return [known for known in registry.recognizers if isinstance(known, PatternRecognizer | PhoneRecognizer)]


def _placeholder(kind: str, action: str, value: str, known: dict[tuple[str, str], str]) -> str:
    if (kind, value) not in known:
        number = 1 + sum(other == kind for other, _ in known)
        mark = hashlib.sha256(value.encode()).hexdigest()[:8] if action == "hash" else str(number)
        known[kind, value] = f"<{kind.upper()}_{mark}>"
    return known[kind, value]


def hidden(text: str, limit: int, engine: str = "regex") -> str:
    """At most ``limit`` characters of a text without private data, independently of the settings.

    Both look at it, our patterns and the ``engine`` that looks at the data.
    """
    text, known = text[: limit + _LOOKED_BEYOND], dict[tuple[str, str], str]()
    for name in dict.fromkeys(("regex", engine)):
        redacting = PrivateData(
            PrivateSettings.model_validate(dict.fromkeys(PrivateSettings.model_fields, "redact")), name
        )
        redacting.known = known
        text = redacting.treated(text)
    return text[:limit]
