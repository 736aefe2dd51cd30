"""The record stage: a piece of a file in; its canonical records, its rejects, its repairs and their counts out.

A part is a folder. It is complete once it has its `done.json`, so a run that was killed goes on with what is missing.
"""

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from engine.core.errors import ProjectError
from engine.core.io import read_json, write_json
from engine.data.check.pii import hidden
from engine.data.check.reject_reasons import BadRecordError
from engine.data.feedback import Feedback
from engine.data.normalise.records import Record, RecordReader, Rejected
from engine.data.normalise.repair_policy import Repair
from engine.data.normalise.strict_json import HALF
from engine.data.read.file_formats import BUFFER, Item, json_lines, read_items
from engine.settings.curate import CurateSettings

# One value a record, `raw` its id before any repair or redaction. `offset` is the place in the part's records.jsonl; a
# group or an id is the first 8 bytes of its hash.
COLUMNS = {"offset": "Q", "line": "Q", "byte": "q", "id": "Q", "group": "Q", "label": "i", "words": "I", "raw": "Q"}
_packed = struct.Struct("=" + "".join(COLUMNS.values())).pack  # one call a record instead of eight
_BLANK = ord(" ")
_COUNTED = 64  # prompts whose words are counted at a time
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
        if self.container != "jsonl" or self.end is None:
            yield from read_items(Path(self.source), self.container)
            return
        with open(self.source, "rb", buffering=BUFFER) as file:
            file.seek(self.begin)
            yield from json_lines(file, self.line, self.begin, self.end)


class _Part:
    """The open files of a part that is being written, and its columns."""

    def __init__(self, folder: Path, stack: ExitStack, engine: str = "regex") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "done.json").unlink(missing_ok=True)
        self.folder, self.encode, self.engine = folder, msgspec.json.Encoder().encode, engine
        self.records, self.rejected, self.repaired = (
            stack.enter_context((folder / f"{name}.jsonl").open("wb", buffering=BUFFER))
            for name in ("records", "rejected", "repaired")
        )
        self.rows = bytearray()
        self.prompts: list[str] = []  # whose words are not yet counted
        self.words: list[NDArray[np.uint32]] = []
        self.labels: dict[str, int] = {}
        self.reasons: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self.pairs: Counter[str] = Counter()  # preference data: which answer is the longer one, or which are good
        self.offset = self.kept = 0

    def keep(self, record: Record, byte: int | None) -> None:
        data = self.encode(record) + b"\n"
        self.records.write(data)
        own, label = int(record.id, 16), record.label
        self.rows += _packed(
            self.offset,
            record.line,
            -1 if byte is None else byte,
            own,
            0 if record.group is None else hash64(record.group),
            -1 if label is None else self.labels.setdefault(label, len(self.labels)),
            0,  # words: `_count` finds them
            own if record.raw_id is None else int(record.raw_id, 16),
        )
        self.offset += len(data)
        self.kept += 1
        self.prompts.append(record.prompt)
        if len(self.prompts) == _COUNTED:
            self._count()
        if record.desirable is not None:
            self.pairs.update(desirable=record.desirable, undesirable=not record.desirable)
        if record.rejected:
            chosen, lost = (sum(len(turn.content) for turn in turns) for turns in (record.chosen, record.rejected))
            self.pairs.update(pairs=1, chosen_longer=chosen > lost, rejected_longer=chosen < lost)
            self.pairs.update(chosen_characters=chosen, rejected_characters=lost)

    def _count(self) -> None:
        """Blanks in each waiting prompt, and one more. Many at a time: `str.count` takes thrice as long for each."""
        texts = [prompt.encode("utf-8", "surrogatepass") for prompt in self.prompts]
        data = b" ".join([*texts, b""])  # each text with one more blank
        starts = np.cumsum([0, *[len(text) + 1 for text in texts]])[:-1]
        self.words.append(np.add.reduceat(np.frombuffer(data, np.uint8) == _BLANK, starts, dtype=np.uint32))
        self.prompts.clear()

    def _said(self, detail: str) -> str:
        """Without private data, and with half of a character as its escape."""
        return hidden(detail, _LONGEST_DETAIL, self.engine).encode("utf-8", "backslashreplace").decode()

    def reject(self, note: Rejected) -> None:
        note = structs.replace(note, detail=self._said(note.detail))
        self.rejected.write(self.encode(note) + b"\n")
        self.reasons[note.reason] += 1

    def note_repairs(self, source: str, line: int, repaired: list[tuple[str, str]]) -> None:
        for anomaly, detail in repaired:
            self.repaired.write(self.encode(Repair(source, line, anomaly, self._said(detail))) + b"\n")
            self.repairs[anomaly] += 1

    def finish(self, read: int, reader: RecordReader | None) -> dict[str, Any]:
        if self.prompts:
            self._count()
        rows = np.frombuffer(self.rows, list(COLUMNS.items()))
        rows["words"] = np.concatenate(self.words or [np.zeros(0, np.uint32)])
        np.save(self.folder / "columns.npy", rows)
        done = {
            "read": read,
            "kept": self.kept,
            "reasons": dict(self.reasons),
            "repairs": dict(self.repairs),
            "labels": list(self.labels),
            "pairs": dict(self.pairs),
            "private": reader.private.counts if reader else {},
            "findings": dict(reader.findings) if reader else {},
            "languages": dict(reader.languages) if reader else {},
        }
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
            except ProjectError as stop:
                raise ProjectError(stop.what, f"{piece.source}, line {line}; {stop.where}", stop.fix) from None
            except BadRecordError as bad:
                part.reject(Rejected(piece.source, line, byte, bad.reason, bad.detail))
                continue
            except RecursionError:
                part.reject(Rejected(piece.source, line, byte, "json", "nested too deeply"))
                continue
            try:
                part.keep(structs.replace(record, origin=origin) if origin else record, byte)
            except UnicodeEncodeError:  # escaped in JSON, or in a Python literal, that a text of the record holds
                part.reject(Rejected(piece.source, line, byte, "encoding", HALF))
                continue
            if reader.anomalies.repaired:
                part.note_repairs(piece.source, line, reader.anomalies.repaired)
        assert part.reasons.total() + part.kept == read, "the record stage lost a record"
    return part.finish(read, reader)


def frozen_part(folder: Path, records: list[Record]) -> None:
    """A part of benchmark items that the data no longer have."""
    with ExitStack() as stack:
        part = _Part(folder, stack)
        for record in records:
            part.keep(record, None)
    part.finish(0, None)


def hash64(text: str) -> int:
    """The first eight bytes of the text's SHA-256, never 0."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") or 1


def finished(folder: Path) -> dict[str, Any] | None:
    """The counts of a part that is complete, or none."""
    path = folder / "done.json"
    counts: dict[str, Any] | None = read_json(path) if path.exists() else None
    return counts


def pieces_of(path: Path, form: str, target: int, *, feedback: bool = False) -> tuple[list[Piece], str]:
    """A file cut into pieces of about ``target`` bytes at line feeds, and its SHA-256; other containers stay whole."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        plain = form == "jsonl" and file.peek(2)[:2] != b"\x1f\x8b" and file.peek(4)[:4] != b"\x28\xb5\x2f\xfd"
        size = path.stat().st_size
        if not plain or size < 2 * target:
            while block := file.read(1 << 20):
                digest.update(block)
            return [Piece(str(path), form, feedback=feedback)], digest.hexdigest()
        pieces, line, begin, at = [], 1, 0, 0
        lines = 0
        while block := file.read(min(target, 1 << 20)):
            block += file.readline() if at + len(block) - begin >= target else b""
            digest.update(block)
            lines += block.count(b"\n")
            at += len(block)
            if at - begin >= target:
                pieces.append(Piece(str(path), form, line, begin, at, feedback))
                line, begin = line + lines, at
                lines = 0
        if at > begin:
            pieces.append(Piece(str(path), form, line, begin, at, feedback))
        return pieces, digest.hexdigest()


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, CurateSettings) else msgspec.to_builtins(value)


def key_of(*values: Any) -> str:
    """A name for a part's work: the same input under the same settings."""
    text = json.dumps([_plain(value) for value in values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
