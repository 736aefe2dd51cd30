"""Whatever answers chat prompts: a model in this process, or a server that speaks OpenAI's protocol. One interface."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol, TypeAlias

from engine.chat.openai_messages import Message, readable, reply_text, request
from engine.core.errors import ProjectError
from engine.core.io import sha256_json
from engine.inference.answer_cache import answer_cache
from engine.settings.inference import EndpointSettings

Prompt: TypeAlias = Any  # what a backend computes on: token ids in this process, messages for a server
Report: TypeAlias = Callable[[int], None]  # called with the number of prompts answered so far
KEY_VARIABLE = "ENDPOINT_API_KEY"


@dataclass(frozen=True)
class Answer:
    """One answer and what it took."""

    text: str
    prompt_tokens: int | None  # None: a server that does not count them
    completion_tokens: int | None
    finish: str  # "stop": the model ended its turn; "length": it ran into max_new_tokens
    seconds: float  # its share of the batch's time, so that the seconds of all answers add up to the run
    decoding: str = "greedy"  # or "the server's own": it lets nobody choose
    request_seconds: float | None = None  # of a server: how long this request took, while others ran at the same time


class Backend(Protocol):
    """A model that answers. Every arm is a backend and a prompt policy."""

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that an answer depends on, except prompt and decoding."""

    def render(self, messages: Sequence[Message], tools: str | None = None) -> Prompt:
        """A chat prompt, with the tools that the model may call (as JSON), as this backend computes on it, as JSON."""

    def text(self, prompt: Prompt) -> str:
        """A rendered prompt as it can be read."""

    def answer(
        self, prompts: Sequence[Prompt], max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[Sequence[int], list[Answer]]]:
        """Greedy answers, batch by batch, each with the places of its prompts."""


class Endpoint:
    """A server that speaks OpenAI's chat protocol: a hosted model, vLLM, llama-server, or this project's own."""

    def __init__(self, settings: EndpointSettings, api_key: str | None = None) -> None:
        from openai import OpenAI

        self.settings = settings
        self.greedy = True
        self.client = OpenAI(base_url=settings.base_url, api_key=api_key or os.environ.get(KEY_VARIABLE) or "none")

    @property
    def identity(self) -> dict[str, Any]:
        named = {"base_url": self.settings.base_url, "model": self.settings.model}
        return named | ({"revision": self.settings.revision} if self.settings.revision else {})

    def render(self, messages: Sequence[Message], tools: str | None = None) -> Prompt:
        asked = request(messages, tools)
        return asked if "tools" in asked else asked["messages"]

    def text(self, prompt: Prompt) -> str:
        return readable(_request(prompt))

    def answer(
        self, prompts: Sequence[Prompt], max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[Sequence[int], list[Answer]]]:
        with ThreadPoolExecutor(min(batch_size, self.settings.concurrency)) as pool:
            for first in range(0, len(prompts), self.settings.concurrency):
                places = range(first, min(len(prompts), first + self.settings.concurrency))
                start = time.perf_counter()
                answers = list(pool.map(lambda place: self._ask(prompts[place], max_new_tokens), places))
                share = (time.perf_counter() - start) / len(answers)
                yield places, [replace(answer, seconds=share) for answer in answers]

    def _ask(self, prompt: Prompt, max_new_tokens: int) -> Answer:
        from openai import BadRequestError, OpenAIError

        start, greedy = time.perf_counter(), self.greedy  # other threads may learn of a refusal meanwhile
        try:
            try:
                response = self._create(prompt, max_new_tokens, greedy=greedy)
            except BadRequestError as error:
                if not greedy or not any(word in str(error) for word in ("max_tokens", "temperature")):
                    raise
                # Hosted reasoning models refuse both parameters; what they answer then may differ from run to run.
                response = self._create(prompt, max_new_tokens, greedy=False)
                greedy = self.greedy = False
        except OpenAIError as error:
            where = f"{self.settings.base_url}, model {self.settings.model}"
            fix = f"check evaluate.endpoint in params.yaml, and {KEY_VARIABLE}"
            raise ProjectError(
                f"the endpoint refused the request: {type(error).__name__}: {error}", where, fix
            ) from None
        choice, usage = response.choices[0], response.usage
        into, out = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        text, seconds = reply_text(choice.message), time.perf_counter() - start
        decoding = "greedy" if greedy else "the server's own"
        return Answer(text, into, out, choice.finish_reason, seconds, decoding, seconds)

    def _create(self, prompt: Prompt, limit: int, *, greedy: bool) -> Any:
        knobs: dict[str, Any] = {"max_tokens": limit, "temperature": 0} if greedy else {"max_completion_tokens": limit}
        return self.client.chat.completions.create(model=self.settings.model, **_request(prompt), **knobs)


def _request(prompt: Prompt) -> dict[str, Any]:
    return prompt if isinstance(prompt, dict) else {"messages": prompt}


def answer_all(
    backend: Backend,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    batch_size: int,
    report: Report = lambda done: None,
) -> list[Answer]:
    """Answers in the order of the prompts; those that were computed before come from the cache."""
    keys = [sha256_json([prompt, max_new_tokens, batch_size]) for prompt in prompts]
    identity = backend.identity | {"answer": [field.name for field in fields(Answer)]}
    with answer_cache(identity) as cache:
        known = {key: Answer(**value) for key, value in cache.get(keys).items()}
        missing = [place for place, key in enumerate(keys) if key not in known]
        done = len(prompts) - len(missing)
        for batch, answers in backend.answer([prompts[place] for place in missing], max_new_tokens, batch_size):
            new = {keys[missing[number]]: answer for number, answer in zip(batch, answers, strict=True)}
            cache.add({key: asdict(answer) for key, answer in new.items()})
            known |= new
            done += len(answers)
            report(done)
    return [known[key] for key in keys]
