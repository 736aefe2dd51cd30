"""Repair and redaction of everything that a record says: answers, reasoning, tool calls, tools, names, provenance."""

import json
from typing import Any

from msgspec import structs

from engine.data.check.pii import PrivateData
from engine.data.check.pii_prefilter import unremarkable
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.messages import Message
from engine.data.normalise.repair_policy import Anomalies
from engine.data.normalise.text_repair import repaired

_FEWEST_DIGITS = 9  # of a number that is private by itself


class Cleaner:
    """Cleans one record after another. The same private value has the same placeholder throughout a record."""

    def __init__(self, anomalies: Anomalies, private: PrivateData) -> None:
        self.anomalies, self.private = anomalies, private

    def begin(self) -> None:
        """A new record."""
        self.private.known.clear()

    def messages(self, messages: list[Message]) -> list[Message]:
        """The turns, cleaned; the list itself if there is nothing to clean. Raises `BadRecordError`."""
        bare = not any(turn.thinking or turn.tool_calls or turn.name for turn in messages)
        if bare and self.plain("\n".join([turn.content for turn in messages])):
            return messages
        after = [self._message(turn, place) for place, turn in enumerate(messages, 1)]
        return messages if after == messages else after

    def _message(self, turn: Message, place: int) -> Message:
        content = self.text(turn.content)
        if not content.strip() and turn.content.strip():
            raise BadRecordError("empty", f"turn {place}: nothing is left after the repair of its text")
        calls = turn.tool_calls and [self._call(call) for call in turn.tool_calls]
        thinking, name = turn.thinking and self.text(turn.thinking), turn.name and self.text(turn.name)
        return structs.replace(turn, content=content, thinking=thinking, name=name, tool_calls=calls)

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        return call | {"function": {"name": self.text(name), "arguments": self.json(arguments)}}

    def text(self, text: str) -> str:
        """One text."""
        return text if self.plain(text) else self.private.treated(repaired(text, self.anomalies))

    def plain(self, text: str) -> bool:
        """Whether a text has nothing to fix and nothing to hide."""
        return unremarkable(text) and not (self.private.presidio and self.private.possible(text))

    def json(self, text: str) -> str:
        """JSON as text; as it was written if there is nothing to clean."""
        value = json.loads(text)
        after = self.value(value)
        return text if after == value else json.dumps(after, ensure_ascii=False)

    def value(self, value: Any) -> Any:
        """A JSON value: its texts, its keys, and numbers long enough to be private."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if type(value) is int and len(digits := str(value)) >= _FEWEST_DIGITS:
            treated = self.text(digits)
            return value if treated == digits else treated
        return value
