"""Which format do data look to be in, and what says so. A proposal: params.yaml decides."""

from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct

from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.records import FORMATS, RecordReader
from engine.data.read.file_formats import container, read_items
from engine.data.read.folders import raw_files
from engine.settings.curate import AnomalySettings, CurateSettings

SAMPLE = 200  # records looked at
# A record that several formats accept belongs to the most specific of them.
_ORDER = ("preference", "kto", "messages", "sharegpt", "alpaca", "jsonl", "text", "prompt_only")


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


def detect(path: Path, settings: CurateSettings) -> Detected:
    """Try every format on the first records, of a folder's first file. Raises `ProjectError` if it cannot be read."""
    path = raw_files(path)[0]
    form = container(path)
    sample = list(islice(read_items(path, form), SAMPLE))
    plain = AnomalySettings.model_validate(dict.fromkeys(AnomalySettings.model_fields, "drop"))
    unlabelled: dict[str, Any] = {"group_key": None, "label_key": None, "languages": [], "anomalies": plain}
    bare = settings.model_copy(update=unlabelled)
    good, fields = dict.fromkeys(_ORDER, 0), Counter[str]()
    readers = {name: RecordReader(bare.model_copy(update={"format": name})) for name in _ORDER}
    for line, _, payload in sample:
        fitting = []
        for name, reader in readers.items():
            with suppress(BadRecordError, RecursionError):
                reader.read(payload, line)
                fitting.append(name)
        for name in fitting if fitting == ["prompt_only"] else set(fitting) - {"prompt_only"}:
            good[name] += 1  # every record with a prompt is a prompt, so this counts only if nothing else fits
    parser = RecordReader(bare)
    for _, _, payload in sample:
        with suppress(BadRecordError, RecursionError):
            fields.update(list(parser.fields(payload)))
    best = max(_ORDER, key=lambda name: good[name])
    assert set(_ORDER) == set(FORMATS)
    found = best if good[best] else None
    return Detected(form, found, len(sample), good, dict(fields.most_common()))
