"""Records corrected in production or by annotators: they replace the records that they correct, and say who made them.

A record of `data/feedback` has `messages`, or `prompt` and `completion`; what else it says (who corrected it, when,
what the model had answered) stays with it as its provenance.
"""

from typing import Any

from msgspec import structs

from engine.data.normalise.dataset_formats import COMPLETION_KEYS, PROMPT_KEYS, READERS, SYSTEM_KEYS
from engine.data.normalise.records import Record, RecordReader
from engine.settings.curate import CurateSettings

_CONTENT = {"messages", "tools", "functions", *SYSTEM_KEYS, *PROMPT_KEYS, *COMPLETION_KEYS}


class Feedback(RecordReader):
    """Reads feedback: supervised records, for any format of the main file."""

    def __init__(self, settings: CurateSettings, source: str) -> None:
        super().__init__(settings)
        self.source = source

    def canonical(self, fields: dict[str, Any], line: int) -> Record:
        """The record in canonical form, with its provenance; group and label may be absent."""
        self.settings = self.settings.model_copy(update={"format": "messages" if "messages" in fields else "jsonl"})
        self.reader = READERS[self.settings.format]
        keys = [key for key in (self.settings.group_key, self.settings.label_key) if key]
        read = {key: value for key, value in fields.items() if key in _CONTENT or key in keys}
        record = super().canonical(dict.fromkeys(keys) | read, line)
        provenance = {key: value for key, value in fields.items() if key not in _CONTENT and key not in keys}
        provenance = self.cleaner.value(provenance)
        return structs.replace(record, origin=self.source, provenance=provenance or None)
