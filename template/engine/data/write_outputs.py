"""Write what curation decided: the training records, and a line for each record that is not among them."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from engine.core.artifacts import REJECTED_RECORDS, REPAIRED_RECORDS, TRAIN_RECORDS
from engine.core.io import writing
from engine.data.dedup.deduplicate import CODES, KEPT, NEAR, SEMANTIC, SUPERSEDED, Fates
from engine.data.normalise.records import Rejected
from engine.data.record_store import Store


def write_train(store: Store, train: Any, rows: int | None) -> None:
    """The training records by id. Ids are hashes, so the first ``rows`` are a fair sample."""
    order = train[np.argsort(store.id[train], kind="stable")]
    with writing(TRAIN_RECORDS) as file:
        for line in store.in_order(order[:rows]):
            file.write(line.decode())


def write_rejected(store: Store, fates: Fates | None, details: dict[int, str]) -> int:
    """Every record that is not used, in the order of the raw data. Returns how many.

    Args:
        fates: none before duplicates were looked for.
        details: what to say of some records instead of the usual.
    """
    count = 0
    with writing(REJECTED_RECORDS) as file:
        for _, line in heapq.merge(_unreadable(store), _superfluous(store, fates, details), key=lambda row: row[0]):
            file.write(line.decode() + "\n")
            count += 1
    return count


def _unreadable(store: Store) -> Iterator[tuple[tuple[int, int], bytes]]:
    """The rejects of the record stage, which every part has in order."""
    decoder = msgspec.json.Decoder(Rejected)
    for folder in store.folders:
        with (folder / "rejected.jsonl").open("rb") as file:
            for line in file:
                note = decoder.decode(line)
                yield (store.numbers[note.source], note.line), line.rstrip(b"\n")


def _superfluous(store: Store, fates: Fates | None, details: dict[int, str]) -> Iterator[tuple[tuple[int, int], bytes]]:
    if fates is None:
        return
    encoder = msgspec.json.Encoder()
    dropped = np.flatnonzero(fates.reason != KEPT)
    order = np.lexsort((store.line[dropped], store.source[dropped]))
    for index in dropped[order].tolist():
        source, line, byte = int(store.source[index]), int(store.line[index]), int(store.byte[index])
        kept, reason = int(fates.by[index]), int(fates.reason[index])
        note = Rejected(
            store.sources[source],
            line,
            byte if byte >= 0 else None,
            CODES[reason],
            details.get(index) or _detail(store, reason, index, kept),
            store.hex_id(kept) if kept >= 0 else None,
        )
        yield (source, line), encoder.encode(note)


def _detail(store: Store, reason: int, index: int, kept: int) -> str:
    place = store.place(kept, index)
    said = {"exact_duplicate": f"same as {place}", "conflicting_label": f"{place} answers the same prompt differently"}
    said |= {CODES[NEAR]: f"near {place}, same answer", CODES[SUPERSEDED]: f"corrected by {place}"}
    said |= {CODES[SEMANTIC]: f"{place} is a paraphrase, same answer"}
    return said[CODES[reason]]


def write_repaired(store: Store) -> None:
    """What was repaired, record by record."""
    with writing(REPAIRED_RECORDS) as file:
        for folder in store.folders:
            with (folder / "repaired.jsonl").open("rb") as part:
                for line in part:
                    file.write(line.decode())


def first_rejects(store: Store, faults: Iterable[str], count: int) -> list[Rejected]:
    """The first few rejects of the record stage for some reasons."""
    decoder, wanted = msgspec.json.Decoder(Rejected), set(faults)
    found = []
    for _, line in _unreadable(store):
        note = decoder.decode(line)
        if note.reason in wanted:
            found.append(note)
        if len(found) == count:
            break
    return found
