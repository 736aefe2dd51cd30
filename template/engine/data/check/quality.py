"""What a look at an answer tells: a refusal, an echo, cut or repetitive texts, stock phrases, languages."""

import re
from collections import Counter

from engine.core.text import JUDGED_CHARACTERS, casefolded, refuses
from engine.data.check.pii import hidden

_CUT_AFTER = 200  # characters; shorter answers often need no full stop
_LAST_WORDS = {"the", "a", "an", "and", "or", "of", "to", "in", "for", "with", "that", "which", "is", "are", "by"}
_LAST_WORDS |= {"because", "but", "from", "as", "at", "on"}
_REPEATED_LINES = 4
# A sentence of 15 to 200 characters, or several short ones ("Sure! Here it is:"), with which a line begins or ends. It
# begins with a letter and has a full stop, so that the first and last lines of code, JSON and YAML are none.
_BOUNDARY = re.compile(r"[.!?\u2026:\u3002\uff01\uff1f\n](?:(?<=[\u3002\uff01\uff1f\n])|(?=\s))\s*")
_FEWEST, _MOST = 15, 200
_STOPS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")


def findings(prompt: str, answer: str, engine: str = "regex") -> list[tuple[str, str]]:
    """Codes of what is wrong with an answer, each with its detail, of which ``engine`` hides what is private."""
    found = []
    if refuses(answer):
        found.append(("refusal", f"the answer begins {hidden(answer.lstrip(), 40, engine)!r}"))
    alike = len(answer) > JUDGED_CHARACTERS and answer[:8].casefold() == prompt[:8].casefold()
    if alike and casefolded(answer) == casefolded(prompt):
        found.append(("echo", "the answer is the prompt"))
    if len(answer) > _CUT_AFTER and (detail := _cut(answer)):
        found.append(("cut_answer", detail))
    if answer.count("\n") >= _REPEATED_LINES and (detail := _repeated(answer, engine)):
        found.append(("repetition", detail))
    return found


def _cut(answer: str) -> str:
    """Why a long answer looks cut off: an open code block, or an end in the middle of a sentence."""
    if answer.count("```") % 2:
        return "a code block is not closed"
    end = answer.rstrip()[-24:]
    if end.endswith((",", "-")):
        return f"the answer ends with {end[-1]!r}"  # and no more of it, which may be half of something private
    last = end.rpartition(" ")[2]
    return f"the answer ends with {last!r}" if last.casefold() in _LAST_WORDS else ""


def _repeated(answer: str, engine: str) -> str:
    lines = [line.strip() for line in answer.split("\n") if len(line.strip()) > 3]
    if len(lines) < _REPEATED_LINES:
        return ""
    line, count = Counter(lines).most_common(1)[0]
    if count * 2 <= len(lines) or count <= 2:
        return ""
    return f"{count} of {len(lines)} lines are {hidden(line, 40, engine)!r}"


def edges(answer: str) -> tuple[str, str]:
    """The first and the last sentence of an answer with more text; nothing if there is none."""
    text = answer.strip()
    if len(text) <= _FEWEST:
        return "", ""
    return casefolded(_opening(text)), casefolded(_closing(text))


def _opening(text: str) -> str:
    for boundary in _BOUNDARY.finditer(text, 0, _MOST) if text[:1].isalpha() else ():
        mark, end = boundary.group(), boundary.start() + 1
        if mark[0] == "\n":
            break
        if (mark[0] != ":" or "\n" in mark) and end >= _FEWEST:  # a colon within a line ends no sentence
            return text[:end] if boundary.end() < len(text) else ""
        if "\n" in mark:
            break
    return ""


def _closing(text: str) -> str:
    closing = ""
    for boundary in _BOUNDARY.finditer(text, max(0, len(text) - _MOST)) if text.endswith(_STOPS) else ():
        rest = text[boundary.end() :]
        closing = rest if len(rest) >= _FEWEST and rest[0].isalpha() and "\n" not in rest else closing
    return closing
