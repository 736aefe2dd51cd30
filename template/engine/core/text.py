"""What a text says: normalised comparison, refusals, language."""

import re
import unicodedata

_REFUSALS = re.compile(
    r"(?:i['\u2019]m (?:very )?sorry|i am sorry|sorry|i apologi[sz]e|unfortunately)[,.]? (?:but )?"
    r"(?:i|as an ai)\b.{0,40}"
    r"(?:can(?:no|')t|can\u2019t|unable|not able|won'?t|don't have|as an ai)"
    r"|i (?:can(?:no|')t|can\u2019t|am unable to|am not able to) (?:assist|help|provide|fulfil|comply|answer|do that)"
    r"|as an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    re.IGNORECASE,
)
_REFUSAL_STARTS = frozenset("isauISAU")
JUDGED_CHARACTERS = 20  # a shorter text has too little to tell its language by


def refuses(answer: str) -> bool:
    """Whether an answer begins by declining."""
    start = answer[:200].lstrip()
    return start[:1] in _REFUSAL_STARTS and _REFUSALS.match(start) is not None


def language(text: str) -> str | None:
    """The two-letter code of a text's language; none if the text is too short to tell."""
    if len(text) < JUDGED_CHARACTERS:
        return None
    import py3langid  # the model is in the package; loading it takes two seconds

    code, _ = py3langid.classify(text[:2000])
    return str(code)


def casefolded(text: str) -> str:
    """Text as records are compared: without case, each run of white space as one blank."""
    folded = text.casefold()
    # The blank is the only white space that is printable, and most texts have no other and no two in a row.
    if folded.isprintable() and "  " not in folded and folded[:1] != " " and folded[-1:] != " ":
        return folded
    return " ".join(folded.split())


_QUOTES = "\"'`*\u2018\u2019\u201c\u201d\u00ab\u00bb"  # straight, Markdown, curly, French


def normalise(text: str) -> str:
    """NFC, case-folded, white space collapsed, quotes and closing punctuation around the text removed."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    collapsed = " ".join(folded.split())
    return collapsed.rstrip(".,;:!?…" + _QUOTES).lstrip("¿¡" + _QUOTES) or collapsed


def contains(expected: str, answer: str) -> float:
    """1 if the answer says the expected text somewhere, as whole words."""
    wanted = normalise(expected)
    return float(re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", normalise(answer)) is not None)
