"""The way for a git before 2.38, which cannot merge trees: copier's own update, with a way back saved first.

Copier's update loses edits to files that the template renamed or dropped, which is why it is the exception.
"""

from pathlib import Path

from tunesmith import console, git, render
from tunesmith.errors import AVAILABLE, CONFLICT, NotAProject
from tunesmith.manifest import ANSWERS, PARAMETERS
from tunesmith.update import answers as evolution
from tunesmith.update.plan import Project, Request
from tunesmith.update.source import Source, parse, refuse_newer

SAVED = "refs/tunesmith/before-update"


def run(project: Project, request: Request, scratch: Path, *, preview: bool, as_json: bool) -> int:
    """Say so, save the commit, let copier update; conflicts are left in the files and in the index."""
    recorded = project.answers()
    before = parse(str(recorded.get("_commit", "")))
    if before is None:
        raise NotAProject(project.path, f"{ANSWERS} names no version")
    refuse_newer(before, f"the template of {project.path}")
    source = Source.open(str(recorded.get("_src_path", "")), request.source, scratch)
    after, _ = source.target(request.to, before)
    available = after > before or bool(request.settings)
    console.note("git is older than 2.38 and cannot merge trees, so there is no preview per file")
    if preview or not available:
        facts = {"available": available, "from": str(before), "to": str(after)}
        console.as_json(facts) if as_json else console.line(f"template {before} -> {after}")
        return AVAILABLE if available else 0
    carried = evolution.carry(recorded, source.schema(after), str(project.path / ANSWERS))
    carried = evolution.with_extras_in_use(carried, project.read(PARAMETERS))
    if request.settings:
        carried = evolution.change(carried, request.settings, "--set")
    git.run("update-ref", SAVED, project.head, cwd=project.root)
    console.note("copier's own update follows, which can lose edits to files that the template renamed or dropped;")
    console.note(f"`git reset --hard {SAVED}` undoes it")
    render.update_in_place(source.origin, f"v{after}", project.path, carried.answers, scratch)
    unmerged = git.run("diff", "--name-only", "--diff-filter=U", cwd=project.root).splitlines()
    for path in unmerged:
        console.line(f"conflict: {path}")
    console.line(f"updated to template {after}; review with `git diff`, then commit")
    return CONFLICT if unmerged else 0
