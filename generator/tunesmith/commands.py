"""One function a command; each returns an exit code."""

import argparse
import datetime as dt
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunesmith import catalog as catalogue
from tunesmith import console
from tunesmith.costs import prices
from tunesmith.json_schema import published_schema


def schema(_options: argparse.Namespace) -> int:
    """Print the JSON Schema, support matrix included."""
    console.as_json(published_schema())
    return 0


def catalog(options: argparse.Namespace) -> int:
    """Print catalogues."""
    names = [options.what] if options.what else ["models", "hardware"]
    if options.json:
        console.as_json({name: _catalogue_data(name) for name in names})
        return 0
    for position, name in enumerate(names):
        if position:
            console.line()
        {"models": _models, "hardware": _hardware, "prices": _prices, "support": _support}[name]()
    return 0


def _catalogue_data(name: str) -> Any:
    if name == "models":
        return {key: vars(row) for key, row in catalogue.load().models.items()}
    if name == "support":
        return catalogue.support_rules()
    if name == "hardware":
        return {key: vars(row) for key, row in catalogue.load().hardware.items()}
    return [
        {"section": section, "key": key, "unit": unit, **row._asdict(), "stale": row.old(dt.date.today())}
        for section, key, unit, row in prices.figures(prices.load(catalogue.load()))
    ]


def stale(rows: Iterable[catalogue.Model | catalogue.Hardware], today: dt.date) -> list[str]:
    """Rows whose figures nobody has looked at for 90 days; a user's own, undated, are not among them."""
    dated = ((row.key, str(row.figures["date"])) for row in rows)
    return [key for key, date in dated if date and prices.Figure(key, None, "", date).old(today)]


def _warn(rows: Iterable[catalogue.Model | catalogue.Hardware]) -> None:
    if old := stale(rows, dt.date.today()):
        console.note(f"check these figures, which are older than {prices.OLD_PRICE_DAYS} days: {', '.join(old)}")


def _models() -> None:
    listed = catalogue.load().models.values()
    rows = [
        (
            row.key,
            f"{row.parameters / 1e9:.2f} B",
            f"{row.context_length:,}",
            row.licence,
            "gated" if row.gated else "open",
            row.source,
            row.id,
        )
        for row in listed
    ]
    console.table(("model", "parameters", "context", "licence", "access", "source", "id"), rows)
    _warn(listed)


def _hardware() -> None:
    listed = catalogue.load().hardware.values()
    rows = [(row.key, row.title, f"{row.memory_gib} GiB", "bf16" if row.bf16 else "no bf16") for row in listed]
    console.table(("hardware", "title", "memory", "precision"), rows)
    _warn(listed)


def _prices() -> None:
    today, everything = dt.date.today(), list(prices.figures(prices.load(catalogue.load())))
    rows = [(section, key, unit, _band(row), row.date, row.source) for section, key, unit, row in everything]
    console.table(("section", "key", "unit", "low, typical, high", "date", "source"), rows)
    if stale := list(dict.fromkeys(key for _, key, _, row in everything if row.old(today))):
        days = prices.OLD_PRICE_DAYS
        console.note(f"check these prices, which have no date or are older than {days} days: {', '.join(stale)}")


def _band(row: prices.Figure) -> str:
    if row.amount is None:
        return "unknown"
    same = row.amount.low == row.amount.high
    return f"{row.amount.typical:g}" if same else ", ".join(f"{bound:g}" for bound in row.amount)


def _support() -> None:
    for state, title in (("impossible", "Impossible"), ("planned", "Planned, not built yet")):
        console.line(title)
        for rule in catalogue.support_rules()[state]:
            when = ", ".join(f"{key}: {' | '.join(map(str, values))}" for key, values in rule["when"].items())
            instead = ", ".join(f"{key}: {value}" for key, value in rule["instead"].items())
            console.line(f"  {when}\n    {rule['reason']}; instead {instead}")
    console.line("Everything else that the schema lists is built.")


def advise(options: argparse.Namespace) -> int:
    """Print the decision, and what each approach would cost."""
    from tunesmith import advice_report
    from tunesmith.advice import assess
    from tunesmith.spec_input import data_folders, estimated
    from tunesmith.tokens import count

    spec = estimated(options, only_group="use_case")
    rows, unread = count.of_data(spec.catalogue, spec.answers, spec.pins, options.data, data_folders(options))
    assessment = assess(spec, options.prices, rows)
    if unread:
        console.note(unread)
    if options.json:
        console.as_json(advice_report.as_data(assessment))
    else:
        advice_report.show(assessment, sources=options.sources)
    return 0


def plan(options: argparse.Namespace) -> int:
    """Print what training takes."""
    from tunesmith.plan_report import run

    return run(options)


def new(options: argparse.Namespace) -> int:
    """Generate a project."""
    from tunesmith import advice_report, plan_report, project, spec_input
    from tunesmith.copier_answers import answers_for
    from tunesmith.decision import advise as walk
    from tunesmith.planner import plan as planner

    target = spec_input.target(options)
    project.check(target)
    spec = spec_input.obtain(options)
    advice = walk(spec.answers)
    if not advice.agrees(spec.answers):
        console.note(f"advice: {advice.approach}, not {spec.answers['approach']}. {advice.reason}")
        console.note("the choice is yours; DECISION.md records both")
    made = planner.plan(spec.catalogue, spec.answers, spec.pins, prices=prices.machines(prices.load(spec.catalogue)))
    for note in plan_report.short_notes(made):
        console.note(note)
    for key in spec_input.without_effect(spec):
        console.note(f"{key}: has no effect with the other answers; its default is used")
    if options.save_spec:
        spec_input.save(spec, options.save_spec)
    created = project.create(answers_for(spec, made), target)
    remote = _remote(spec, created.path)
    if options.json:
        console.as_json(
            {
                "path": str(created.path),
                "files": created.files,
                "committed": created.committed,
                "dvc_remote": remote,
                "advice": advice_report.advice_data(advice, spec),
            }
        )
        return 0
    _print_created(created, own_data=spec.answers["example"] == "none", remote=remote)
    return 0


def _remote(spec: Any, path: Path) -> str:
    """Where `dvc push` copies results: what the spec says, or the template's default, a folder beside the project."""
    return str(spec.answers["dvc_remote"] or path.parent / f"{spec.answers['project_name']}-storage")


def _print_created(created: Any, *, own_data: bool, remote: str) -> None:
    place = ", committed to its own git repository" if created.committed else ""
    console.line(f"{created.path}: {created.files} files{place}")
    if not created.committed:
        console.line(f"they are part of the git repository {created.repository}; commit them there")
        if created.repository != created.path and (created.path / ".github").is_dir():
            console.note(f"GitHub reads workflows only at the root: move .github/ to {created.repository} for CI")
    if not created.own_identity:
        console.note(
            "git has no user.name and user.email here, so the first commit is by Tunesmith; set them for the next"
        )
    console.line(f"`dvc push` copies results to {remote}; another place: dvc remote modify storage url URL")
    console.line(f"next:  cd {shlex.quote(str(created.path))}")
    if own_data:
        console.line("       tunesmith data add YOUR_FILE  &&  git commit -m 'Add data'")
    console.line("       python3 environment.py dvc repro")


def demo(options: argparse.Namespace) -> int:
    """Generate an example and run it."""
    from tunesmith.demo import run

    return run(options)


def data_add(options: argparse.Namespace) -> int:
    """Copy data into a project and track it."""
    from tunesmith.data import add

    added = add(options.file, options.directory)
    if options.json:
        console.as_json(vars(added) | {"path": str(added.path)})
        return 0
    before = "; it replaces the earlier data, and the frozen benchmark keeps its items" if added.replaced else ""
    files = f"{added.files} files, " if added.files > 1 else ""
    console.line(f"{added.path}: {files}{added.size_bytes:,} bytes, tracked by DVC{before}")
    console.line('next:  git commit -m "Add data"  &&  python3 environment.py dvc repro')
    return 0


def update(options: argparse.Namespace) -> int:
    """Merge a newer template or changed answers into a project."""
    from tunesmith.update.command import run

    return run(options)


def doctor(options: argparse.Namespace) -> int:
    """Check a project by numbered rules."""
    from tunesmith.doctor.command import run

    return run(options)


def adopt(options: argparse.Namespace) -> int:
    """Bring an existing repository under the template."""
    from tunesmith import adopt as adoption
    from tunesmith import spec_input
    from tunesmith.copier_answers import answers_for
    from tunesmith.planner import plan as planner

    path, spec = options.directory.resolve(), spec_input.obtain(options)
    made = planner.plan(spec.catalogue, spec.answers, spec.pins, prices={})
    adopted = adoption.adopt(path, answers_for(spec, made), options.branch)
    if options.json:
        console.as_json(vars(adopted))
        return 0
    for name in adopted.collisions:
        console.line(f"kept yours: {name}    (`git show {adoption.RENDERED}:{name}` shows the template's)")
        for line in adopted.missing.get(name, ()):
            console.line(f"  it lacks: {line}")
    console.line(
        f"{len(adopted.added)} files added on branch {adopted.branch}, {len(adopted.collisions)} kept as yours"
    )
    return 0


def selftest(options: argparse.Namespace) -> int:
    """Exit code of pytest."""
    from tunesmith import selftest as tests

    return tests.selftest(options.directory.resolve(), options.pytest)


def tool(options: argparse.Namespace) -> int:
    """Exit code of a tool; without a name, the list of the tools."""
    from tunesmith import tool as tools

    if options.command:
        return tools.run(options.project.resolve(), options.command[0], options.command[1:])
    if options.json:
        console.as_json(tools.TOOLS)
    else:
        console.table(("tool", "does"), tools.TOOLS.items())
    return 0


def eject(options: argparse.Namespace) -> int:
    """Make a project independent of the template."""
    from tunesmith import eject as ejection

    ejected = ejection.eject(options.directory.resolve())
    if options.json:
        console.as_json(vars(ejected))
        return 0
    console.line(f"removed: {', '.join(ejected.removed)}")
    if ejected.edited:
        console.line(f"without Tunesmith's steps: {', '.join(ejected.edited)}")
    for mention in ejected.mentions:
        console.note(f"still names Tunesmith: {mention}")
    console.line("committed; the project no longer needs Tunesmith, and `git revert HEAD` undoes this")
    return 0
