"""The command `plan`: what a spec or a project takes, in words or as one JSON value."""

import argparse
import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tunesmith import advice, advice_report, console, spec_input
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costs import prices
from tunesmith.costs.prices import OLD_PRICE_DAYS, Figure
from tunesmith.errors import FINDINGS
from tunesmith.planner import project_reader
from tunesmith.planner.memory import USABLE
from tunesmith.planner.plan import HOUR, Plan, plan
from tunesmith.planner.plan_inputs import SCENARIO
from tunesmith.tokens import count


def run(options: argparse.Namespace) -> int:
    """Print the plan; 0 when everything fits, 4 when training's P90 or the evaluation does not."""
    made, listed, notes = _made(options)
    notes = (*notes, *_stale(made, dt.date.today()))
    try:
        owned = advice.owned(made, listed)
    except prices.PriceError as error:
        owned, notes = [], (*notes, f"no cost to own: {error.what}; {error.fix}")
    if options.json:
        console.as_json(data(made, notes=notes) | {"cost_to_own": [advice_report.estimate_data(row) for row in owned]})
    else:
        _print(made)
        if owned:
            console.line()
            advice_report.print_owned(owned, made.answers)
        for note in notes:
            console.note(note)
    return 0 if made.fits else FINDINGS


def _made(options: argparse.Namespace) -> tuple[Plan, Mapping[str, Any], tuple[str, ...]]:
    """The plan, the price list, and notes."""
    measured = project_reader.calibration(options.calibration) if options.calibration else None
    scenario = {key: value for key in SCENARIO if (value := getattr(options, key)) not in ("", None)}
    scenario = {key: value for key, value in scenario.items() if value is not False}
    beyond = [f"this version cannot generate: {_words(scenario)}"] if scenario else []
    if options.directory:
        found = project_reader.project(options.directory)
        catalogue, answers, pins = found.catalogue, {**found.answers, **scenario}, found.pins
        counted, notes = found.counted, list(found.notes)
        listed = prices.load(catalogue, options.prices or found.prices)
        measured = measured or (None if scenario else found.measured)
        pins = {key: value for key, value in pins.items() if key != "sharding" or "devices" not in scenario}
        folders = [options.directory]
    else:
        spec = spec_input.estimated(options)
        catalogue, answers, pins = spec.catalogue, {**spec.answers, **scenario}, spec.pins
        counted, notes = None, list[str]()
        listed, folders = prices.load(catalogue, options.prices), spec_input.data_folders(options)
    rows = None
    if options.data or not counted:
        rows, unread = count.of_data(catalogue, answers, pins, options.data, folders)
        notes += filter(None, [unread])
    made = plan(
        catalogue,
        answers,
        pins,
        counted=None if rows else counted,
        rows_counted=rows,
        measured=measured,
        prices=prices.machines(listed),
    )
    if not made.machine.installable:
        beyond.append(_no_torch(made))
    if made.measured and made.time.utilisation > 1:
        share = f"{made.time.utilisation:.0%} of what {made.machine.title} can do at most"
        beyond.append(f"{made.measured.source}: {share}; it was measured on another machine, model or setup")
    return made, listed, (*_untrained(made, answers), *notes, *cut_answers(answers), *beyond)


def _no_torch(made: Plan) -> str:
    return f"{made.machine.title}: the locks of generated projects have no build of torch for it; install your own"


def cut_answers(answers: Mapping[str, Any]) -> list[str]:
    """A warning where the spec's own answers are longer than the benchmark lets an arm write."""
    written, longest = int(answers["answer_tokens"]), int(answers["max_new_tokens"])
    if written <= longest:
        return []
    return [f"max_new_tokens: {longest} would truncate answers of {written} tokens (answer_tokens) in the evaluation"]


def _untrained(made: Plan, answers: Mapping[str, Any]) -> tuple[str, ...]:
    return () if made.trains else (f"the approach {answers['approach']} trains nothing",)


def _words(scenario: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" if value is not True else key for key, value in scenario.items())


def _stale(made: Plan, today: dt.date) -> list[str]:
    """Warnings about figures that nobody has looked at for 90 days."""
    dates = {f"the figures of {made.machine.title}": str(made.machine.figures["date"])}
    if made.price:
        dates[f"the price of {made.machine.title}"] = made.price.date
    if made.model.row:
        dates[f"the figures of {made.model.key}"] = str(made.model.row.figures["date"])
    return [
        f"{what}: read on {date}, more than {OLD_PRICE_DAYS} days ago; check it"
        for what, date in dates.items()
        if date and Figure(what, None, "", date).old(today)
    ]


def short_notes(made: Plan) -> list[str]:
    """For `new`: the plan in one line, its warnings, and what would make it fit if it does not."""
    lines = [f"plan: {headline(made)}"] if made.trains or not made.fits else []
    if lines and not made.model.known:
        lines.append(f"plan: a guess; {made.model.source}")
    if not made.machine.installable:
        lines.append(_no_torch(made))
    lines += cut_answers(made.answers)
    if not made.fits and made.changes:
        lines.append(f"plan: it would fit with {made.changes[0].what}; `tunesmith plan` lists the other ways")
    return lines


def headline(made: Plan) -> str:
    """Fit, time and money in one line."""
    place = f"of {made.model.key} {{}} on {_machine(made)}"
    answering = f"answering the benchmark takes {made.evaluation.high:.1f} GiB of {made.machine.memory_gib:g} GiB"
    if not made.trains:
        return f"evaluation {place.format('fits' if made.fits else 'does not fit')}: {answering}"
    hours = f"{_hours(made.hours.typical)} ({_hours(made.hours.low)} to {_hours(made.hours.high)})"
    money = f", USD {_usd(made.money)}" if made.money else f", {_no_price(made)}"
    return (
        f"{made.method} {place.format('fits' if made.fits else 'does not fit')}: "
        f"{made.memory.high:.1f} GiB at the P90 of {made.machine.memory_gib:g} GiB; {hours}{money}"
        f"{'' if made.evaluation_fits else f'; {answering}'}"
    )


def _no_price(made: Plan) -> str:
    return f"no price known for {made.machine.key}"


def _machine(made: Plan) -> str:
    count = f"{made.setup.devices} x " if made.trains and made.setup.devices > 1 else ""
    return f"{count}{made.machine.title}"


def _hours(hours: float) -> str:
    if hours * 60 < 1:
        return f"{hours * HOUR:.2g} s"
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def _terms(made: Plan) -> str:
    """What the model may be used for, and whether its weights are asked for first; or what it was taken for."""
    row = made.model.row
    if row is None:
        return f" ({made.model.source})"
    return f"; {row.licence}{', gated: accept its terms on its page first' if row.gated else ''}"


def _usd(money: Band) -> str:
    digits = 2 if money.typical >= 0.1 else 3
    return f"{money.typical:.{digits}f} ({money.low:.{digits}f} to {money.high:.{digits}f})"


def _print(made: Plan) -> None:
    console.line(f"Model    {made.model.key}: {made.model.shape.parameters / 1e9:.2f} B parameters{_terms(made)}")
    console.line(f"Machine  {_machine(made)}, {made.machine.memory_gib:g} GiB, {made.machine.tflops:g} TFLOPS")
    console.line()
    if made.trains:
        _print_memory(made)
        _print_time(made)
    _print_inference(made)
    _print_changes(made)
    if made.trains:
        console.line()
        rows = [(key, made.knobs[key], _reason(key, made)) for key in made.choices if not key.startswith("model_")]
        console.table(("knob", "value", "why"), rows)


def _reason(key: str, made: Plan) -> str:
    choice = made.choices[key]
    if key not in made.pins:
        return choice.reason
    same = made.knobs[key] == choice.value
    return "pinned to the planner's choice" if same else f"pinned; the planner would choose {choice.value}"


def _print_memory(made: Plan) -> None:
    setup = made.setup
    console.line(f"Memory of training with {made.method}, {setup.micro_batch} rows of {setup.length} tokens")
    if setup.devices > 1:
        console.line(f"  on each of {setup.devices} devices ({setup.sharding})")
    rows = [(name, f"{value:8.2f} GiB") for name, value in made.memory.terms.items()]
    for name, value in rows:
        console.line(f"  {name:18}{value}")
    low, typical, high = made.memory.low, made.memory.typical, made.memory.high
    console.line(f"  {'sum':18}{typical:8.2f} GiB, P10 to P90 {low:.2f} to {high:.2f}")
    usable = made.machine.memory_gib * USABLE
    verdict = "fits" if made.training_fits else "tight: the P90 does not fit" if typical <= usable else "does not fit"
    console.line(
        f"  {verdict}: {usable:.1f} GiB of {made.machine.memory_gib:g} can be used; largest: {made.memory.dominant}"
    )
    if made.host:
        held = ", ".join(f"{name} {value:.1f}" for name, value in made.host.terms.items())
        console.line(f"  of the host: {made.host.low:.1f} to {made.host.high:.1f} GiB ({held}); not in the verdict")
    if not made.framework.fitted_rows:
        title = made.framework.title
        console.line(f"  a wide band, because nobody has published peaks of {title}")
    if made.measured and made.measured.peak_gib:
        off = 100 * (typical / made.measured.peak_gib - 1)
        console.line(
            f"  measured {made.measured.peak_gib:.2f} GiB: the estimate is {off:+.0f} % off ({made.measured.source})"
        )
    console.line()


def _print_time(made: Plan) -> None:
    hours, tokens, duration = made.hours, made.tokens, made.time
    band = f"{_hours(hours.low)} to {_hours(hours.high)}"
    console.line(f"Time     {_hours(hours.typical)} of device time ({band}), without evaluation and loading")
    if made.setup.devices > 1:
        console.line(f"  {_hours(duration.typical / HOUR)} on the clock, for {made.setup.devices} devices work at once")
    console.line(f"  {tokens.typical:,.0f} tokens ({tokens.source})")
    console.line(
        f"  {duration.tokens_per_second:,.0f} tokens per second; {duration.utilisation:.0%} of the peak; "
        f"{duration.padding:.2f} tokens are computed per token of the data ({made.padded})"
    )
    if duration.calibrated:
        source = made.measured.source if made.measured else ""
        console.line(f"  calibrated by {source}: {duration.calibrated:.2f} times the estimated speed")
    if made.money and made.price:
        money, price = made.money, made.price
        console.line(f"Money    USD {_usd(money)}")
        console.line(f"  {price.source}, {price.date or 'undated'}")
    else:
        console.line(f"Money    {_no_price(made)}")
    console.line()


def _print_changes(made: Plan) -> None:
    if made.fits:
        return
    console.line()
    console.line("What would make it fit, cheapest first")
    for change in made.changes:
        cost = f"USD {change.usd:.2f}" if change.usd != float("inf") else "no price known"
        console.line(f"  {change.what}: {change.high_gib:.1f} of {change.memory_gib:g} GiB, {cost}")
    if not made.changes:
        console.line(
            "  no one or two changes of method, length, model and device are enough; it needs several machines"
        )


def _print_inference(made: Plan) -> None:
    answering, usable = made.evaluation, made.machine.memory_gib * USABLE
    verdict = "fits" if made.evaluation_fits else f"does not fit: {usable:.1f} GiB can be used"
    terms = ", ".join(f"{name} {value:.2f}" for name, value in answering.terms.items())
    prompts = f"{answering.requests} prompt{'' if answering.requests == 1 else 's'}"
    console.line(f"Memory of answering the benchmark, {prompts} at a time, untrained or merged weights")
    console.line(f"  {answering.typical:.2f} GiB, at most {answering.high:.2f} ({terms}); {verdict}")
    serving = made.inference
    terms = ", ".join(f"{name} {value:.2f}" for name, value in serving.terms.items())
    console.line(
        f"Memory of serving one request at a time: {serving.typical:.2f} GiB, at most {serving.high:.2f} ({terms})"
    )
    console.line(f"  each further open request takes {serving.per_request * 1024:.0f} MiB")


def data(made: Plan, *, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """The plan for ``--json``: GiB, seconds, hours and US dollars, bands as low, typical and high."""
    training = {
        "memory_gib": asdict(made.memory) | {"usable": made.machine.memory_gib * USABLE},
        "host_gib": asdict(made.host) if made.host else None,
        "fits": made.training_fits,
        "dominant": made.memory.dominant,
        "tokens": asdict(made.tokens),
        "seconds": asdict(made.time),
        "device_hours": made.hours._asdict(),
        "usd": made.money._asdict() if made.money else None,
        "choices": {key: _choice(key, made) for key in made.choices},
        "measured": asdict(made.measured) if made.measured else None,
    }
    return {
        "model": {"key": made.model.key, "parameters": made.model.shape.parameters, "source": made.model.source},
        "machine": {"key": made.machine.key, "title": made.machine.title, "memory_gib": made.machine.memory_gib},
        "method": made.method,
        "framework": made.framework.key,
        "devices": made.setup.devices,
        "sharding": made.setup.sharding,
        "fits": made.fits,
        "changes": [asdict(change) for change in made.changes],
        "training": training if made.trains else None,
        "evaluation_gib": asdict(made.evaluation) | {"fits": made.evaluation_fits},
        "inference_gib": asdict(made.inference),
        "notes": list(notes),
    }


def _choice(key: str, made: Plan) -> Mapping[str, Any]:
    return {"value": made.knobs[key], "planned": made.choices[key].value, "reason": _reason(key, made)}
