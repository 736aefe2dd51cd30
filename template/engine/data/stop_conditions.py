"""When the data are too bad, or too few, for the stage to go on."""

import math
from collections import Counter
from collections.abc import Collection
from difflib import SequenceMatcher
from pathlib import Path

from engine.core.errors import ProjectError
from engine.data.dedup.deduplicate import CODES, KEPT, Fates
from engine.data.normalise.dataset_formats import MANY_ANSWERS, read_by
from engine.data.read.detect_format import detect
from engine.data.record_store import Store
from engine.data.split import MAX_BENCHMARK_SHARE
from engine.data.write_outputs import first_rejects, write_rejected
from engine.settings.curate import CurateSettings

EXAMPLES_SHOWN = 5
REASONS_NAMED = 5
FIELDS_NAMED = 5
# What makes a record unusable. Duplicates are superfluous, and what a policy leaves out is left out on purpose.
FAULTS = ["json", "encoding", "schema", "roles", "empty", "too_short", "too_long", "special_tokens", "broken_text"]
FAULTS += ["control_characters", "preference"]


def refuse_bad_data(store: Store, settings: CurateSettings, conflicts: int) -> None:
    """Stop if more records are faulty than the owner allows."""
    reasons, read = store.counts("reasons"), store.total("read")
    if not read:
        raise ProjectError("the data file is empty", settings.path, "put one JSON object on each line")
    faulty = sum(reasons.get(reason, 0) for reason in FAULTS) + conflicts
    usable = len(store) > 0
    if usable and faulty / read <= settings.max_reject_fraction:
        return
    write_rejected(store)
    faults = FAULTS if faulty else list(reasons)
    first = first_rejects(store, faults, EXAMPLES_SHOWN)
    places = [f"line {bad.line}" if bad.source == settings.path else f"{bad.source}, line {bad.line}" for bad in first]
    notes = zip(places, first, strict=True)
    examples = "\n".join(f"  {place}: {bad.reason}: {bad.detail}" for place, bad in notes)
    looks = detect(Path(settings.path), settings)
    other = looks.format not in (None, settings.format, "prompt_only")  # which any record without an answer fits
    guess = f"; they look like another format: {looks.sentence()}" if other else ""
    guess += f"; {read_by(str(looks.format))}" if other and looks.format in MANY_ANSWERS else ""
    fix = _unknown_keys(settings, looks.fields)
    fix = fix or f"fix these lines; or set curate.format, if the data are not in the `{settings.format}` format"
    raise ProjectError(
        f"{faulty} of {read} lines are unusable, {faulty / read:.1%} of them; "
        f"curate.max_reject_fraction allows {settings.max_reject_fraction:.1%}. The first ones:\n{examples}",
        f"{settings.path}; data/curated/rejected.jsonl lists all",
        fix + guess,
    )


def _unknown_keys(settings: CurateSettings, fields: Collection[str]) -> str:
    """How to set group_key and label_key if no record has the named field; otherwise nothing."""
    fixes = []
    for setting, key in (("group_key", settings.group_key), ("label_key", settings.label_key)):
        if key is not None and fields and key not in fields:
            near = sorted(fields, key=lambda name: SequenceMatcher(None, key, name).ratio(), reverse=True)
            names = ", ".join(f"`{name}`" for name in near[:FIELDS_NAMED])
            fixes.append(f"no record has the field `{key}`: set curate.{setting} to one of {names}, or to null")
    return "; ".join(fixes)


def refuse_little_data(store: Store, fates: Fates, settings: CurateSettings, *, drawing: bool) -> None:
    """Stop if too few records are good ones, for training or for the benchmark; say why the others were left out."""
    usable, read = len(fates.kept()), store.total("read")
    benchmark = settings.test_items + settings.dev_items
    needed = math.ceil(benchmark / MAX_BENCHMARK_SHARE)
    if usable < settings.minimum_records:
        purpose = "to tune and measure a model"
        setting = f"curate.minimum_records is {settings.minimum_records}"
        fix = "collect more examples first; until then a few-shot prompt is the better choice"
    elif drawing and usable < needed:
        purpose = f"to hold {settings.test_items} out for test and {settings.dev_items} for dev"
        setting = f"curate.test_items and curate.dev_items ask for {benchmark}"
        fix = f"provide at least {needed} good examples, or ask for fewer test and dev items"
    else:
        return
    write_rejected(store, fates)
    reasons = Counter(store.counts("reasons"))
    reasons.update(CODES[code] for code in fates.reason[fates.reason != KEPT].tolist())
    most = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(REASONS_NAMED))
    raise ProjectError(
        f"{usable} good examples of {read} are too few {purpose}" + (f"; left out: {most}" if most else ""),
        f"{setting}; data/curated/rejected.jsonl lists all",
        fix,
    )
