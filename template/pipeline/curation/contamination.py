"""Training records that contain an evaluation item: the score would say what was memorised, not what was learnt."""

from pathlib import Path

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from pipeline.curation.containers import checked_path, container, read_items
from pipeline.curation.detect import detect
from pipeline.curation.near_duplicates import CONTAINED, NEVER, neighbours
from pipeline.curation.reasons import BadRecordError
from pipeline.curation.records import Record, RecordReader
from pipeline.curation.shingles import Hashes, Shingles, normalise
from pipeline.curation.store import Store
from pipeline.files import ProjectError
from pipeline.settings import CurateSettings

SHOWN = 5


class Found(Struct):
    """Contaminated training records: index to what each contains; and how many items each benchmark has."""

    records: dict[int, str]
    benchmarks: dict[str, dict[str, int]]


def contaminated(
    store: Store,
    shingles: Shingles,
    held: list[int],
    train: NDArray[np.int64],
    settings: CurateSettings,
    threshold: float,
) -> Found:
    """Look for the project's own benchmark (``held``) and those of `curate.benchmarks` in the training records.

    An item is found if a record's prompt is near it (equal ones are), or has most of its word 3-grams, however long
    the prompt is. A single shared n-gram is no evidence, nor is that a short request occurs within another one.

    Raises:
        ProjectError: a benchmark cannot be read; or something is found and the policy is to stop.
    """
    inside = np.zeros(len(store), bool)
    inside[train] = True
    found = Found({}, {})
    own = [shingles.of(index) for index in held]
    _search(found, "data/eval", own, shingles, inside, threshold)
    for path in settings.benchmarks:
        prompts = _prompts(checked_path(Path(path), Path.cwd()), settings)
        cut = Shingles.of_texts(prompts, shingles.unit)
        _search(found, path, [cut.of(number) for number in range(len(cut))], shingles, inside, threshold)
    if found.records and settings.contamination == "error":
        first = sorted(found.records)[:SHOWN]
        examples = "\n".join(f"  {store.place(index)}: {found.records[index]}" for index in first)
        raise ProjectError(
            f"{len(found.records)} training records contain an evaluation item. The first ones:\n{examples}",
            "curate.contamination",
            "set it to drop to leave them out, or to keep: the report will say that they are there",
        )
    return found


def _search(
    found: Found, name: str, queries: list[Hashes], shingles: Shingles, inside: NDArray[np.bool_], threshold: float
) -> None:
    contained = CONTAINED if shingles.unit == "word3" else NEVER
    pairs = neighbours(shingles, queries, threshold, contained)
    hits = pairs[inside[pairs[:, 1]]]
    for query, record in hits.tolist():
        found.records.setdefault(record, f"contains item {query + 1} of {name}")
    found.benchmarks[name] = {"items": len(queries), "found": len(np.unique(hits[:, 0]))}


def _prompts(path: Path, settings: CurateSettings) -> list[str]:
    """The prompts of a benchmark file, in whatever format it is."""
    form = detect(path, settings).format
    if form is None:
        raise ProjectError("no record of the benchmark is in a known format", str(path), "give its items as messages")
    plain = structs.replace(settings, format=form, group_key=None, label_key=None, languages=[])
    reader, records = RecordReader(plain), list[Record]()
    for line, _, payload in read_items(path, container(path)):
        try:
            records.append(reader.read(payload, line))
        except BadRecordError:
            continue  # it is no item, so it cannot be in the training data
    return [normalise(record.prompt) for record in records]
