"""Conversations in one text: in the control tokens of a chat template, or as `Human: ... Assistant: ...`."""

import re
from typing import Any

from msgspec import structs

from engine.data.normalise.messages import Message, turns
from engine.data.normalise.repair_policy import Anomalies

# How a text in a template's tokens begins, and a turn of it. No pattern here looks twice at the same run of blanks.
_TEMPLATES = [
    (re.compile(r"(?=<\|im_start\|>)"), r"<\|im_start\|>(?P<role>\w+)\n(?P<content>.*?)<\|im_end\|>"),
    (
        re.compile(r"(?:<\|begin_of_text\|>)?\s*(?=<\|start_header_id\|>)"),
        r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>(?P<content>.*?)<\|eot_id\|>",
    ),
    (
        re.compile(r"(?:<bos>)?\s*(?=<start_of_turn>)"),
        r"<start_of_turn>(?P<role>\w+)\n(?P<content>.*?)<end_of_turn>",
    ),
    (
        re.compile(r"(?=<\|start\|>)"),
        r"<\|start\|>(?P<header>[^<]*(?:<\|(?:channel|constrain)\|>[^<]*)*)<\|message\|>"
        r"(?P<content>.*?)<\|(?:end|return|call)\|>",
    ),
    (
        re.compile(r"(?=(?:<s>)?\s*\[INST\])"),
        r"(?:<s>)?\s*\[INST\](?:\s*<<SYS>>(?P<system>.*?)<</SYS>>)?(?P<user>.*?)\[/INST\]"
        r"(?P<assistant>.*?)(?:</s>|(?=\[INST\])|\Z)",
    ),
]
_TURNS = [(beginning, re.compile(turn + r"\s*", re.DOTALL)) for beginning, turn in _TEMPLATES]
_CHANNEL, _RECIPIENT = re.compile(r"<\|channel\|>(\w+)"), re.compile(r" to=([\w.]+)")
_SPEAKERS = {"Human": "user", "User": "user", "Instruction": "user", "Input": "user", "System": "system"}
# How a conversation in one text begins, and where its turns begin. An answer may well hold a line "Input: 5".
_LINE = r"(?:\A|^[ \t\r]*\n[ \t]*)"  # the first one, or one after a blank line
_WRITTEN = [
    (re.compile(r"###\s*Instruction:"), re.compile(r"###\s*(Instruction|Input|Response):[ \t]*\n?")),
    (re.compile(r"###\s*(?:System|Human):"), re.compile(r"###\s*(System|Human|Assistant):[ \t]*\n?")),
    (re.compile(r"###\s*User:"), re.compile(r"###\s*(User|Assistant):[ \t]*\n?")),
    (re.compile(r"Human:"), re.compile(_LINE + r"(Human|Assistant):[ \t]*\n?", re.MULTILINE)),
    (re.compile(r"User:"), re.compile(_LINE + r"(User|Assistant):[ \t]*\n?", re.MULTILINE)),
]


def dialogue(text: str, anomalies: Anomalies) -> list[Message]:
    """The turns of a conversation written as one text; none if it is not one. Raises `BadRecordError`."""
    text = text.strip()
    for beginning, turn in _TURNS:
        if start := beginning.match(text):
            return _templated(text, start.end(), turn, anomalies)
    border = next((border for beginning, border in _WRITTEN if beginning.match(text)), None)
    parts = border.split(text) if border else []
    if len(parts) < 5:
        return []
    found: list[Message] = []
    for speaker, said in zip(parts[1::2], parts[2::2], strict=True):
        if speaker == "Input" and found:  # part of the instruction
            found[-1] = structs.replace(found[-1], content=f"{found[-1].content}\n{said.strip()}".strip())
        else:
            found.append(Message(_SPEAKERS.get(speaker, "assistant"), said.strip()))
    return found


def _templated(text: str, at: int, turn: re.Pattern[str], anomalies: Anomalies) -> list[Message]:
    """The turns from ``at`` on; none if the text is more than them, so that nothing of it is lost."""
    found: list[dict[str, Any]] = []
    while at < len(text):
        if not (match := turn.match(text, at)):
            return []
        found += _spoken(match)
        at = match.end()
    return turns(found, "text", anomalies)


def _spoken(turn: re.Match[str]) -> list[dict[str, Any]]:
    """A turn's fields; of `[INST]` and Harmony, what stands for them there."""
    parts = {name: said.strip() for name, said in turn.groupdict().items() if said is not None}
    if "user" in parts:
        return [{"role": role, "content": said} for role, said in parts.items()]
    if "header" not in parts:
        return [parts]
    header, content = parts["header"], parts["content"]
    speaker = re.split(r"[\s<]", header)[0]
    fields = {"role": "tool", "name": speaker} if "." in speaker else {"role": speaker}
    channel, recipient = _CHANNEL.search(header), _RECIPIENT.search(header)
    return [fields | {"content": content, "channel": channel and channel[1], "recipient": recipient and recipient[1]}]
