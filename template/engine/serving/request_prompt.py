"""What a served arm puts before a request: its system prompt, its examples, and the passages it retrieves."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from engine.chat.openai_messages import Message, Record
from engine.core.artifacts import SHOTS
from engine.core.display import family
from engine.core.io import read
from engine.core.params import needed
from engine.inference.prompting import Passage, Policy, choose_shots, question, read_passages, read_prompt, shot_pool
from engine.inference.results import Shots
from engine.settings.serve import ServeParams

REQUEST = "request"  # the id of the one record that a request makes


class Prepared(NamedTuple):
    """A request as the model sees it, and the passages that it was given."""

    messages: list[Message]
    passages: list[Passage]


Prepare = Callable[[Sequence[Message]], Prepared]


def prompt_of(arm: str, settings: ServeParams) -> Prepare:
    """The function that turns a client's messages into this arm's prompt, as on the benchmark."""
    system = read_prompt("system" if family(arm) == "tuned" else settings.evaluate.prompt)
    train = shot_pool(settings.evaluate.shot_selection) if arm.endswith("few_shot") else []
    count = read(SHOTS, Shots, "baseline").shots[arm] if train else 0
    find = _finder(settings) if "rag" in arm else None
    shown = read_passages("train") if find and train else {}

    def prepare(messages: Sequence[Message]) -> Prepared:
        record: Record = {"id": REQUEST, "label": None, "messages": [*messages, {"role": "assistant", "content": ""}]}
        shots = choose_shots(train, [record], count, settings.seed, settings.evaluate.shot_selection) if train else {}
        found = find(question(record)) if find else []
        passages = {**shown, REQUEST: found} if find else None
        return Prepared(Policy(system, shots, passages).ask(record), found)

    return prepare


def _finder(settings: ServeParams) -> Callable[[str], list[Passage]]:
    """What finds the passages of a question. A project without documents has no such package."""
    from engine.retrieval.search import Search  # type: ignore[import-not-found,unused-ignore]

    knobs = needed(settings.retrieval, "retrieval")
    search = Search.load(knobs, settings.embedder)
    return lambda asked: list(search.find([asked], knobs)[0])
