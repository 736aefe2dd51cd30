"""One function a command; each returns an exit code."""

import argparse
import datetime as dt
from typing import Any

from tunesmith import catalog as catalogue
from tunesmith import console
from tunesmith.decision import Advice
from tunesmith.questions import schema as spec_schema


def schema(_options: argparse.Namespace) -> int:
    """Print the JSON Schema."""
    console.as_json(spec_schema())
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
    today = dt.date.today()
    return {key: vars(row) | {"stale": row.stale(today)} for key, row in catalogue.hardware().items()}


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


def _hardware() -> None:
    rows = [
        (row.key, row.title, f"{row.memory_gib} GiB", "bf16" if row.bf16 else "no bf16", _price(row))
        for row in catalogue.hardware().values()
    ]
    console.table(("hardware", "title", "memory", "precision", "USD an hour (low, typical, high)"), rows)
    _warn_of_stale_prices()


def _prices() -> None:
    rows = [(row.key, _price(row), row.date, row.source) for row in catalogue.hardware().values()]
    console.table(("hardware", "USD an hour (low, typical, high)", "date", "source"), rows)
    _warn_of_stale_prices()


def _price(row: catalogue.Hardware) -> str:
    return ", ".join(f"{row.usd_per_hour[bound]:.3f}" for bound in ("low", "typical", "high"))


def _warn_of_stale_prices() -> None:
    stale = [row.key for row in catalogue.hardware().values() if row.stale(dt.date.today())]
    if stale:
        days = catalogue.STALE_AFTER_DAYS
        console.note(f"prices older than {days} days, check them before you rely on them: {', '.join(stale)}")


def _support() -> None:
    for state, title in (("impossible", "Impossible"), ("planned", "Planned, not built yet")):
        console.line(title)
        for rule in catalogue.support_rules()[state]:
            when = ", ".join(f"{key}: {' | '.join(values)}" for key, values in rule["when"].items())
            instead = ", ".join(f"{key}: {value}" for key, value in rule["instead"].items())
            console.line(f"  {when}\n    {rule['reason']}; instead {instead}")
    console.line("Everything else that the schema lists is built.")


def advise(options: argparse.Namespace) -> int:
    """Print the decision only."""
    from tunesmith.decision import advise as walk
    from tunesmith.intake import obtain

    spec = obtain(options, only_group="use_case")
    advice = walk(spec.answers)
    if options.json:
        console.as_json(
            advice_data(advice) | {"approach_of_spec": spec.answers["approach"], "agrees": advice.agrees(spec.answers)}
        )
        return 0
    print_advice(advice)
    approaches = catalogue.decision_tree()["approaches"]
    console.line()
    console.table(("approach", "cost", "latency", "quality"), [tuple(row.values()) for row in approaches.values()])
    return 0


def advice_data(advice: Advice) -> dict[str, Any]:
    """The advice for ``--json``."""
    path = [{"key": step.key, "ask": step.ask, "yes": step.yes, "otherwise": step.otherwise} for step in advice.path]
    return {"approach": advice.approach, "reason": advice.reason, "revisit": advice.revisit, "path": path}


def print_advice(advice: Advice) -> None:
    """The advice with the path to it."""
    console.line(f"Advice: {advice.approach}. {advice.reason}")
    for step in advice.path:
        console.line(f"  {step.ask} {'yes' if step.yes else 'no'} (otherwise: {step.otherwise})")
    console.line(f"Ask again {advice.revisit}.")


def new(options: argparse.Namespace) -> int:
    """Generate a project."""
    from tunesmith import intake, project
    from tunesmith.decision import advise as walk

    target = intake.target(options)
    project.check(target)
    spec = intake.obtain(options)
    advice = walk(spec.answers)
    if not advice.agrees(spec.answers):
        console.note(f"advice: {advice.approach}, not {spec.answers['approach']}. {advice.reason}")
        console.note("the choice is yours; DECISION.md has both")
    for key in intake.without_effect(spec):
        console.note(f"{key}: has no effect with the other answers, so its default is used")
    created = project.create(spec, target)
    if options.save_spec:
        intake.save(spec, options.save_spec)
    if options.json:
        console.as_json(
            {
                "path": str(created.path),
                "files": created.files,
                "committed": created.committed,
                "advice": advice_data(advice),
            }
        )
        return 0
    _print_created(created)
    return 0


def _print_created(created: Any) -> None:
    console.line(
        f"{created.path}: {created.files} files{', committed to its own git repository' if created.committed else ''}"
    )
    if not created.committed:
        console.line("it is a part of the repository around it; commit it there")
    if not created.own_identity:
        console.note(
            "git has no user.name and user.email here, so the first commit is by Tunesmith; set them for the next"
        )
    console.line(f"next:  cd {created.path}  &&  python3 environment.py  &&  python3 environment.py dvc repro")


def demo(options: argparse.Namespace) -> int:
    """Generate an example and run it."""
    from tunesmith.demo import run

    return run(options)


def data_add(options: argparse.Namespace) -> int:
    """Copy data into a project and track it."""
    from tunesmith.data import add

    added = add(options.file, options.directory)
    if options.json:
        console.as_json({"path": str(added.path), "lines": added.lines, "tracked": added.tracked})
        return 0
    console.line(f"{added.path}: {added.lines} lines, tracked by DVC")
    console.line("next:  python3 environment.py dvc repro")
    return 0
