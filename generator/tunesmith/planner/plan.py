"""A whole plan: memory, fit, time, GPU-hours and money of a spec or a project, before anything runs."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from tunesmith.catalog import Catalogue, Hardware
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costing.price_list import Figure
from tunesmith.planner import throughput
from tunesmith.planner.host_memory import HostMemory, host_memory
from tunesmith.planner.inference import InferenceMemory, inference_memory
from tunesmith.planner.memory import MemoryEstimate, estimate
from tunesmith.planner.plan_inputs import (
    PlannedModel,
    RowLengths,
    Tokens,
    evaluation,
    planned_model,
    profile_of,
    row_from_spec,
    setup_for,
    tokens_of,
)
from tunesmith.planner.resolve import Choice, planned, resolve
from tunesmith.planner.throughput import TimeEstimate
from tunesmith.planner.training_setup import ImpossibleSetup, Profile, Setup
from tunesmith.questions import questions

TRAINED = ("finetune", "rag_finetune")
HOUR = 3600


@dataclass(frozen=True)
class Measured:
    """A short or whole run of the same setup: tokens of data a second, and peak memory in GiB (0 where not known)."""

    tokens_per_second: float
    peak_gib: float
    source: str


@dataclass(frozen=True)
class Change:
    """What in the spec would make the run fit, one change or two; ``usd`` is the typical cost of training with it."""

    settings: Mapping[str, Any]
    what: str
    high_gib: float
    memory_gib: float
    usd: float


@dataclass(frozen=True)
class Plan:
    """Everything that ``tunesmith plan`` prints.

    ``knobs`` are what runs: the ``pins``, then the planner's ``choices``; of a pinned knob the choice is what the
    planner would have taken without any pin.
    """

    catalogue: Catalogue
    answers: Mapping[str, Any]
    model: PlannedModel
    machine: Hardware
    price: Figure | None  # of an hour of one device
    method: str
    framework: Profile
    knobs: Mapping[str, Any]
    pins: Mapping[str, Any]
    choices: Mapping[str, Choice]
    setup: Setup
    memory: MemoryEstimate
    trains: bool
    evaluation: InferenceMemory  # of the stages that answer the benchmark
    tokens: Tokens
    time: TimeEstimate
    hours: Band  # device-hours
    money: Band | None  # US dollars
    inference: InferenceMemory
    host: HostMemory | None  # beside graphics cards; a processor's memory is the host's
    changes: tuple[Change, ...]
    measured: Measured | None
    packed: bool = False

    @property
    def padded(self) -> str:
        """How rows come to one length, in words."""
        return "packed" if self.packed else "padded, not packed"

    @property
    def training_fits(self) -> bool:
        """Whether the P90 of training fits, or nothing is trained."""
        return not self.trains or self.memory.fits(self.machine.memory_gib)

    @property
    def evaluation_fits(self) -> bool:
        """Whether the benchmark can be answered."""
        return self.evaluation.fits(self.machine.memory_gib)

    @property
    def fits(self) -> bool:
        """Whether every stage fits."""
        return self.training_fits and self.evaluation_fits


def plan(
    catalogue: Catalogue,
    answers: Mapping[str, Any],
    pins: Mapping[str, Any],
    *,
    counted: Mapping[str, Any] | None = None,
    rows_counted: RowLengths | None = None,
    measured: Measured | None = None,
    prices: Mapping[str, Figure],
) -> Plan:
    """Plan a spec (its answers and pins), or a project (its params.yaml as answers and pins).

    ``counted`` and ``rows_counted``: see `tokens_of`. ``prices``: US dollars for an hour of one device, by machine;
    without a price there is no money in the plan, and nothing else changes.

    Raises:
        FileProblem, UnsupportedConfig: the config.json of a custom model cannot be read or modelled.
        ImpossibleSetup: the pins contradict one another.
    """
    choices = planned(catalogue, answers, pins)
    knobs = {key: choice.value for key, choice in choices.items()} | dict(pins)
    model, machine = planned_model(catalogue, {**answers, **pins}), catalogue.hardware[answers["hardware"]]
    setup = setup_for(answers, knobs, machine)
    tokens = tokens_of(knobs, counted, setup.devices, rows_counted, row_from_spec(answers))
    setup = replace(setup, length=min(setup.length, tokens.longest))
    profile = profile_of(answers)
    memory = estimate(model.shape, setup, profile)
    duration = _duration(answers, model, setup, machine, tokens, measured)
    hours = Band(*(value * setup.devices / HOUR for value in (duration.low, duration.typical, duration.high)))
    price = prices.get(machine.key)
    answer_tokens = setup.length + int(answers.get("max_new_tokens", 0))
    made = Plan(
        catalogue=catalogue,
        answers=answers,
        model=model,
        machine=machine,
        price=price,
        method=str(answers["method"]),
        framework=profile,
        knobs=knobs,
        pins=dict(pins),
        choices=choices,
        setup=setup,
        memory=memory,
        trains=answers["approach"] in TRAINED,
        evaluation=evaluation(answers, knobs, model, machine),
        tokens=tokens,
        time=duration,
        hours=hours,
        money=hours.times(price.amount) if price and price.amount else None,
        inference=inference_memory(
            model.shape, profile, tokens=answer_tokens, cpu=machine.cpu, wide=setup.wide and machine.cpu
        ),
        host=None if machine.cpu else host_memory(model.shape, setup, profile, memory),
        changes=(),
        measured=measured,
        packed=bool(answers.get("packing")),
    )
    return made if made.fits else replace(made, changes=changes(catalogue, answers, pins, prices))


def _duration(
    answers: Mapping[str, Any],
    model: PlannedModel,
    setup: Setup,
    machine: Hardware,
    tokens: Tokens,
    measured: Measured | None,
) -> TimeEstimate:
    """The band is that of the speed, at the typical number of tokens, widened by the band of the tokens."""
    speed = measured.tokens_per_second if measured else 0.0
    padded = 1.0 if answers.get("packing") else throughput.padding(setup.micro_batch, tokens.lengths, tokens.spread)
    framework = str(answers.get("framework", ""))
    typical = throughput.estimate(
        model.shape, setup, machine, tokens.typical, framework=framework, padded=padded, measured=speed
    )
    return replace(
        typical,
        low=typical.low * tokens.low / tokens.typical,
        high=typical.high * tokens.high / tokens.typical,
    )


def changes(
    catalogue: Catalogue, answers: Mapping[str, Any], pins: Mapping[str, Any], prices: Mapping[str, Figure]
) -> tuple[Change, ...]:
    """The smallest change of each kind that would fit, cheapest first; of machines the one that costs least.

    Where none of them keeps the model, the cheapest two together that do, and a lighter method of a larger model.
    """

    def fitting(tried: Iterable[Mapping[str, Any]]) -> Iterator[Change]:
        return (found for change in tried if (found := _try(catalogue, answers, pins, change, prices)))

    def cheapest(tried: Iterable[Mapping[str, Any]]) -> Change | None:
        return min(fitting(tried), key=lambda change: change.usd, default=None)

    methods: list[Mapping[str, Any]] = [{"method": method} for method in _lighter_methods(answers["method"])]
    lengths: list[Mapping[str, Any]] = [{"max_length": length} for length in _shorter(catalogue, answers, pins)]
    counts: list[Mapping[str, Any]] = [{"devices": count} for count in _more_devices(catalogue, answers)]
    hardware: list[Mapping[str, Any]] = [{"hardware": key} for key in _larger_machines(catalogue, answers, prices)]
    found = [*(next(fitting(tried), None) for tried in (methods, lengths, counts)), cheapest(hardware)]
    models: list[Mapping[str, Any]] = [{"model": key} for key in _smaller_models(catalogue, answers, pins)]
    if not any(found):
        pairs = ((methods, hardware), (methods, counts), (hardware, counts), (methods, lengths))
        found = [cheapest({**one, **other} for one, other in product(*pair)) for pair in pairs]
        found.append(next(fitting({**method, **model} for model, method in product(models, methods)), None))
    found.append(next(fitting(models), None))
    return tuple(sorted((change for change in found if change), key=lambda change: change.usd))


def _lighter_methods(method: str) -> tuple[str, ...]:
    order = ("full", "lora", "qlora")
    place = order.index(method) if method in order else 1
    return order[place + 1 :]


def _shorter(catalogue: Catalogue, answers: Mapping[str, Any], pins: Mapping[str, Any]) -> tuple[int, ...]:
    longest = int(pins.get("max_length", resolve(catalogue, answers, pins)["max_length"].value))
    spec_row = row_from_spec(answers)
    least = spec_row.high if spec_row else 0  # a shorter one would leave rows out
    return tuple(length for length in (4096, 2048, 1024, 512, 256) if least <= length < longest)


def _smaller_models(catalogue: Catalogue, answers: Mapping[str, Any], pins: Mapping[str, Any]) -> list[str]:
    size = planned_model(catalogue, {**answers, **pins}).shape.parameters
    rows = [row for row in catalogue.models.values() if row.parameters < size]
    return [row.key for row in sorted(rows, key=lambda row: -row.parameters)]


def _larger_machines(catalogue: Catalogue, answers: Mapping[str, Any], prices: Mapping[str, Figure]) -> list[str]:
    """Machines with more memory on which projects can be installed; from a processor, graphics cards too."""
    here = catalogue.hardware[answers["hardware"]]
    rows = [row for row in catalogue.hardware.values() if row.installable and row.key in prices]
    return [row.key for row in rows if row.memory_gib > here.memory_gib and (here.cpu or not row.cpu)]


def _more_devices(catalogue: Catalogue, answers: Mapping[str, Any]) -> tuple[int, ...]:
    """More of the same; processors do not train together."""
    if catalogue.hardware[answers["hardware"]].cpu:
        return ()
    counts = questions()["devices"].enum
    return tuple(count for count in counts if count > int(answers.get("devices", 1)))


def _try(
    catalogue: Catalogue,
    answers: Mapping[str, Any],
    pins: Mapping[str, Any],
    change: Mapping[str, Any],
    prices: Mapping[str, Figure],
) -> Change | None:
    """The plan with this change, if it fits. Pins of what the change touches give way."""
    touched = {"max_length"} if "max_length" in change else set()
    loose = {"micro_batch_size", "gradient_accumulation_steps", "activation_checkpointing", "optimizer"} | touched
    loose |= {"evaluation_batch_size", "sharding"}
    model_knobs = {"model_source", "model_id", "model_file", "model_sha256", "model_revision"}
    kept = {key: value for key, value in pins.items() if key not in loose}
    if "model" in change:
        kept = {key: value for key, value in kept.items() if key not in model_knobs}
    if "max_length" in change:
        kept["max_length"] = change["max_length"]
    changed = {**answers, **{key: value for key, value in change.items() if key != "max_length"}}
    try:
        choices = resolve(catalogue, changed, kept)
    except ImpossibleSetup:  # the pinned length, with a model that attends to less
        return None
    knobs = {key: choice.value for key, choice in choices.items()} | kept
    model, machine = planned_model(catalogue, {**changed, **kept}), catalogue.hardware[changed["hardware"]]
    setup = setup_for(changed, knobs, machine)
    answering = evaluation(changed, knobs, model, machine)
    return _judged(
        change,
        model,
        machine,
        setup,
        answering,
        tokens_of(knobs, devices=setup.devices, spec_row=row_from_spec(changed)),
        prices.get(machine.key),
        changed,
    )


def _judged(
    change: Mapping[str, Any],
    model: PlannedModel,
    machine: Hardware,
    setup: Setup,
    answering: InferenceMemory,
    tokens: Tokens,
    price: Figure | None,
    answers: Mapping[str, Any],
) -> Change | None:
    memory, trains = estimate(model.shape, setup, profile_of(answers)), answers["approach"] in TRAINED
    if not answering.fits(machine.memory_gib) or (trains and not memory.fits(machine.memory_gib)):
        return None
    duration = _duration(answers, model, setup, machine, tokens, None)
    hours = duration.typical * setup.devices / HOUR
    usd = hours * price.amount.typical if price and price.amount else math.inf
    what = ", ".join(f"{key}: {value}" for key, value in change.items())
    what += f" ({machine.title}, {setup.sharding})" if "devices" in change else ""
    high = max(memory.high if trains else 0.0, answering.high)
    return Change(change, what, high, machine.memory_gib, usd)
