"""The arms that are scored, every pair of them, and their scores by slice of the benchmark."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

from engine.chat.openai_messages import Record
from engine.core.artifacts import BASELINE_ANSWERS, BASELINE_RECORD, BENCHMARK, TUNED_ANSWERS
from engine.core.errors import ProjectError
from engine.core.io import read, read_json
from engine.core.text import language
from engine.evaluation.paired_comparison import compare
from engine.evaluation.results import Pair, Slice
from engine.evaluation.statistics import Groups, holm
from engine.evaluation.verdict import significant
from engine.inference.prompting import question
from engine.inference.results import Answered, BaselineRecord, Row, read_arm
from engine.settings.evaluate import EvaluateParams

LANGUAGE_SHARE = 0.05  # of the items; a rarer language is mostly a short text that was taken for one


def read_arms(settings: EvaluateParams) -> dict[str, list[Row]]:
    """The rows of every arm, checked to be of this benchmark."""
    marker = read(BASELINE_RECORD, BaselineRecord, "baseline")
    if marker.benchmark_sha256 != read_json(BENCHMARK)["sha256"]:
        raise ProjectError(
            "the baseline was measured on another benchmark", str(BASELINE_RECORD), "run `dvc repro baseline`"
        )
    folders = [BASELINE_ANSWERS, TUNED_ANSWERS] if settings.trains else [BASELINE_ANSWERS]
    arms = {path.stem: read_arm(path.stem) for folder in folders for path in sorted(folder.glob("*.jsonl"))}
    check_templates(arms)
    return arms


def check_templates(arms: Mapping[str, list[Row]]) -> None:
    """The models of this machine were asked through one chat template; an endpoint's own is not known.

    Raises:
        ProjectError: they were not, so a difference between arms may be one between templates.
    """
    of = {arm: {row.template_sha256 for row in rows if row.template_sha256} for arm, rows in arms.items()}
    if len(set().union(*of.values())) > 1:
        told = ", ".join(f"{arm} {min(found)[:12]}" for arm, found in of.items() if found)
        fix = "use the base model's chat template for tuning as well, then run `dvc repro`"
        raise ProjectError("the arms were asked through different chat templates", told, fix)


def pairs(scores: Mapping[str, list[float]], groups: Groups, settings: EvaluateParams) -> list[Pair]:
    """Every pair of arms, the p-values adjusted over all pairs."""
    found = {(a, b): compare(scores[a], scores[b], groups, settings) for a, b in combinations(scores, 2)}
    adjusted = holm({f"{a} {b}": c.p for (a, b), c in found.items()})
    return [
        Pair(
            *msgspec.structs.astuple(c.difference.rounded()),
            first=a,
            second=b,
            p_holm=significant(adjusted[f"{a} {b}"]),
        )
        for (a, b), c in found.items()
    ]


def languages(records: Sequence[Record]) -> dict[str, str]:
    """{item: the language it is asked in}, of the frequent ones; empty unless there are two."""
    told = {record["id"]: language(question(record)) for record in records}
    counts = Counter(code for code in told.values() if code)
    frequent = {code for code, count in counts.items() if count >= LANGUAGE_SHARE * len(records)}
    return {item: code for item, code in told.items() if code in frequent} if len(frequent) > 1 else {}


def slices(scores: Mapping[str, list[float]], rows: Sequence[Answered], spoken: Mapping[str, str]) -> list[Slice]:
    """Mean primary score of every arm in each slice of the benchmark: by label, length of the answer, and language.

    Slices are for reading, not for deciding: a slice holds few items and there are many of them.
    """
    ordered = sorted(len(row.expected) for row in rows)
    median = ordered[len(ordered) // 2]
    sliced: dict[str, list[str | None]] = {
        "label": [row.label for row in rows],
        "answer": ["short" if len(row.expected) < median else "long" for row in rows],
        "language": [spoken.get(row.id) for row in rows],
    }
    found = []
    for by, values in sliced.items():
        for value in sorted({value for value in values if value is not None}):
            places = [place for place, other in enumerate(values) if other == value]
            means = {arm: round(sum(given[p] for p in places) / len(places), 6) for arm, given in scores.items()}
            found.append(Slice(by=by, slice=value, items=len(places), scores=means))
    return found
