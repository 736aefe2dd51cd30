"""Backends without a model, for tests: what is answered is a rule's."""

from collections.abc import Iterator, Sequence
from typing import Any

from engine.chat.openai_messages import Message
from engine.inference.backend import Answer, Prompt
from engine.settings.evaluate import EvaluateSettings

KNOBS = EvaluateSettings(
    primary_metric="exact_match",
    minimum_effect=0.05,
    alpha=0.05,
    prompt="prompted",
    shots=[2],
    shot_selection="spread",
    max_new_tokens=8,
    batch_size=4,
    bootstrap_samples=100,
    endpoint=None,
)


def record(name: object, label: str | None = None, system: str | None = None) -> dict[str, Any]:
    """A canonical record, which asks its name."""
    opening = [{"role": "system", "content": system}] if system else []
    turns = [{"role": "user", "content": f"ask {name}"}, {"role": "assistant", "content": f"answer {name}"}]
    return {"id": str(name), "label": label, "group": None, "messages": [*opening, *turns]}


class Scripted:
    """A backend that answers every prompt by `say`, one after the other."""

    def __init__(self, name: object) -> None:
        self.identity: dict[str, Any] = {"name": name}

    def render(self, messages: Sequence[Message], tools: str | None = None) -> Prompt:
        return list(messages)

    def text(self, prompt: Prompt) -> str:
        return str(prompt)

    def answer(
        self, prompts: Sequence[Prompt], max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[Sequence[int], list[Answer]]]:
        for place, prompt in enumerate(prompts):
            yield [place], [Answer(self.say(prompt), 1, 1, "stop", 0.1)]

    def say(self, prompt: Prompt) -> str:
        """The answer to a prompt."""
        raise NotImplementedError
