"""Write what curation decided: the training records, and a line for each record that is not among them."""

import heapq
import shutil
from collections.abc import Collection, Iterator
from itertools import islice

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.core.artifacts import REJECTED_RECORDS, REPAIRED_RECORDS, TRAIN_RECORDS
from engine.core.io import write_jsonl, writing
from engine.data.dedup.deduplicate import CODES, CONFLICT, EXACT, KEPT, NEAR, SEMANTIC, SUPERSEDED, Fates
from engine.data.normalise.records import Rejected
from engine.data.record_store import Store

_DETAILS = {
    EXACT: "same as {}",
    CONFLICT: "{} answers the same prompt differently",
    NEAR: "near {}, same answer",
    SUPERSEDED: "corrected by {}",
    SEMANTIC: "{} is a paraphrase, same answer",
}


def write_train(store: Store, train: NDArray[np.int64], rows: int | None) -> None:
    """The training records by id. Ids are hashes, so the first ``rows`` are a fair sample."""
    order = train[np.argsort(store.id[train], kind="stable")]
    with writing(TRAIN_RECORDS) as file:
        for line in store.in_order(order[:rows]):
            file.write(line.decode())


def write_rejected(store: Store, fates: Fates | None = None) -> int:
    """Every record that is not used, in the order of the raw data. Returns how many.

    Args:
        fates: none before duplicates were looked for.
    """

    def place(note: Rejected) -> tuple[int, int]:
        return store.numbers[note.source], note.line

    superfluous = _superfluous(store, fates) if fates else ()
    return write_jsonl(REJECTED_RECORDS, heapq.merge(_unreadable(store), superfluous, key=place))


def _unreadable(store: Store) -> Iterator[Rejected]:
    """The rejects of the record stage, which every part has in order."""
    decoder = msgspec.json.Decoder(Rejected)
    for folder in store.folders:
        with (folder / "rejected.jsonl").open("rb") as file:
            yield from map(decoder.decode, file)


def _superfluous(store: Store, fates: Fates) -> Iterator[Rejected]:
    """The records that were left out after the record stage, in order."""
    dropped = np.flatnonzero(fates.reason != KEPT)
    for index in dropped[np.lexsort((store.line[dropped], store.source[dropped]))].tolist():
        byte, kept, reason = int(store.byte[index]), int(fates.by[index]), int(fates.reason[index])
        yield Rejected(
            store.sources[store.source[index]],
            int(store.line[index]),
            byte if byte >= 0 else None,
            CODES[reason],
            fates.details.get(index) or _DETAILS[reason].format(store.place(kept, index)),
            store.hex_id(kept) if kept >= 0 else None,
        )


def write_repaired(store: Store) -> None:
    """What was repaired, record by record."""
    with writing(REPAIRED_RECORDS) as file:
        for folder in store.folders:
            with (folder / "repaired.jsonl").open(encoding="utf-8", newline="") as part:
                shutil.copyfileobj(part, file)


def first_rejects(store: Store, faults: Collection[str], count: int) -> list[Rejected]:
    """The first few rejects of the record stage for some reasons."""
    return list(islice((note for note in _unreadable(store) if note.reason in faults), count))
