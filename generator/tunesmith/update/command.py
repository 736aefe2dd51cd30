"""`tunesmith update`: preview, apply, continue, abort."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith import console, git
from tunesmith.errors import AVAILABLE, CONFLICT, UpdateState, WriteFailed
from tunesmith.update import apply, copier_fallback, keep_results, preview
from tunesmith.update.plan import Plan, Project, Request, prepare
from tunesmith.update.state import CONFLICT as LAID_OUT
from tunesmith.update.state import Store
from tunesmith.update.worktree import TakenBack, free_branch, remove_merged

OLDEST_GIT = (2, 38)  # the first with `merge-tree --write-tree`


def run(options: argparse.Namespace) -> int:
    """The exit code: 0 done, 3 conflicts, 5 an upgrade is available (preview)."""
    if options.resume or options.abort or options.forget:
        return _finish(options)
    if not options.preview:
        apply.refuse_two(git.repository(options.directory))
    project = Project.open(options.directory.resolve())
    if not options.preview:
        apply.check_ready(project.root)
    ask = _ask if console.interactive() and not options.defaults and not options.preview else None
    request = Request(options.set, options.to, options.source, ask)
    try:
        return _planned(project, request, options)
    except OSError as error:
        raise WriteFailed(project.path, error.strerror or str(error)) from error


def _planned(project: Project, request: Request, options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tunesmith.") as scratch:
        if git.version() < OLDEST_GIT:
            return copier_fallback.run(project, request, Path(scratch), preview=options.preview, as_json=options.json)
        plan = prepare(project, request, Path(scratch), read_only=options.preview)
        if options.preview:
            return _preview(plan, options)
        return _update(plan, options)


def _ask(key: str, default: Any) -> Any:
    """The answer to a question that the project has not been asked yet, on the terminal."""
    from tunesmith import catalog, wizard
    from tunesmith.questions import questions

    return wizard.ask_one(catalog.load(), questions()[key], default) if key in questions() else default


def _preview(plan: Plan, options: argparse.Namespace) -> int:
    if options.json:
        console.as_json(preview.as_data(plan) | ({"diff": preview.content(plan)} if options.diff else {}))
    else:
        changed = apply.uncommitted(plan.project.root)
        if changed:
            console.note(f"uncommitted changes are not part of this preview: {', '.join(changed[:5])}")
        preview.show(plan, diff=options.diff)
        if plan.available:
            console.line("\nnothing was changed; run the same command without --preview to update")
    return AVAILABLE if plan.available else 0


def _update(plan: Plan, options: argparse.Namespace) -> int:
    _remove_merged(plan.project.root)
    if not plan.available:
        _report(plan, options, "")
        return 0
    branch = "" if options.here else free_branch(plan.project.root, options.branch or f"template/{plan.after}")
    keep = _kept(plan, options.keep_results, ask=console.interactive() and not options.json and not options.defaults)
    apply.apply(plan, branch, preview.message(plan), keep)
    kept = keep_results.accept(plan.project.path, keep) if keep and not plan.merged.stages else False
    _report(plan, options, branch, keep if kept else ())
    return CONFLICT if plan.merged.stages else 0


def _kept(plan: Plan, wanted: bool | None, *, ask: bool) -> list[str]:
    """Stages whose results are kept: up to date now, and left alone by the update."""
    able = [name for name, reason in plan.unkept.items() if not reason]
    if wanted is False or not able or (wanted is None and not ask):
        return []
    current = keep_results.up_to_date(plan.project.path)
    if current is None and wanted:
        console.note("no results to keep: the project has no environment, or no dvc.lock")
    keep = [name for name in able if name in (current or ())]
    if not keep or wanted:
        return keep
    from tunesmith import wizard

    return keep if wizard.keep_results(keep) else []


def _report(plan: Plan, options: argparse.Namespace, branch: str, kept: Sequence[str] = ()) -> None:
    if options.json:
        console.as_json(preview.as_data(plan) | {"branch": branch or None, "kept_results": list(kept)})
        return
    preview.show(plan, diff=options.diff)
    if not plan.available:
        return
    if kept:
        console.line(f"\nresults kept, not run again: {', '.join(kept)}")
    where = f"on branch {branch}" if branch else "on this branch"
    if plan.merged.stages:
        console.line(f"\n{where}, with conflicts. Resolve them, `git add` each, then `tunesmith update --continue`;")
        console.line("`tunesmith update --abort` undoes the update")
    else:
        console.line(
            f"\ncommitted {where}"
            + (f", which is checked out now; accept it with `git switch - && git merge {branch}`" if branch else "")
        )


def _remove_merged(root: Path) -> None:
    for branch in remove_merged(root):
        console.note(f"removed the merged branch {branch} of an earlier update")


def _refuse_sibling(root: Path, directory: Path) -> None:
    """An update of another project of the repository is ended from there."""
    state = Store.of(root).read()
    if state and git.run("rev-parse", "--show-prefix", cwd=directory) != state.prefix:
        place = root / state.prefix
        raise UpdateState(f"the update in progress is one of {place}", f"run the command on that project: {place}")


def _finish(options: argparse.Namespace) -> int:
    root = git.repository(options.directory)
    _refuse_sibling(root, options.directory)
    back = TakenBack()
    if options.abort:
        state, back = apply.abort(root)
    else:
        state = apply.resume(root) if options.resume else apply.forget(root)
    left = options.resume and state.phase == LAID_OUT and apply.in_progress(root)
    if options.resume and not left and state.keep:
        keep_results.accept(root / state.prefix, state.keep)
    if not left:
        _remove_merged(root)
    done = "aborted" if options.abort else "done" if options.resume else "forgotten; no file was changed"
    words = "conflicts are in the work tree; resolve them and continue" if left else done
    if options.json:
        console.as_json({"version": state.version, "state": words, "left": back.left, "kept": back.kept})
    elif options.abort:
        console.line("aborted: every file, the index and the branch are restored")
        if back.left:
            console.line(f"written since the update began, so left as they are: {', '.join(back.left)}")
        for ref in back.kept:
            console.line(f"what it replaced is kept: git diff {state.head[:12]} {ref}")
    else:
        console.line(f"template {state.version}: {words}")
    return CONFLICT if left else 0
