"""All canonical records of a run: on disk, with a few numbers of each in memory (about 80 bytes a record)."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from engine.core.io import read_json
from engine.data.check.quality import edges
from engine.data.dedup.near_duplicates import BANDS, band_keys
from engine.data.dedup.shingles import Shingles, normalise, shingled, unit_for
from engine.data.normalise.records import Record
from engine.data.shards import COLUMNS

ROWS = 4096  # records in memory at a time
READ_BYTES = 32 << 20  # of records that are wanted in another order than that of their files
OPEN_FILES = 64  # of parts at a time; a process may have 1,024 or even 256
_KEYS = np.dtype([("prompt_high", "<u8"), ("prompt_low", "<u8"), ("system", "<u8"), ("answer", "<u8")])


class Row(Struct, frozen=True):
    """What the split needs of a record."""

    id: str
    group: str | None
    label: str | None


class Store:
    """The records of several parts, one after another; a record is known by its index."""

    def __init__(self, folders: Sequence[Path], sources: Sequence[str]) -> None:
        """``sources[n]`` is the file that part ``n`` was read from."""
        self.folders = folders
        self.done = [read_json(folder / "done.json") for folder in folders]
        self.first = np.concatenate([[0], np.cumsum([done["kept"] for done in self.done])]).astype(np.int64)
        self.sources = list(dict.fromkeys(sources))
        self.numbers = {name: number for number, name in enumerate(self.sources)}
        self.source = np.repeat(np.array([self.numbers[name] for name in sources], np.uint32), np.diff(self.first))
        columns = {name: np.empty(len(self), code) for name, code in COLUMNS.items()}
        for folder, begin, end in zip(folders, self.first, self.first[1:], strict=False):
            rows = np.load(folder / "columns.npy")
            for name, column in columns.items():
                column[begin:end] = rows[name]
        self.offset, self.line, self.byte = columns["offset"], columns["line"], columns["byte"]
        self.id, self.raw, self.group, self.words = (columns[name] for name in ("id", "raw", "group", "words"))
        self.labels, self.label = self._labels(columns["label"])
        self.open: OrderedDict[int, IO[bytes]] = OrderedDict()  # by part, the least recently read first
        self.heirs: dict[int, Row] = {}  # corrections, with the group and label of what they replace

    def _labels(self, codes: NDArray[np.int32]) -> tuple[list[str], NDArray[np.int32]]:
        """All labels, sorted, and each record's place among them; -1 for none. ``codes`` are places in a part's own."""
        names = sorted({label for done in self.done for label in done["labels"]})
        place = {name: number for number, name in enumerate(names)}
        for done, begin, end in zip(self.done, self.first, self.first[1:], strict=False):
            table = np.array([place[label] for label in done["labels"]] + [-1], np.int32)
            codes[begin:end] = table[codes[begin:end]]  # -1, no label, is the table's last entry
        return names, codes

    def __len__(self) -> int:
        return int(self.first[-1])

    def data(self, index: int) -> bytes:
        """A record as one line of JSON, with its line feed."""
        part = int(np.searchsorted(self.first, index, side="right")) - 1
        file = self._file(part)
        file.seek(int(self.offset[index]))
        line = file.readline()
        if (heir := self.heirs.get(index)) is None:
            return line
        record = msgspec.json.decode(line, type=Record)
        return msgspec.json.encode(structs.replace(record, group=heir.group, label=heir.label)) + b"\n"

    def in_order(self, indices: NDArray[np.int64]) -> Iterator[bytes]:
        """The lines of many records in any order.

        They are read some at a time, and these in the order of the files.  Where there are more files than may be open,
        going from one to another for every record would take most of a run of millions.
        """
        begin, held = 0, 0
        for end, size in enumerate(self._sizes()[indices].tolist(), 1):
            held += size
            if held >= READ_BYTES or end == len(indices):
                some = indices[begin:end]
                lines = {index: self.data(index) for index in np.sort(some).tolist()}
                for index in some.tolist():
                    yield lines[index]
                begin, held = end, 0

    def _sizes(self) -> NDArray[np.int64]:
        """How many bytes each record has on disk."""
        ends = np.zeros(len(self), np.int64)
        for folder, begin, end in zip(self.folders, self.first, self.first[1:], strict=False):
            if begin < end:
                ends[begin : end - 1] = self.offset[begin + 1 : end]
                ends[end - 1] = (folder / "records.jsonl").stat().st_size
        return ends - self.offset.astype(np.int64)

    def _file(self, part: int) -> IO[bytes]:
        if part not in self.open:
            if len(self.open) == OPEN_FILES:
                self.open.popitem(last=False)[1].close()
            self.open[part] = (self.folders[part] / "records.jsonl").open("rb")
        self.open.move_to_end(part)
        return self.open[part]

    def inherit(self, heir: int, index: int) -> None:
        """Give a correction the group and the label of the record that it replaces, unless it has its own."""
        own, old = (self.rows([place])[place] for place in (heir, index))
        group, label = own.group or old.group, own.label or old.label
        if (group, label) == (own.group, own.label):
            return
        self.heirs[heir] = Row(own.id, group, label)
        self.group[heir] = self.group[heir] or self.group[index]
        self.label[heir] = self.label[heir] if own.label else self.label[index]

    def records(self, indices: Iterable[int]) -> list[Record]:
        """Some records."""
        decoder = msgspec.json.Decoder(Record)
        return [decoder.decode(self.data(index)) for index in indices]

    def rows(self, indices: Iterable[int]) -> dict[int, Row]:
        """Id, group and label of some records, by index."""
        decoder = msgspec.json.Decoder(Row)
        return {int(index): decoder.decode(self.data(int(index))) for index in indices}

    def hex_id(self, index: int) -> str:
        """A record's id."""
        return f"{int(self.id[index]):016x}"

    def place(self, index: int, seen_from: int | None = None) -> str:
        """A record's place in words: its line, and its file unless the file is clear."""
        own = seen_from is not None and self.source[index] == self.source[seen_from]
        return f"line {self.line[index]}" if own else f"{self.sources[self.source[index]]} line {self.line[index]}"

    def close(self) -> None:
        while self.open:
            self.open.popitem()[1].close()

    def total(self, count: str) -> int:
        """The sum of one count over all parts."""
        return sum(done[count] for done in self.done)

    def counts(self, name: str) -> dict[str, int]:
        """The sum of a table of counts over all parts, without the zeros."""
        total: dict[str, int] = {}
        for done in self.done:
            for key, count in done[name].items():
                total[key] = total.get(key, 0) + count
        return {key: total[key] for key in sorted(total) if total[key]}


def compare_part(folder: Path, unit: str, with_answer: bool) -> None:
    """Second reading of a part: writes keys, shingles and band keys, by which its records are compared.

    Args:
        with_answer: whether records with one prompt and different answers are different records, not contradictions.
    """
    decoder = msgspec.json.Decoder(Record)
    keys, counts, bands = [np.zeros(0, _KEYS)], [np.zeros(0, np.int64)], [np.zeros((BANDS, 0), np.uint64)]
    sentences = [np.zeros((0, 2), np.uint64)]
    with (folder / "records.jsonl").open("rb") as file, (folder / "shingles.u32").open("wb") as shingles:
        for lines in batches(file):
            records = [decoder.decode(line) for line in lines]
            prompts = [normalise(record.prompt) for record in records]
            keys.append(np.frombuffer(b"".join(map(_key, records, prompts, [with_answer] * len(records))), _KEYS))
            hashes, sizes = shingled(prompts, unit)
            shingles.write(hashes.tobytes())
            counts.append(sizes)
            bands.append(band_keys(hashes, sizes))
            sentences.append(np.frombuffer(b"".join(map(_edge_key, records)), "<u8").reshape(-1, 2))
    np.save(folder / "keys.npy", np.concatenate(keys))
    np.save(folder / "counts.npy", np.concatenate(counts))
    np.save(folder / "sentences.npy", np.concatenate(sentences))
    np.save(folder / "bands.npy", np.concatenate(bands, axis=1))


def batches(file: IO[bytes]) -> Iterator[list[bytes]]:
    """The lines of a part's records, some thousand at a time."""
    lines: list[bytes] = []
    for line in file:
        lines.append(line)
        if len(lines) == ROWS:
            yield lines
            lines = []
    if lines:
        yield lines


def _key(record: Record, prompt: str, with_answer: bool) -> bytes:
    """128 bits of system prompt and prompt, 64 of the system prompt, 64 of the answer, all normalised."""
    system, answer = normalise(record.system), normalise(record.answer)
    asked = f"{system}\0{prompt}\0{record.tools or ''}"
    if with_answer:  # one pair both ways round, or one answer both good and bad, is a contradiction
        answers = [answer, *[normalise(turn.content) for turn in record.rejected or []]]
        asked += "\0" + "\0".join(sorted(answers))
        answer = "\0".join([*answers, str(record.desirable)])
    return _digest(asked, 16) + _digest_again(system, 8) + _digest(answer, 8)


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=size).digest()


_digest_again = lru_cache(maxsize=64)(_digest)  # of system prompts, which hardly differ


def sentences_of(record: Record) -> tuple[str, str]:
    """The first and last sentence of the record's answer; nothing if it has no answer."""
    answers = len(record.messages) > 1 and record.messages[-1].role == "assistant"
    return edges(record.messages[-1].content) if answers else ("", "")


def _edge_key(record: Record) -> bytes:
    """64 bits each of the opening and the closing sentence, 0 for none."""
    return b"".join([_digest(text, 8) if text else bytes(8) for text in sentences_of(record)])


class Compared:
    """What `compare_part` wrote for all parts: the keys in memory, shingles and band keys in mapped files."""

    def __init__(self, store: Store, unit: str) -> None:
        self.folders = [folder for folder, done in zip(store.folders, store.done, strict=True) if done["kept"]]
        self.keys = np.concatenate([np.load(folder / "keys.npy") for folder in store.folders])
        counts = np.concatenate([np.load(folder / "counts.npy") for folder in store.folders])
        starts = np.concatenate([[0], np.cumsum(counts)])
        self.shingles = Shingles(self._joined(store.folders), starts, unit)

    def _joined(self, folders: Sequence[Path]) -> NDArray[np.uint32]:
        """The parts' shingles as one file, mapped."""
        path = folders[0] / "shingles.u32"
        with path.open("ab") as whole:
            for folder in folders[1:]:
                part = folder / "shingles.u32"
                with part.open("rb") as file:
                    while block := file.read(1 << 22):
                        whole.write(block)
                part.unlink()
        return np.memmap(path, np.uint32, "r") if path.stat().st_size else np.zeros(0, np.uint32)

    def sentences(self) -> NDArray[np.uint64]:
        """For each record the hashes of its answer's opening and closing sentence; shape (records, 2)."""
        return np.concatenate([np.load(folder / "sentences.npy") for folder in self.folders])

    def bands(self) -> Iterator[NDArray[np.uint64]]:
        """For each band the keys of all records."""
        for band in range(BANDS):
            parts = []
            for folder in self.folders:
                mapped = np.load(folder / "bands.npy", mmap_mode="r")
                parts.append(np.array(mapped[band]))
                del mapped
            yield np.concatenate(parts)


def comparison_unit(store: Store) -> str:
    """The shingles that suit the records: see `shingles.unit_for`."""
    return unit_for(store.words)
