"""One raw record in, one canonical record out, or the reason why not. Every engine runs this same function."""

import hashlib
import json
from collections import Counter
from typing import Any

from msgspec import Struct

from engine.core.text import language
from engine.data.check.pii import PrivateData
from engine.data.check.quality import findings
from engine.data.check.reject_reasons import BadRecordError, kind
from engine.data.normalise.dataset_formats import MANY_ANSWERS, READERS, Example, reader_of, tool_name, two_texts
from engine.data.normalise.messages import Message, in_order, lower_keys
from engine.data.normalise.record_cleaner import Cleaner
from engine.data.normalise.repair_policy import Anomalies
from engine.data.normalise.strict_json import parse_object
from engine.settings.curate import CurateSettings

FORMATS = (*MANY_ANSWERS, *READERS)  # the most specific first
_ROOT_LIST = b'{"conversations":%s}'  # ShareGPT files exist whose records are bare lists of turns


class Record(Struct, frozen=True, omit_defaults=True):
    """One example in canonical form; the last message is the answer."""

    id: str  # 16 hex digits of the SHA-256 of the messages
    messages: list[Message]
    group: str | None
    label: str | None
    line: int  # of the source file, from 1
    tools: str | None = None  # JSON
    rejected: list[Message] | None = None  # preference data: the answer that lost
    answer_turns: int = 1  # preference data: how many of the last messages are the chosen answer
    desirable: bool | None = None  # KTO data
    origin: str | None = None  # the file, if it is not the main one
    provenance: dict[str, Any] | None = None  # feedback: who corrected it, when, and the model's answer
    raw_id: str | None = None  # the id before repair and redaction, if they changed anything

    @property
    def answer(self) -> str:
        """The text that the model has to learn to write."""
        last = self.messages[-1]
        return last.content or (json.dumps(last.tool_calls) if last.tool_calls else "")

    @property
    def chosen(self) -> list[Message]:
        """The answer's turns; of preference data they may be several."""
        return self.messages[-self.answer_turns :]

    @property
    def texts(self) -> list[str]:
        """Everything that a model sees of it in training: what is asked, answered, thought, called and turned down."""
        turns = [*self.messages, *(self.rejected or [])]
        beside = [turn.thinking for turn in turns if turn.thinking]
        beside += [json.dumps(turn.tool_calls, ensure_ascii=False) for turn in turns if turn.tool_calls]
        lost = [turn.content for turn in self.rejected or []]
        return [self.prompt, self.answer, self.system, *beside, *lost]

    @property
    def system(self) -> str:
        """The record's own system prompt, or nothing."""
        return self.messages[0].content if self.messages[0].role == "system" else ""

    @property
    def prompt(self) -> str:
        """What is asked: every turn between the system prompt and the answer; of plain text, the text."""
        messages = self.messages
        if len(messages) == 2 and messages[0].role == "user" and messages[1].role == "assistant":  # as most
            return messages[0].content or self.answer
        asked = messages[:-1] if messages[-1].role == "assistant" else messages
        return "\n".join([turn.content for turn in asked if turn.role != "system"]) or self.answer


class Rejected(Struct, frozen=True, omit_defaults=True):
    """One record that is not used, and why."""

    source: str
    line: int  # from 1
    byte_offset: int | None  # of the record's first byte in the (decompressed) file; none in Parquet and Arrow
    reason: str  # a key of `reasons.REASONS`
    detail: str
    kept_id: str | None = None  # of the record that makes this one superfluous


class RecordReader:
    """Reads records as the settings say, and counts what it saw."""

    def __init__(self, settings: CurateSettings) -> None:
        self.settings = settings
        self.reader = reader_of(settings.format)
        self.anomalies = Anomalies(settings.anomalies)
        self.private = PrivateData(settings.private, settings.pii_engine)
        self.cleaner = Cleaner(self.anomalies, self.private)
        self.dropped_findings = {code for code, policy in settings.quality.model_dump().items() if policy == "drop"}
        self.findings: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.languages_kept = frozenset(settings.languages)

    def read(self, payload: bytes | dict[str, Any] | BadRecordError, line: int) -> Record:
        """The canonical record; what was repaired in it is in ``anomalies.repaired``. Raises `BadRecordError`."""
        if self.anomalies.repaired:
            self.anomalies.repaired = []
        return self.canonical(self.fields(payload), line)

    def fields(self, payload: bytes | dict[str, Any] | BadRecordError) -> dict[str, Any]:
        """The record's fields, decoded. Raises `BadRecordError`."""
        if type(payload) is bytes:
            if self.settings.format == "sharegpt" and payload.startswith(b"["):
                payload = _ROOT_LIST % payload
            return parse_object(payload)
        if isinstance(payload, BadRecordError):
            raise payload
        return payload  # type: ignore[return-value]

    def canonical(self, fields: dict[str, Any], line: int) -> Record:
        """The record in canonical form. Raises `BadRecordError` if it cannot be trained on."""
        settings = self.settings
        self.cleaner.begin()
        if settings.format == "jsonl" and (record := self._short(fields, line)):
            return record
        example = self.reader(lower_keys(fields), self.anomalies)
        checked = self._checked(example.messages)
        self._lengths(checked, example)
        messages = self.cleaner.messages(checked)
        rejected = self.cleaner.messages(example.rejected) if example.rejected else None
        tools = self.cleaner.json(example.tools) if example.tools else None
        self._judge(messages)
        unchanged = messages is example.messages and rejected is example.rejected
        record_id = identity(messages, rejected, example.desirable)
        raw_id = record_id if unchanged else identity(example.messages, example.rejected, example.desirable)
        return Record(
            record_id,
            messages,
            _tag(fields, settings.group_key, "group_key"),
            _tag(fields, settings.label_key, "label_key"),
            line,
            tools,
            rejected,
            desirable=example.desirable,
            answer_turns=example.answer_turns,
            raw_id=raw_id if raw_id != record_id else None,
        )

    def _short(self, fields: dict[str, Any], line: int) -> Record | None:
        """What `canonical` makes of two texts that no check and no repair applies to, as of most, in half the time.

        Nothing if one may apply. Raises `BadRecordError` as `canonical` does.
        """
        settings, pair = self.settings, two_texts(fields)
        if pair is None:
            return None
        prompt, answer = pair
        if type(prompt) is not str or type(answer) is not str or not prompt or prompt.isspace():
            return None
        if len(answer.strip()) < max(1, settings.min_answer_chars):
            return None
        text = f"{prompt}\n{answer}"
        if len(text) > settings.max_chars or not self.cleaner.plain(text):
            return None
        messages = [Message("user", prompt), Message("assistant", answer)]
        self._judge(messages)
        return Record(
            _hashed(f"user\0{prompt}\0assistant\0{answer}\0"),
            messages,
            _tag(fields, settings.group_key, "group_key"),
            _tag(fields, settings.label_key, "label_key"),
            line,
        )

    def _checked(self, messages: list[Message]) -> list[Message]:
        if _plainly_in_order(messages):
            return messages
        if self.settings.format == "text" and len(messages) == 1:
            if not messages[0].content.strip():
                raise BadRecordError("empty", "the text is empty")
            return messages
        if self.settings.format == "prompt_only" and messages[-1].role == "user":
            marker = Message("assistant", "-")  # the checks want an answer
            return in_order([*messages, marker], self.anomalies)[:-1]
        return in_order(messages, self.anomalies)

    def _lengths(self, messages: list[Message], example: Example) -> None:
        rejected, tools, most = example.rejected or [], example.tools, self.settings.max_chars
        if tools:
            _refuse_unknown_calls([*messages, *rejected], tools)
        length = 0
        for turn in messages:
            length += len(turn.content)
            if turn.thinking or turn.tool_calls:
                length += len(turn.thinking or "") + sum(map(_characters, turn.tool_calls or ()))
        length = max(length, sum([len(turn.content) for turn in rejected]))
        if length > most:
            raise BadRecordError("too_long", f"{length} characters of at most {most}")
        last, fewest = messages[-1], self.settings.min_answer_chars
        if last.weight == 0:
            raise BadRecordError("schema", "the last answer has weight 0: there is nothing to learn")
        if last.role == "assistant" and not last.tool_calls and (answer := len(last.content.strip())) < fewest:
            raise BadRecordError("too_short", f"the answer has {answer} characters of {fewest}")
        if tools and len(tools) > most:
            raise BadRecordError("too_long", f"`tools` has {len(tools)} characters of {most}")

    def _judge(self, messages: list[Message]) -> None:
        last = messages[-1]
        if self.languages_kept:
            text = "\n".join(turn.content for turn in messages if turn.role != "system")
            code = language(text)
            self.languages[code or "too short to tell"] += 1
            if code is not None and code not in self.languages_kept:
                raise BadRecordError("language", f"the text is in `{code}`")
        if last.role != "assistant" or len(messages) < 2:
            return
        for code, detail in findings(messages[-2].content, last.content, self.settings.pii_engine):
            self.findings[code] += 1
            if code in self.dropped_findings:
                raise BadRecordError(code, detail)


def _characters(call: dict[str, Any]) -> int:
    return len(call["function"]["arguments"])


def _refuse_unknown_calls(messages: list[Message], tools: str) -> None:
    """What is called is one of the tools that the record lists."""
    known = {tool_name(tool) for tool in json.loads(tools)}
    for place, turn in enumerate(messages, 1):
        for call in turn.tool_calls or []:
            if (name := call["function"]["name"]) not in known:
                raise BadRecordError("schema", f"turn {place} calls `{name}`, which is not in `tools`")


def _plainly_in_order(messages: list[Message]) -> bool:
    """Whether it is the common case: a system turn perhaps, then user and assistant in turns, each with a text."""
    due = "user"
    for place, turn in enumerate(messages):
        content = turn.content
        if not content or content.isspace():
            return False
        if turn.role != due:
            if place == 0 and turn.role == "system":
                continue
            return False
        due = "assistant" if due == "user" else "user"
    return due == "user" and len(messages) > 1


def identity(messages: list[Message], rejected: list[Message] | None, desirable: bool | None) -> str:
    """16 hex digits that depend on the content only, not on its format."""
    text = "".join([f"{turn.role}\0{turn.content}\0" for turn in messages])
    for turn in messages:
        if turn.tool_calls or turn.thinking:
            text += json.dumps([turn.tool_calls, turn.thinking], sort_keys=True)
    if rejected:
        text += "".join([f"\0{turn.role}\0{turn.content}" for turn in rejected])
    if desirable is not None:
        text += f"\0{desirable}"
    return _hashed(text)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8].hex()


def _tag(fields: dict[str, Any], key: str | None, setting: str) -> str | None:
    """A label or group as text. A number or a truth value is written as JSON writes it."""
    if key is None:
        return None
    if key not in fields:
        raise BadRecordError("schema", f"field `{key}` (curate.{setting}) is missing")
    value = fields[key]
    if value is None or type(value) is str:
        return value or None  # an empty cell is not a group
    if not isinstance(value, bool | int | float):
        raise BadRecordError("schema", f"field `{key}` (curate.{setting}) is {kind(value)}, not text")
    return json.dumps(value)
