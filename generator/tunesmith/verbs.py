"""One function a command; each returns an exit code."""

import argparse
import datetime as dt
import shlex
from collections.abc import Iterable
from typing import Any

from tunesmith import catalog as catalogue
from tunesmith import console
from tunesmith.costs import prices
from tunesmith.published import published_schema


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
        return {key: vars(row) for key, row in catalogue.models().items()}
    if name == "support":
        return catalogue.support_rules()
    if name == "hardware":
        return {key: vars(row) for key, row in catalogue.hardware().items()}
    return [
        {"section": section, "key": key, "unit": unit, **row._asdict(), "stale": row.old(dt.date.today())}
        for section, key, unit, row in prices.figures(prices.load())
    ]


def stale(rows: Iterable[catalogue.Model | catalogue.Hardware], today: dt.date) -> list[str]:
    """Rows whose figures nobody has looked at for 90 days; a user's own, undated, are not among them."""
    dated = ((row.key, str(row.figures["date"])) for row in rows)
    return [key for key, date in dated if date and prices.Figure(key, None, "", date).old(today)]


def _warn(rows: Iterable[catalogue.Model | catalogue.Hardware]) -> None:
    if old := stale(rows, dt.date.today()):
        console.note(f"figures older than {prices.OLD_PRICE_DAYS} days, check them: {', '.join(old)}")


def _models() -> None:
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
        for row in catalogue.models().values()
    ]
    console.table(("model", "parameters", "context", "licence", "access", "source", "id"), rows)
    _warn(catalogue.models().values())


def _hardware() -> None:
    rows = [
        (row.key, row.title, f"{row.memory_gib} GiB", "bf16" if row.bf16 else "no bf16")
        for row in catalogue.hardware().values()
    ]
    console.table(("hardware", "title", "memory", "precision"), rows)
    _warn(catalogue.hardware().values())


def _prices() -> None:
    today, everything = dt.date.today(), list(prices.figures(prices.load()))
    rows = [(section, key, unit, _band(row), row.date, row.source) for section, key, unit, row in everything]
    console.table(("section", "key", "unit", "low, typical, high", "date", "source"), rows)
    if stale := list(dict.fromkeys(key for _, key, _, row in everything if row.old(today))):
        days = prices.OLD_PRICE_DAYS
        console.note(
            f"prices undated or older than {days} days, check them before you rely on them: {', '.join(stale)}"
        )


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
    from tunesmith import advising
    from tunesmith.intake import data_folders, estimated
    from tunesmith.planner import counting

    spec = estimated(options, only_group="use_case")
    rows, unread = counting.of_data(spec.answers, spec.pins, options.data, data_folders(options))
    advised = advising.advised(spec, options.prices, rows)
    if unread:
        console.note(unread)
    if options.json:
        console.as_json(advising.as_data(advised))
    else:
        advising.show(advised, sources=options.sources)
    return 0


def plan(options: argparse.Namespace) -> int:
    """Print what training takes."""
    from tunesmith.plan_report import run

    return run(options)


def new(options: argparse.Namespace) -> int:
    """Generate a project."""
    from tunesmith import advising, intake, project
    from tunesmith.decision import advise as walk

    target = intake.target(options)
    project.check(target)
    spec = intake.obtain(options)
    advice = walk(spec.answers)
    if not advice.agrees(spec.answers):
        console.note(f"advice: {advice.approach}, not {spec.answers['approach']}. {advice.reason}")
        console.note("the choice is yours; DECISION.md has both")
    from tunesmith.plan_report import note_of

    for note in note_of(spec):
        console.note(note)
    for key in intake.without_effect(spec):
        console.note(f"{key}: has no effect with the other answers, so its default is used")
    if options.save_spec:
        intake.save(spec, options.save_spec)
    created = project.create(spec, target)
    if options.json:
        console.as_json(
            {
                "path": str(created.path),
                "files": created.files,
                "committed": created.committed,
                "advice": advising.advice_data(advice, spec.answers),
            }
        )
        return 0
    _print_created(created, own_data=spec.answers["example"] == "none")
    return 0


def _print_created(created: Any, *, own_data: bool) -> None:
    place = ", committed to its own git repository" if created.committed else ""
    console.line(f"{created.path}: {created.files} files{place}")
    if not created.committed:
        console.line(f"they belong to the git repository {created.repository}; commit them there")
        if created.repository != created.path and (created.path / ".github").is_dir():
            console.note(f"GitHub reads workflows at the root only: move .github/ to {created.repository} to have CI")
    if not created.own_identity:
        console.note(
            "git has no user.name and user.email here, so the first commit is by Tunesmith; set them for the next"
        )
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
    before = ", in place of the earlier data; the frozen benchmark keeps its items" if added.replaced else ""
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
    from tunesmith import intake

    path = options.directory.resolve()
    adopted = adoption.adopt(path, intake.obtain(options), options.branch)
    if options.json:
        console.as_json(vars(adopted))
        return 0
    for name in adopted.collisions:
        console.line(f"kept yours: {name}    (`git show {adoption.RENDERED}:{name}` is the template's)")
        for line in adopted.missing.get(name, ()):
            console.line(f"  it lacks: {line}")
    console.line(
        f"{len(adopted.added)} files added on branch {adopted.branch}, {len(adopted.collisions)} kept as yours"
    )
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
        console.line(f"without our steps: {', '.join(ejected.edited)}")
    for mention in ejected.mentions:
        console.note(f"still names Tunesmith: {mention}")
    console.line("committed; nothing of Tunesmith is needed from here on, and `git revert HEAD` takes it back")
    return 0
