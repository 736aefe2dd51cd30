"""Training records that contain an evaluation item: the score would say what was memorised, not what was learnt."""

from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.core.artifacts import BENCHMARKS
from engine.core.errors import ProjectError
from engine.core.text import casefolded
from engine.data.check.reject_reasons import BadRecordError
from engine.data.dedup.comparison import Similarity
from engine.data.dedup.near_duplicates import CONTAINED, LONG_ENOUGH, NEVER, Pairs, neighbours
from engine.data.dedup.shingles import Hashes
from engine.data.executor import compare_parts
from engine.data.normalise.dataset_formats import READERS
from engine.data.normalise.records import Record, RecordReader
from engine.data.read.detect_format import detect
from engine.data.read.file_formats import checked_path, container, read_items
from engine.data.record_store import Store
from engine.data.verbatim_overlap import cut, quotations, quoted
from engine.settings.curate import CurateSettings

OWN = "data/eval"
SHOWN = 5


class Contamination(Struct):
    """Contaminated training records: index to what each contains; and how many items each benchmark has."""

    records: dict[int, str]
    benchmarks: dict[str, dict[str, int]]


def contaminated(
    store: Store, alike: Similarity, held: list[int], train: NDArray[np.int64], settings: CurateSettings
) -> Contamination:
    """Look for the project's own benchmark (``held``) and those of `curate.benchmarks` in the training records.

    An item is found if a record's prompt is near it (equal ones are), or if one of its texts holds most of the item's
    runs of three words, however long it is (see `quotations`); by its meaning also if a prompt asks the same in
    other words. A single shared n-gram is no evidence, nor is that a short request of the project's own occurs within
    another one.

    Raises:
        ProjectError: a benchmark cannot be read; or something is found and the policy is to stop.
    """
    inside = np.zeros(len(store), bool)
    inside[train] = True
    asked = {OWN: [record.prompt for record in store.records(held)]}
    asked |= {path: _prompts(_in_folder(path), settings) for path in settings.benchmarks}
    texts = {name: [casefolded(prompt) for prompt in prompts] for name, prompts in asked.items()}
    contamination = Contamination({}, {})
    for name, hits in _hits(store, alike, held, texts, settings.engine).items():
        reworded = alike.meanings.asked(asked[name]) if alike.meanings else hits[:0]
        for pairs, verb in ((hits, "contains"), (reworded, "paraphrases")):
            for query, record in pairs[inside[pairs[:, 1]]].tolist():
                contamination.records.setdefault(record, f"{verb} item {query + 1} of {name}")
        both = np.concatenate([hits, reworded])
        seen = np.unique(both[inside[both[:, 1]], 0])
        contamination.benchmarks[name] = {"items": len(texts[name]), "found": len(seen)}
    if contamination.records and settings.contamination == "error":
        first = sorted(contamination.records)[:SHOWN]
        examples = "\n".join(f"  {store.place(index)}: {contamination.records[index]}" for index in first)
        raise ProjectError(
            f"{len(contamination.records)} training records contain an evaluation item. The first ones:\n{examples}",
            "curate.contamination",
            "set it to drop to leave them out, or to keep them; the report then says so",
        )
    return contamination


def _hits(
    store: Store, alike: Similarity, held: list[int], texts: dict[str, list[str]], engine: str
) -> dict[str, Pairs]:
    """For each benchmark the pairs (item, record), of which the record holds the item."""
    shingles, contained = alike.shingles, CONTAINED if alike.shingles.unit == "word3" else NEVER
    near, runs = {}, list[Hashes]()
    for name, prompts in texts.items():
        if name == OWN:
            queries = [shingles.of(index) for index in held]
            runs += [item if len(item) >= LONG_ENOUGH else item[:0] for item in cut(prompts, "word3")]
        else:
            queries = cut(prompts, shingles.unit)
            runs += cut(prompts, "word3")
        near[name] = neighbours(shingles, queries, alike.threshold, contained)
    if not any(map(len, runs)):
        return near
    compare_parts(engine, store.folders, quotations, runs)
    pairs = quoted(store.folders, store.first)
    begin = 0
    for name, prompts in texts.items():
        of_benchmark = (pairs[:, 0] >= begin) & (pairs[:, 0] < begin + len(prompts))
        near[name] = np.concatenate([near[name], pairs[of_benchmark] - [begin, 0]])
        begin += len(prompts)
    return near


def _in_folder(path: str) -> Path:
    """A benchmark's file, inside a folder that DVC watches."""
    if not Path(path).resolve().is_relative_to(BENCHMARKS.resolve()):
        raise ProjectError(
            "a benchmark's file is in another folder", f"curate.benchmarks: {path}", f"put it into {BENCHMARKS}/"
        )
    return checked_path(Path(path), Path.cwd())


def _prompts(path: Path, settings: CurateSettings) -> list[str]:
    """The prompts of a benchmark file in any known format."""
    form = detect(path, settings, READERS).format  # only prompts are compared
    if form is None:
        raise ProjectError("no record of the benchmark is in a known format", str(path), "give its items as messages")
    plain = settings.model_copy(update={"format": form, "group_key": None, "label_key": None, "languages": []})
    reader, records = RecordReader(plain), list[Record]()
    for line, _, payload in read_items(path, container(path)):
        try:
            records.append(reader.read(payload, line))
        except BadRecordError:
            continue  # it is no item, so it cannot be in the training data
    return [record.prompt for record in records]
