"""`tunesmith update --keep-results`: accepts the results of stages that an update moved but whose inputs it left alone.

DVC would run such a stage again, because its command, its code or its list of modules changed. What was up to date
before the update, with the same data, parameters and outputs after it, is recorded anew by `dvc commit --force`.
"""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith import console, git, project_env
from tunesmith.update.dvc_impact import names, stages_of, within
from tunesmith.update.moves import Table
from tunesmith.update.tree_diff import Difference

CODE_STAGE, CODE, LOCK = "code", "code.json", "dvc.lock"
UNREAD = "README.md"  # in a folder of data: it explains the folder and is no input


def reasons(
    before: str, after: str, paths: Iterable[str], parameters: Iterable[Difference], table: Table
) -> dict[str, str]:
    """Why the result of each stage of the new dvc.yaml cannot be kept; an empty text if it can.

    ``paths``: files that the update changes. ``parameters``: those that it changes.
    """
    old, new = stages_of(before), stages_of(after)
    former = {table.stage(name): stage for name, stage in old.items()}
    changed, knobs = [path for path in paths if not path.endswith(f"/{UNREAD}")], {one.name for one in parameters}
    return {name: _reason(former.get(name), stage, changed, knobs, table) for name, stage in new.items()}


def _reason(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], changed: Sequence[str], knobs: set[str], table: Table
) -> str:
    if old is None:
        return "it is new"
    if table.command(str(old.get("cmd"))) != str(new.get("cmd")):
        return "its command changed"
    for what, parts in (("outputs", ("outs", "metrics", "plots")), ("data", ("deps",)), ("parameters", ("params",))):
        sides = [sorted(name for part in parts for name in names(stage.get(part))) for stage in (old, new)]
        kept = [[name for name in side if name != CODE and not (what == "data" and _is_code(name))] for side in sides]
        if kept[0] != kept[1]:
            return f"its list of {what} changed"
    data = [name for name in names(new.get("deps")) if not _is_code(name)]
    if hit := [path for path in changed if any(within(path, name) for name in data)]:
        return f"{', '.join(sorted(hit))} changed"
    watched = names(new.get("params"))
    hits = [knob for knob in knobs if any(knob == name or knob.startswith(f"{name}.") for name in watched)]
    return f"{', '.join(sorted(hits))} changed" if hits else ""


def _is_code(path: str) -> bool:
    return path.endswith(".py") or path in ("pipeline", "engine") or path.startswith(("pipeline/", "engine/"))


def up_to_date(project: Path) -> set[str] | None:
    """Stages that DVC calls up to date, results present; None if there is no environment or no result to ask about."""
    if project_env.python(project) is None or not (project / LOCK).is_file():
        return None
    done = _dvc(project, "status", "--json")
    if done.returncode:
        return None
    found: Mapping[str, Any] = json.loads(done.stdout or "{}")
    return set(stages_of((project / "dvc.yaml").read_text(encoding="utf-8"))) - set(found)


def accept(project: Path, stages: Sequence[str]) -> bool:
    """Record the results of ``stages`` as those of the code that is there now, in a commit. Returns whether it worked.

    The hashes of the code come first: the stage that writes them is run.
    """
    if CODE_STAGE in stages_of((project / "dvc.yaml").read_text(encoding="utf-8")):
        done = _dvc(project, "repro", "--single-item", CODE_STAGE)
        if done.returncode:
            return _failed(done, stages)
    done = _dvc(project, "commit", "--force", *stages)
    if done.returncode:
        return _failed(done, stages)
    present = [name for name in (LOCK, CODE) if (project / name).is_file()]
    git.run("add", "--", *present, cwd=project)
    git.commit(project, message(stages))
    return True


def message(stages: Sequence[str]) -> str:
    """The commit message: what was accepted, and that nothing was run."""
    return (
        f"Keep the results of {len(stages)} stages\n\n"
        f"Not run again, although their code changed: {', '.join(stages)}.\n"
        "The update left their data and parameters as they were; `dvc commit --force` recorded it.\n"
        "To measure one anew: `dvc repro --force --single-item STAGE`.\n"
    )


def _dvc(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(project_env.python(project)), "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=project, env=project_env.environment(project), capture_output=True, text=True, check=False
    )


def _failed(done: subprocess.CompletedProcess[str], stages: Sequence[str]) -> bool:
    reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
    console.note(f"the results were not kept: {' '.join(reason)}")
    console.note(f"to keep them: `dvc repro --single-item {CODE_STAGE}`, then `dvc commit --force {' '.join(stages)}`")
    return False
