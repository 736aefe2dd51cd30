"""Shows a planned update: for people, with content on demand, or as JSON."""

from collections.abc import Iterable, Sequence
from typing import Any

from tunesmith import console
from tunesmith.update import tree_diff
from tunesmith.update.plan import Plan
from tunesmith.update.tree_diff import Difference
from tunesmith.update.worktree import is_engine

UNREAD = ("updated", "added", "removed", "moved")
LONGEST_SHOWN = 100  # characters of a value; an answer may be a whole table of figures


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as one JSON value."""
    return {
        "available": plan.available,
        "from": str(plan.before),
        "to": str(plan.after),
        "needs_newer_tunesmith": str(plan.beyond) if plan.beyond else None,
        "files": [vars(change) for change in plan.files],
        "conflicts": sorted({stage.path for stage in plan.merged.stages}),
        "to_check": [{"path": path, "what": what} for path, what in plan.merged.to_check],
        "answers": [vars(one) for one in plan.answers]
        + [{"name": new, "renamed_from": old} for old, new in plan.carried.renamed.items()],
        "new_answers": dict(plan.carried.added),
        "dropped_answers": dict(plan.carried.dropped),
        "parameters": [vars(one) for one in plan.parameters],
        "parameters_kept": [vars(one) for one in plan.merged.kept if _is_parameter(plan, one.key)],
        "dependencies": [vars(one) for one in plan.dependencies],
        "stages": [vars(one) | {"results_can_be_kept": not plan.unkept.get(one.stage, "new")} for one in plan.reruns],
        "changelog": plan.changelog,
    }


def show(plan: Plan, *, diff: bool) -> None:
    """The plan for people."""
    if plan.beyond:
        console.note(f"template {plan.beyond} exists; it needs tunesmith {plan.beyond} or newer")
    if not plan.available:
        console.line(f"{plan.project.path}: up to date with template {plan.after}")
        return
    moves = f"{plan.before} -> {plan.after}" if plan.before != plan.after else f"{plan.after}, with other answers"
    console.line(f"{plan.project.path}: template {moves}")
    _files(plan.files)
    _listed("Check in your own files", [f"{path}: {what}" for path, what in plan.merged.to_check])
    _answers(plan)
    _differences("Parameters", plan.parameters)
    _kept(plan)
    _differences("Dependencies", plan.dependencies)
    _stages(plan)
    if plan.changelog:
        _title("Changelog")
        console.line(plan.changelog)
    if diff:
        _title("Content")
        console.line(content(plan))


def content(plan: Plan) -> str:
    """What changes, as a unified diff of the project before and after."""
    command = ("diff-tree", "-r", "-p", "-M", "--no-color", "--no-ext-diff", plan.trees["user"], plan.merged.tree)
    return plan.repository.raw(*command).decode(errors="replace").rstrip("\n")


def summary(plan: Plan) -> str:
    """One line that counts files by kind."""
    kinds = [change.kind for change in plan.files]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in tree_diff.KINDS if kind in kinds)


def message(plan: Plan) -> str:
    """The commit message of the update."""
    what = f"to template {plan.after}" if plan.before != plan.after else "to other answers"
    lines = [f"Update {what}", "", f"From template {plan.before}: {summary(plan)}."]
    lines += [f"{one.name}: {_shown(one.before)} -> {_shown(one.after)}" for one in plan.answers]
    return "\n".join([*lines, "", plan.changelog]).strip() + "\n"


def _title(text: str) -> None:
    console.line(f"\n{text}")


def _files(files: Sequence[tree_diff.Change]) -> None:
    engine = [change for change in files if _is_unread(change)]
    if engine:
        kinds = [change.kind for change in engine]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in UNREAD if kind in kinds)
        _title(f"{len(engine)} files of the engine and locks, none edited by you: {counts}")
    for kind, title in tree_diff.KINDS.items():
        listed = [change for change in files if change.kind == kind and change not in engine]
        if listed:
            _title(f"{len(listed)} {title}")
        for change in listed:
            origin = f"{change.previous} -> " if change.previous else ""
            console.line(f"  {origin}{change.path}{f'  ({change.note})' if change.note else ''}")


def _is_unread(change: tree_diff.Change) -> bool:
    """Whether a change belongs to the engine and touches no edit of the owner: such changes are shown as a count."""
    removed = change.kind == "removed"
    return change.kind in UNREAD and not change.note and is_engine(change.path, removed=removed)


def _answers(plan: Plan) -> None:
    carried = plan.carried
    lines = [f"{old} is now {new}" for old, new in carried.renamed.items()]
    lines += [f"{key}: no longer asked (was {_shown(value)})" for key, value in carried.dropped.items()]
    lines += [f"{key}: new, {_shown(value)}" for key, value in carried.added.items()]
    listed = {*carried.renamed, *carried.renamed.values(), *carried.dropped, *carried.added}
    for one in plan.answers:
        if one.name not in listed:
            reason = carried.reasons.get(one.name, "")
            lines.append(f"{one.name}: {_shown(one.before)} -> {_shown(one.after)}{f' ({reason})' if reason else ''}")
    _listed("Answers", lines)


def _differences(title: str, differences: Iterable[Difference]) -> None:
    _listed(title, [f"{one.name}: {_shown(one.before)} -> {_shown(one.after)}" for one in differences])


def _kept(plan: Plan) -> None:
    lines = [
        f"{one.key}: {_shown(one.value)} (the template has {_shown(one.other)})"
        for one in plan.merged.kept
        if _is_parameter(plan, one.key)
    ]
    _listed("Parameters that keep your value", lines)


def _is_parameter(plan: Plan, key: str) -> bool:
    """Answers are merged by key too, and the template's win there, which is no news."""
    return key not in plan.carried.answers and not key.startswith("_")


def _stages(plan: Plan) -> None:
    lines = [f"{one.stage}: {'' if one.certain else 'perhaps: '}{one.reason}" for one in plan.reruns]
    _listed("DVC stages that run again", lines)
    again = [one.stage for one in plan.reruns if not plan.unkept.get(one.stage, "new")]
    if again:
        console.line(f"  --keep-results accepts those that are up to date now among: {', '.join(again)}")


def _listed(title: str, lines: Sequence[str]) -> None:
    if lines:
        _title(title)
    for line in lines:
        console.line(f"  {line}")


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN // 2]}... ({len(text):,} characters)"
