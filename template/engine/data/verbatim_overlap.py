"""Which records contain an evaluation item word for word, in any of their texts."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.core.text import casefolded
from engine.data.dedup.near_duplicates import CONTAINED, NEVER, neighbours
from engine.data.dedup.shingles import WORDS, Hashes, Shingles
from engine.data.normalise.records import Record
from engine.data.record_store import batches

SHORTEST = 8  # words: fewer occur in another text by chance
_FEWEST = SHORTEST - WORDS + 1  # shingles of an item


def cut(texts: Sequence[str], unit: str) -> list[Hashes]:
    """The shingles of each text, as `casefolded` gives them."""
    shingles = Shingles.of_texts(texts, unit)
    return [shingles.of(number) for number in range(len(shingles))]


def quotations(folder: Path, items: list[Hashes]) -> None:
    """Write which items each record of a part holds, as pairs (item, record), into the part's `quoted.npy`."""
    decoder, begin = msgspec.json.Decoder(Record), 0
    blocks = [np.zeros((0, 2), np.int64)]
    with (folder / "records.jsonl").open("rb") as file:
        for lines in batches(file):
            texts, owners = [], []
            for number, line in enumerate(lines, begin):
                record = decoder.decode(line)
                for text in record.texts:
                    if (folded := casefolded(text)).count(" ") >= SHORTEST - 1:
                        texts.append(folded)
                        owners.append(number)
            begin += len(lines)
            shingles, owner = Shingles.of_texts(texts, "word3"), np.array(owners, np.int64)
            pairs = neighbours(shingles, items, NEVER, CONTAINED, fewest=_FEWEST)
            blocks.append(np.stack([pairs[:, 0], owner[pairs[:, 1]]], axis=1))
    np.save(folder / "quoted.npy", np.unique(np.concatenate(blocks), axis=0))


def quoted(folders: Sequence[Path], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """What `quotations` found in all parts, with the records' indices; ``first[n]`` is that of part ``n``'s first."""
    parts = []
    for folder, start in zip(folders, first[:-1].tolist(), strict=True):
        pairs = np.load(folder / "quoted.npy")
        pairs[:, 1] += start
        parts.append(pairs)
    return np.concatenate(parts)
