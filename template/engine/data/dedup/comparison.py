"""By what records are compared: hashes of their texts, shingles and band keys, part by part on disk."""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.core.text import casefolded
from engine.data.check.quality import edges
from engine.data.dedup.near_duplicates import BANDS, Pairs, band_keys
from engine.data.dedup.shingles import Shingles, shingled
from engine.data.normalise.records import Record
from engine.data.record_store import Store, batches

Keys: TypeAlias = NDArray[np.void]  # one per record, of these hashes
_KEYS = np.dtype([("prompt_high", "<u8"), ("prompt_low", "<u8"), ("system", "<u8"), ("answer", "<u8")])


def compare_part(folder: Path, unit: str, with_answer: bool) -> None:
    """Second reading of a part: writes keys, shingles and band keys, by which its records are compared.

    Args:
        with_answer: whether records with one prompt and different answers are different records, not contradictions.
    """
    decoder = msgspec.json.Decoder(Record)
    columns: dict[str, list[NDArray[Any]]] = defaultdict(list)
    with (folder / "records.jsonl").open("rb") as file, (folder / "shingles.u32").open("wb") as shingles:
        for lines in batches(file):
            records = [decoder.decode(line) for line in lines]
            prompts = [casefolded(record.prompt) for record in records]
            hashes, sizes = shingled(prompts, unit)
            shingles.write(hashes.tobytes())
            columns["counts"].append(sizes)
            columns["bands"].append(band_keys(hashes, sizes))
            keys = b"".join(map(_key, records, prompts, [with_answer] * len(records)))
            columns["keys"].append(np.frombuffer(keys, _KEYS))
            sentences = b"".join(map(_edge_key, records))
            columns["sentences"].append(np.frombuffer(sentences, "<u8").reshape(-1, 2).T)
    for name, arrays in columns.items():
        np.save(folder / f"{name}.npy", np.concatenate(arrays, axis=-1))


def _key(record: Record, prompt: str, with_answer: bool) -> bytes:
    """128 bits of system prompt and prompt, 64 of the system prompt, 64 of the answer, all normalised."""
    system, answer = casefolded(record.system), casefolded(record.answer)
    asked = f"{system}\0{prompt}\0{record.tools or ''}"
    if with_answer:  # one pair both ways round, or one answer both good and bad, is a contradiction
        answers = [answer, *[casefolded(turn.content) for turn in record.rejected or []]]
        asked += "\0" + "\0".join(sorted(answers))
        answer = "\0".join([*answers, str(record.desirable)])
    return _digest(asked, 16) + _digest_again(system, 8) + _digest(answer, 8)


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=size).digest()


_digest_again = lru_cache(maxsize=64)(_digest)  # of system prompts, which hardly differ


def _edge_key(record: Record) -> bytes:
    """64 bits each of the opening and the closing sentence, 0 for none."""
    return b"".join([_digest(text, 8) if text else bytes(8) for text in sentences_of(record)])


def sentences_of(record: Record) -> tuple[str, str]:
    """The first and last sentence of the record's answer; nothing if it has no answer."""
    answers = len(record.messages) > 1 and record.messages[-1].role == "assistant"
    return edges(record.messages[-1].content) if answers else ("", "")


class Paraphrases(Protocol):
    """Which prompts mean the same in other words."""

    def compare(self, rows: NDArray[np.int64]) -> Pairs:
        """Pairs of these records."""

    def near(self, held: Sequence[int]) -> Pairs:
        """Pairs (held record, record)."""

    def asked(self, prompts: Sequence[str]) -> Pairs:
        """Pairs (place of a prompt, record)."""


class Similarity(Struct, frozen=True):
    """When two prompts are alike: by the shingles that they share and, if the settings ask for it, by their meaning."""

    shingles: Shingles
    threshold: float  # Jaccard index
    meanings: Paraphrases | None = None


class Compared:
    """What `compare_part` wrote for all parts: the keys in memory, shingles and band keys in mapped files."""

    def __init__(self, store: Store, unit: str) -> None:
        self.folders = [folder for folder, done in zip(store.folders, store.done, strict=True) if done["kept"]]
        self.keys = self._column("keys")
        starts = np.concatenate([[0], np.cumsum(self._column("counts"))])
        self.shingles = Shingles(self._joined_shingles(), starts, unit)

    def _column(self, name: str) -> NDArray[Any]:
        return np.concatenate([np.load(folder / f"{name}.npy") for folder in self.folders], axis=-1)

    def _joined_shingles(self) -> NDArray[np.uint32]:
        """The parts' shingles as one file, mapped."""
        path, *others = (folder / "shingles.u32" for folder in self.folders)
        with path.open("ab") as whole:
            for other in others:
                with other.open("rb") as file:
                    shutil.copyfileobj(file, whole)
                other.unlink()
        return np.memmap(path, np.uint32, "r")

    def sentences(self) -> NDArray[np.uint64]:
        """For each record the hashes of its answer's opening and closing sentence; shape (2, records)."""
        return self._column("sentences")

    def bands(self) -> Iterator[NDArray[np.uint64]]:
        """For each band the keys of all records. A part's file is open only while it is read."""
        for band in range(BANDS):
            files = (folder / "bands.npy" for folder in self.folders)
            yield np.concatenate([np.array(np.load(file, mmap_mode="r")[band]) for file in files])
