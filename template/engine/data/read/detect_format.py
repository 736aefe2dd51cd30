"""Which format do data look to be in, and what says so. A proposal: params.yaml decides."""

from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct

from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.dataset_formats import (
    COMPLETION_KEYS,
    CONVERSATION_KEYS,
    LABEL_KEYS,
    READERS,
    REJECTED_KEYS,
    TRUTH,
)
from engine.data.normalise.messages import lower_keys
from engine.data.normalise.records import FORMATS, RecordReader
from engine.data.read.file_formats import container, read_items
from engine.data.read.folders import raw_files
from engine.settings.curate import AnomalySettings, CurateSettings

SAMPLE = 200  # records looked at


class Detected(Struct):
    """A proposal and its evidence: how many of the first records are good ones in each format."""

    container: str
    format: str | None
    looked_at: int
    good: dict[str, int]
    fields: dict[str, int]  # how often each top-level field occurs

    def sentence(self) -> str:
        """The evidence in words."""
        fields = ", ".join(f"`{name}` in {count}" for name, count in list(self.fields.items())[:6])
        if self.format is None:
            return f"no known format: of {self.looked_at} records, {fields or 'none has fields'}"
        return f"{self.good[self.format]} of the first {self.looked_at} records are `{self.format}` ({fields})"


def detect(path: Path, settings: CurateSettings, formats: Collection[str] = FORMATS) -> Detected:
    """Try every format on the first records, of a folder's first file. Raises `ProjectError` if it cannot be read."""
    path = raw_files(path)[0]
    form = container(path)
    plain = AnomalySettings.model_validate(dict.fromkeys(AnomalySettings.model_fields, "drop"))
    unlabelled: dict[str, Any] = {"group_key": None, "label_key": None, "languages": [], "anomalies": plain}
    readers = {name: RecordReader(settings.model_copy(update=unlabelled | {"format": name})) for name in READERS}
    parser = readers.get(settings.format) or readers["jsonl"]
    good, fields, looked_at = Counter[str](), Counter[str](), 0
    for line, _, payload in islice(read_items(path, form), SAMPLE):
        looked_at += 1
        fitting = []
        for name, reader in readers.items():
            with suppress(BadRecordError, RecursionError):
                reader.read(payload, line)
                fitting.append(name)
        with suppress(BadRecordError, RecursionError):
            named = parser.fields(payload)
            fields.update(list(named))
            fitting += _with_many_answers(lower_keys(named))
        fitting = [name for name in fitting if name in formats]
        # Every record with a prompt is a prompt, so this counts only if nothing else fits.
        good.update(fitting if fitting == ["prompt_only"] else set(fitting) - {"prompt_only"})
    best = max(formats, key=lambda name: good[name])
    return Detected(form, best if good[best] else None, looked_at, good, dict(fields.most_common()))


def _with_many_answers(fields: dict[str, Any]) -> list[str]:
    """The format with many answers that a record's fields are those of; their content is not looked at."""
    ranked = isinstance(fields.get("responses"), list) and not fields.keys().isdisjoint(("scores", "ranks"))
    if ranked or any(fields.get(key) is not None for key in ("completions", *REJECTED_KEYS)):
        return ["preference"]
    answered = not fields.keys().isdisjoint(("messages", *CONVERSATION_KEYS, *COMPLETION_KEYS))
    labelled = any(str(fields.get(key)).strip().lower() in TRUTH for key in LABEL_KEYS)
    return ["kto"] if answered and labelled else []
