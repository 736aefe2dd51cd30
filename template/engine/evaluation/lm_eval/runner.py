"""Run tasks of lm-evaluation-harness in this process, with its traps closed.

Its response cache is not keyed by the model (EleutherAI/lm-evaluation-harness#4063), so none is used; a task's own
number of examples can win over the caller's, so the number that took effect is checked; its tokenizer may add a second
BOS, so the chat template writes the only one.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from engine.core.device import Device
from engine.core.errors import ProjectError


class Run(NamedTuple):
    """One task's items, in order, as one model answered them."""

    metric: str
    generates: bool
    prompts: list[list[int]]  # token ids
    answers: list[str]  # what was generated, or the number of the likeliest choice
    scores: list[float]
    chance: float  # what guessing scores
    shots: int  # examples that were shown with each item


def check_suites(suites: Sequence[str], folder: Path) -> None:
    """Load every suite's items. Runs before any answer, so that a missing item is reported at once, not after hours.

    Raises:
        ProjectError: a suite is unknown, cannot be read, or its items are out of reach.
    """
    for name in suites:
        with explained(name, folder):
            tasks(name, folder).load([name])


def tasks(name: str, folder: Path) -> Any:
    """Where lm-eval finds a task: among those that ``folder`` describes, or its own, whose items are on the hub."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(folder), include_defaults=False) if is_own(name, folder) else _all_tasks()


@cache  # reading thousands of files takes seconds
def _all_tasks() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def is_own(name: str, folder: Path) -> bool:
    """Whether a task is this project's."""
    return (folder / f"{name}.yaml").exists()


@contextmanager
def explained(name: str, folder: Path) -> Iterator[None]:
    """Silence lm-eval's progress bars, which cannot be switched off, and say in one message why a task did not run."""
    where = str(folder / f"{name}.yaml") if is_own(name, folder) else f"params.yaml: harness.suites, {name}"
    try:
        with redirect_stderr(io.StringIO()):
            yield
    except ConnectionError as error:
        fix = f"run it once with a network (the items are then kept), or name suites of {folder}"
        raise ProjectError(f"the hub, which has the items of {name}, is out of reach: {error}", where, fix) from None
    except Exception as error:  # a task is a program: what it raises is one fact to the user
        if not is_own(name, folder) and name not in tasks(name, folder).all_tasks:
            fix = f"correct it (`lm-eval ls tasks` lists lm-eval's own), or write {folder / name}.yaml"
            raise ProjectError(f"there is no suite {name}", where, fix) from None
        reason = (str(error) or "no reason given").splitlines()[0]
        raise ProjectError(f"lm-eval cannot run it: {type(error).__name__}: {reason}", where, "fix the task") from None


class Engine:
    """A model folder that answers tasks."""

    def __init__(self, folder: Path, device: Device, batch_size: int) -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        from lm_eval.models.huggingface import HFLM

        self.batch_size = batch_size
        self.lm = HFLM(
            pretrained=str(folder),
            device=device.kind,
            dtype=device.dtype_name,
            batch_size=batch_size,
            add_bos_token=False,
        )

    def run(self, task: str, folder: Path, shots: int = 0, items: int | None = None) -> Run:
        """Answer a task that ``folder`` describes; any other name is one of lm-eval's own, with items from the hub.

        ``shots`` are those of a task of ``folder``: lm-eval's own keep theirs, by which they are known.

        Raises:
            ProjectError: the task is unknown, cannot be read, or was not run as asked.
        """
        import lm_eval

        wanted = shots if is_own(task, folder) else None
        with explained(task, folder):
            result = lm_eval.simple_evaluate(
                model=self.lm,
                tasks=[task],
                task_manager=tasks(task, folder),
                num_fewshot=wanted,
                limit=items,
                batch_size=self.batch_size,
                apply_chat_template=True,
                fewshot_as_multiturn=True,
                use_cache=None,
                log_samples=True,
                bootstrap_iters=0,
            )
        return self._read(task, result, wanted)

    def _read(self, task: str, result: dict[str, Any], shots: int | None) -> Run:
        effective = {name: result["n-shot"][name] for name in result["samples"]}
        if shots is not None and set(effective.values()) != {shots}:
            raise ProjectError(
                f"{shots} examples were requested, but {effective} were shown", task, "remove num_fewshot from the task"
            )
        metrics = {config["metric_list"][0]["metric"] for config in map(result["configs"].get, effective)}
        metric = metrics.pop()
        if metrics or not all(result["higher_is_better"][name][metric] for name in effective):
            raise ProjectError(
                "the first metric must be a score per item, and higher must be better",
                task,
                "name another suite, or edit its task",
            )
        samples = [one for name in sorted(effective) for one in _first_filter(result["samples"][name])]
        scores = [sample[metric] for sample in samples]
        if not all(isinstance(score, int | float) for score in scores):
            raise ProjectError(f"{metric} is not a score per item", task, "list one that is first in its metric_list")
        arguments = [sample["arguments"] for sample in samples]  # an item's (context, continuation or decoding) pairs
        prompts = [self.lm.tok_encode(given[0][0]) for given in arguments]
        bos = self.lm.tokenizer.bos_token_id
        if any(prompt[:2] == [bos, bos] for prompt in prompts):
            raise ProjectError("a prompt begins with two BOS tokens", task, "fix the model's chat template")
        generates = isinstance(arguments[0][0][1], dict)
        return Run(
            metric,
            generates,
            prompts,
            [_answer(sample, generates) for sample in samples],
            [float(score) for score in scores],
            0.0 if generates else sum(1 / len(given) for given in arguments) / len(arguments),
            max(effective.values()),
        )


def _first_filter(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A task with several filters logs every item once for each."""
    return sorted((one for one in samples if one["filter"] == samples[0]["filter"]), key=lambda one: one["doc_id"])


def _answer(sample: dict[str, Any], generates: bool) -> str:
    """The text that was generated, or the number of the likeliest choice."""
    if generates:
        return str(sample["resps"][0][0]).strip()
    likelihoods = [float(response[0]) for response in sample["filtered_resps"]]
    return str(likelihoods.index(max(likelihoods)))
