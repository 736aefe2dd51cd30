"""All canonical records of a run: on disk, with a few numbers of each in memory (about 80 bytes per record)."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from engine.core.artifacts import CURATION_WORK
from engine.core.io import read_json
from engine.data.normalise.records import Record
from engine.data.shards import COLUMNS, frozen_part

ROWS = 4096  # records in memory at a time
READ_BYTES = 32 << 20  # of records that are wanted in another order than that of their files
OPEN_FILES = 64  # of parts at a time; a process may have 1,024 or even 256


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
        self.first = np.cumsum([0, *(done["kept"] for done in self.done)])
        self.sources = list(dict.fromkeys(sources))
        self.numbers = {name: number for number, name in enumerate(self.sources)}
        self.source = np.repeat(np.array([self.numbers[name] for name in sources], np.uint32), np.diff(self.first))
        self.labels = sorted({label for done in self.done for label in done["labels"]})
        columns = self._columns()
        self.line, self.byte, self.words = columns["line"], columns["byte"], columns["words"]
        self.id, self.raw, self.group = columns["id"], columns["raw"], columns["group"]
        self.label = columns["label"]  # places among the labels; -1 for none
        self.begin = np.concatenate([[0], np.cumsum(columns["size"], dtype=np.int64)])  # as if all parts were one file
        self.open: OrderedDict[int, IO[bytes]] = OrderedDict()  # by part, the least recently read first
        self.heirs: dict[int, Row] = {}  # corrections, with the group and label of what they replace

    def _columns(self) -> dict[str, NDArray[Any]]:
        """The columns of all parts. A part counts its labels for itself; here all have the same numbers."""
        columns = {name: np.empty(len(self), code) for name, code in COLUMNS.items()}
        place = {label: number for number, label in enumerate(self.labels)}
        for folder, done, (begin, end) in zip(self.folders, self.done, pairwise(self.first), strict=True):
            rows = np.load(folder / "columns.npy")
            numbers = np.array([place[label] for label in done["labels"]] + [-1], np.int32)
            rows["label"] = numbers[rows["label"]]  # -1, no label, is the last of the numbers
            for name, column in columns.items():
                column[begin:end] = rows[name]
        return columns

    def __len__(self) -> int:
        return int(self.first[-1])

    def data(self, index: int) -> bytes:
        """A record as one line of JSON, with its line feed."""
        part = int(np.searchsorted(self.first, index, side="right")) - 1
        file = self._file(part)
        begin, end = self.begin[index : index + 2].tolist()
        file.seek(begin - int(self.begin[self.first[part]]))
        line = file.read(end - begin)
        if (heir := self.heirs.get(index)) is None:
            return line
        record = msgspec.json.decode(line, type=Record)
        return msgspec.json.encode(structs.replace(record, group=heir.group, label=heir.label)) + b"\n"

    def in_order(self, indices: NDArray[np.int64]) -> Iterator[bytes]:
        """The lines of many records in any order.

        They are read some at a time, and these in the order of the files.  Where there are more files than may be open,
        going from one to another for every record would take most of a run of millions.
        """
        batch = np.cumsum(np.diff(self.begin)[indices]) // READ_BYTES
        for some in np.split(indices, np.flatnonzero(np.diff(batch)) + 1):
            lines = {index: self.data(index) for index in np.sort(some).tolist()}
            yield from map(lines.__getitem__, some.tolist())

    def _file(self, part: int) -> IO[bytes]:
        if part not in self.open:
            if len(self.open) == OPEN_FILES:
                self.open.popitem(last=False)[1].close()
            self.open[part] = (self.folders[part] / "records.jsonl").open("rb")
        self.open.move_to_end(part)
        return self.open[part]

    def inherit(self, heir: int, index: int) -> None:
        """Give a correction the group and the label of the record that it replaces, unless it has its own."""
        new, old = self.rows([heir, index]).values()
        group, label = new.group or old.group, new.label or old.label
        if (group, label) == (new.group, new.label):
            return
        self.heirs[heir] = Row(new.id, group, label)
        self.group[heir] = self.group[heir] or self.group[index]
        self.label[heir] = self.label[heir] if new.label else self.label[index]

    def records(self, indices: Iterable[int]) -> list[Record]:
        """Some records."""
        decoder = msgspec.json.Decoder(Record)
        return [decoder.decode(self.data(index)) for index in indices]

    def rows(self, indices: Iterable[int]) -> dict[int, Row]:
        """Id, group and label of some records, by index."""
        decoder = msgspec.json.Decoder(Row)
        return {index: decoder.decode(self.data(index)) for index in indices}

    def hex_id(self, index: int) -> str:
        """A record's id."""
        return f"{int(self.id[index]):016x}"

    def place(self, index: int, seen_from: int | None = None) -> str:
        """A record's place in words: its line, and its file unless the file is clear."""
        line, source = f"line {self.line[index]}", self.source[index]
        return line if seen_from is not None and source == self.source[seen_from] else f"{self.sources[source]} {line}"

    def close(self) -> None:
        while self.open:
            self.open.popitem()[1].close()

    def total(self, count: str) -> int:
        """The sum of one count over all parts."""
        return sum(done[count] for done in self.done)

    def counts(self, name: str) -> dict[str, int]:
        """The sum of a table of counts over all parts, without the zeros."""
        total: Counter[str] = Counter()
        for done in self.done:
            total.update(done.get(name, {}))
        return {key: count for key, count in sorted(total.items()) if count}


def batches(file: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines of a part's records, some thousand at a time."""
    lines = iter(file)
    while batch := list(islice(lines, ROWS)):
        yield batch


def open_store(folders: Sequence[Path], sources: Sequence[str], held: Sequence[Record]) -> Store:
    """The records of all parts; the frozen items that the data no longer have make a part of their own."""
    store = Store(folders, sources)
    present = set(store.id.tolist()) if held else set()
    absent = [item for item in held if int(item.id, 16) not in present]
    if not absent:
        return store
    store.close()
    frozen_part(CURATION_WORK / "frozen", absent)
    return Store([*folders, CURATION_WORK / "frozen"], [*sources, "data/eval"])
