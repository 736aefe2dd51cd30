"""Records corrected in production or by annotators: they replace what they correct, and say where they are from.

A record of `data/feedback` has `messages`, or `prompt` and `completion`; what else it says (who corrected it, when,
what the model had answered) stays with it as its provenance.
"""

from pathlib import Path
from typing import Any

from msgspec import structs

from pipeline.curation.formats import COMPLETION_KEYS, PROMPT_KEYS, SYSTEM_KEYS
from pipeline.curation.records import FORMATS, Record, RecordReader
from pipeline.files import ProjectError
from pipeline.settings import CurateSettings

FOLDER = Path("data/feedback")
_READ = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow"}
_PACKED = {".gz", ".zst"}
_CONTENT = {"messages", "tools", "functions", *SYSTEM_KEYS, *PROMPT_KEYS, *COMPLETION_KEYS}


class Feedback(RecordReader):
    """Reads feedback: supervised records, whatever the format of the main file is."""

    def __init__(self, settings: CurateSettings, source: str) -> None:
        super().__init__(settings)
        self.source = source

    def canonical(self, fields: dict[str, Any], line: int) -> Record:
        """The record in canonical form, with its provenance; group and label may be absent."""
        self.settings = structs.replace(self.settings, format="messages" if "messages" in fields else "jsonl")
        self.reader = FORMATS[self.settings.format]
        keys = [key for key in (self.settings.group_key, self.settings.label_key) if key]
        read = {key: value for key, value in fields.items() if key in _CONTENT or key in keys}
        record = super().canonical(dict.fromkeys(keys) | read, line)
        provenance = {key: value for key, value in fields.items() if key not in _CONTENT and key not in keys}
        provenance = self.cleaner.value(provenance)
        return structs.replace(record, origin=self.source, provenance=provenance or None)


def files(folder: Path = FOLDER) -> list[Path]:
    """The feedback files, those in folders too, oldest name first: a later one wins.

    Raises:
        ProjectError: a file is none of data; a correction that is passed over in silence is worse than an error.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and path.is_dir():
            raise ProjectError("a folder among the feedback is a link", str(path), "put the files themselves there")
        if path.is_dir() or path.name == "README.md" or path.name.startswith(".") or path.suffix == ".dvc":
            continue
        named = Path(path.stem) if path.suffix.lower() in _PACKED else path
        if named.suffix.lower() not in _READ:
            mend = f"name it *.jsonl (or {', '.join(sorted(_READ))}; packed .gz, .zst), or move it away"
            raise ProjectError("a file among the feedback is of no known kind", str(path), mend)
        found.append(path)
    return found
