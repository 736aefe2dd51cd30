"""Which DVC stages run again because of a change: read from dvc.yaml and what changed, without DVC."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tunesmith.flat_yaml import FAST
from tunesmith.update.tree_diff import Difference


@dataclass(frozen=True)
class Rerun:
    """A stage that runs again. ``certain`` is False where it only does if an earlier stage has a different result."""

    stage: str
    reason: str
    certain: bool


def affected(before: str, after: str, paths: Iterable[str], parameters: Iterable[Difference]) -> list[Rerun]:
    """Stages of the new dvc.yaml that a `dvc repro` would run again, in the file's order."""
    old, new = stages_of(before), stages_of(after)
    changed, knobs = set(paths), {one.name for one in parameters}
    found: dict[str, Rerun] = {}
    for name, stage in new.items():
        if reason := _reason(old.get(name), stage, changed, knobs):
            found[name] = Rerun(name, reason, certain=True)
    _follow(new, found)
    return [found[name] for name in new if name in found]


def stages_of(text: str) -> dict[str, Mapping[str, Any]]:
    """The stages of a dvc.yaml by name; nothing for a text that is none."""
    try:
        loaded = yaml.load(text, Loader=FAST)
    except yaml.YAMLError:  # a conflict's markers
        return {}
    stages = loaded.get("stages") if isinstance(loaded, dict) else None
    return (
        {name: stage for name, stage in stages.items() if isinstance(stage, dict)} if isinstance(stages, dict) else {}
    )


def _reason(old: Mapping[str, Any] | None, new: Mapping[str, Any], changed: set[str], knobs: set[str]) -> str:
    if old is None:
        return "new stage"
    for part, words in (("cmd", "command"), ("deps", "list of inputs"), ("outs", "list of outputs")):
        if names(old.get(part)) != names(new.get(part)):
            return f"its {words} changed"
    if hit := sorted(path for path in changed if any(within(path, name) for name in names(new.get("deps")))):
        return ", ".join(hit)
    watched = names(new.get("params"))
    hits = sorted(name for name in knobs if any(name == knob or name.startswith(f"{knob}.") for knob in watched))
    return ", ".join(hits)


def _follow(stages: Mapping[str, Mapping[str, Any]], found: dict[str, Rerun]) -> None:
    """Add what depends on the outputs of a stage that runs again, until nothing is added."""
    added = True
    while added:
        added = False
        for name, stage in stages.items():
            earlier = [other for other in found if other != name and _feeds(stages[other], stage)]
            if name not in found and earlier:
                found[name] = Rerun(name, f"if {' or '.join(earlier)} has a different result", certain=False)
                added = True


def _feeds(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    outs = [out for part in ("outs", "metrics", "plots") for out in names(earlier.get(part))]
    files = [
        next(iter(item)) for item in later.get("params") or () if isinstance(item, dict) and item
    ]  # `- FILE: [keys]`
    read = [*names(later.get("deps")), *map(str, files)]
    return any(within(name, out) or within(out, name) for out in outs for name in read)


def names(value: Any) -> list[str]:
    """Names in a part of a stage, which may carry options: `- path: {cache: false}`."""
    items = value if isinstance(value, list) else [value] if value is not None else []
    return sorted(str(next(iter(item))) if isinstance(item, dict) and item else str(item) for item in items)


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
