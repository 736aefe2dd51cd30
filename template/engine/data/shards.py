"""The record stage: a piece of a file in; its canonical records, its rejects, its repairs and their counts out.

A part is a folder. It is complete once it has its `done.json`, so a run that was killed goes on with what is missing.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, structs

from engine.core.errors import ProjectError
from engine.core.io import write_json
from engine.data.check.pii import hidden
from engine.data.check.reject_reasons import BadRecordError
from engine.data.feedback import Feedback
from engine.data.normalise.records import Record, RecordReader, Rejected
from engine.data.normalise.repair_policy import Repair
from engine.data.normalise.strict_json import HALF
from engine.data.read.file_formats import BUFFER, Item, json_lines, read_items
from engine.settings.curate import CurateSettings

# One value per record. `size` counts the bytes of its line in records.jsonl. `raw` is its id before any repair or
# redaction. A group or an id is the first 8 bytes of its hash.
COLUMNS = {"size": "Q", "line": "Q", "byte": "q", "id": "Q", "group": "Q", "label": "i", "words": "I", "raw": "Q"}
_packed = struct.Struct("=" + "".join(COLUMNS.values())).pack  # one call per record instead of eight
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # how files of gzip and zstd begin
_LONGEST_DETAIL = 200  # characters


class Piece(Struct, frozen=True):
    """What one part reads: a whole file, or the lines of one between two bytes."""

    source: str
    container: str
    line: int = 1
    begin: int = 0
    end: int | None = None
    feedback: bool = False

    @property
    def size(self) -> int:
        """Bytes to read."""
        return (self.end or Path(self.source).stat().st_size) - self.begin

    def items(self) -> Iterator[Item]:
        """The raw records."""
        if self.end is None:
            yield from read_items(Path(self.source), self.container)
            return
        with open(self.source, "rb", buffering=BUFFER) as file:
            file.seek(self.begin)
            yield from json_lines(file, self.line, self.begin, self.end)


class _Part:
    """The open files of a part that is being written, and its columns."""

    def __init__(self, folder: Path, stack: ExitStack, pii_engine: str = "regex") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "done.json").unlink(missing_ok=True)
        self.folder, self.encode, self.pii_engine = folder, msgspec.json.Encoder().encode, pii_engine
        self.records, self.rejected, self.repaired = (
            stack.enter_context((folder / f"{name}.jsonl").open("wb", buffering=BUFFER))
            for name in ("records", "rejected", "repaired")
        )
        self.rows = bytearray()
        self.labels: dict[str, int] = {}
        self.reasons: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self.pairs: Counter[str] = Counter()  # preference data: which answer is the longer one, or which are good
        self.kept = 0

    def keep(self, record: Record, byte: int | None) -> None:
        data = self.encode(record) + b"\n"
        self.records.write(data)
        record_id, label = int(record.id, 16), record.label
        self.rows += _packed(
            len(data),
            record.line,
            -1 if byte is None else byte,
            record_id,
            0 if record.group is None else _hash64(record.group),
            -1 if label is None else self.labels.setdefault(label, len(self.labels)),
            record.prompt.count(" ") + 1,
            record_id if record.raw_id is None else int(record.raw_id, 16),
        )
        self.kept += 1
        if record.desirable is not None:
            self.pairs.update(desirable=record.desirable, undesirable=not record.desirable)
        if record.rejected:
            chosen, lost = (sum(len(turn.content) for turn in turns) for turns in (record.chosen, record.rejected))
            self.pairs.update(pairs=1, chosen_longer=chosen > lost, rejected_longer=chosen < lost)
            self.pairs.update(chosen_characters=chosen, rejected_characters=lost)

    def reject(self, note: Rejected) -> None:
        self.rejected.write(self.encode(structs.replace(note, detail=self._shown(note.detail))) + b"\n")
        self.reasons[note.reason] += 1

    def note_repairs(self, source: str, line: int, repaired: list[tuple[str, str]]) -> None:
        for anomaly, detail in repaired:
            self.repaired.write(self.encode(Repair(source, line, anomaly, self._shown(detail))) + b"\n")
            self.repairs[anomaly] += 1

    def _shown(self, detail: str) -> str:
        """Without private data, and with half of a character as its escape."""
        return hidden(detail, _LONGEST_DETAIL, self.pii_engine).encode("utf-8", "backslashreplace").decode()

    def finish(self, read: int, **counts: dict[str, int]) -> dict[str, Any]:
        np.save(self.folder / "columns.npy", np.frombuffer(self.rows, list(COLUMNS.items())))
        done = {"read": read, "kept": self.kept, "labels": list(self.labels), **counts}
        done |= {"reasons": self.reasons, "repairs": self.repairs, "pairs": self.pairs}
        write_json(self.folder / "done.json", done)
        return done


def build_part(folder: Path, piece: Piece, settings: CurateSettings) -> dict[str, Any]:
    """Read a piece into ``folder``. Returns its counts, which are also its `done.json`.

    Raises:
        ProjectError: the file is damaged as a whole, or an anomaly's policy is to stop.
    """
    reader = Feedback(settings, piece.source) if piece.feedback else RecordReader(settings)
    origin = piece.source if Path(piece.source) != Path(settings.path) and not piece.feedback else None
    read = 0
    with ExitStack() as stack:
        part = _Part(folder, stack, settings.pii_engine)
        for line, byte, payload in piece.items():
            read += 1
            try:
                record = reader.read(payload, line)
                part.keep(structs.replace(record, origin=origin) if origin else record, byte)
            except ProjectError as stop:
                raise ProjectError(stop.what, f"{piece.source}, line {line}; {stop.where}", stop.fix) from None
            except BadRecordError as bad:
                part.reject(Rejected(piece.source, line, byte, bad.reason, bad.detail))
            except RecursionError:
                part.reject(Rejected(piece.source, line, byte, "json", "nested too deeply"))
            except UnicodeEncodeError:  # escaped in JSON, or in a Python literal, that a text of the record holds
                part.reject(Rejected(piece.source, line, byte, "encoding", HALF))
            else:
                if reader.anomalies.repaired:
                    part.note_repairs(piece.source, line, reader.anomalies.repaired)
        assert part.reasons.total() + part.kept == read, "the record stage lost a record"
    return part.finish(read, private=reader.private.counts, findings=reader.findings, languages=reader.languages)


def frozen_part(folder: Path, records: list[Record]) -> None:
    """A part of benchmark items that the data no longer have."""
    with ExitStack() as stack:
        part = _Part(folder, stack)
        for record in records:
            part.keep(record, None)
    part.finish(0)


def _hash64(text: str) -> int:
    """The first eight bytes of the text's SHA-256, never 0."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") or 1


def pieces_of(path: Path, container: str, target: int, *, feedback: bool = False) -> list[Piece]:
    """A file cut into pieces of about ``target`` bytes at line feeds; other containers stay whole."""
    size = path.stat().st_size
    pieces, line, begin = [], 1, 0
    with path.open("rb") as file:
        if container != "jsonl" or size < 2 * target or file.peek(4).startswith(_COMPRESSED):
            return [Piece(str(path), container, feedback=feedback)]
        while block := file.read(target):
            block += file.readline()
            pieces.append(Piece(str(path), container, line, begin, begin + len(block), feedback))
            line, begin = line + block.count(b"\n"), begin + len(block)
    return pieces
