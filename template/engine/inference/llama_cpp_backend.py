"""A model in a GGUF file, run by llama.cpp in this process: a backend like any other.

Its prompts are made as `generation.py` makes them (the file's own chat template, which writes the only BOS) and are
handed over as token ids, so llama.cpp adds nothing. It is only asked to generate: the log-probabilities that
llama-cpp-python 0.3 echoes belong to the next token.
"""

import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.chat.openai_messages import Message
from engine.chat.template import ChatTemplate
from engine.core.device import cpu_name
from engine.core.errors import ProjectError
from engine.core.fingerprint import code_key
from engine.core.io import sha256_file
from engine.inference.backend import Answer
from engine.settings.inference import GgufSettings

WHERE = "params.yaml: evaluate.gguf"


class _Renderer:
    """The file's chat template, rendered as transformers renders the one of a tokenizer."""

    def __init__(self, template: str, names: dict[str, str]) -> None:
        self.template, self.names = template, names

    def apply_chat_template(self, turns: list[Message], tokenize: bool, **knobs: Any) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        assert not tokenize
        return str(render_jinja_template([turns], chat_template=self.template, **self.names, **knobs)[0][0])


class GgufModel:
    """A GGUF file, checked to be the pinned one."""

    def __init__(self, settings: GgufSettings, threads: int) -> None:
        path = Path(settings.path)
        if not path.is_file():
            raise ProjectError(f"there is no GGUF file {path}", WHERE, "correct `path`, or put the file there")
        found = sha256_file(path)
        if found != settings.sha256:
            fix = "if this is the right model, set `sha256` to this value"
            raise ProjectError(f"the sha256 of {path} is {found}, not {settings.sha256}", WHERE, fix)
        try:
            import llama_cpp
        except ImportError as error:
            fix = "`python3 environment.py pip install llama-cpp-python` (needs cmake and a C++ compiler)"
            raise ProjectError(f"llama.cpp is not installed: {error}", WHERE, fix) from None
        self.settings, self.threads = settings, threads
        try:
            cores: dict[str, int] = {"n_threads": threads, "n_threads_batch": threads}
            self.model: Any = llama_cpp.Llama(settings.path, n_ctx=settings.context, **cores, verbose=False)
        except ValueError as error:
            fix = "name a GGUF file of a chat model"
            raise ProjectError(f"llama.cpp cannot load {path}: {error}", WHERE, fix) from None
        template = self.model.metadata.get("tokenizer.chat_template")
        if template is None:
            raise ProjectError(f"{path} has no chat template", WHERE, "convert the model again, with its tokenizer")
        self.bos: int = self.model.token_bos()
        vocabulary = llama_cpp.llama_model_get_vocab(self.model.model)
        ends = llama_cpp.llama_vocab_is_eog
        self.stop_ids = {token for token in range(self.model.n_vocab()) if ends(vocabulary, token)}
        names = {"eos_token": self._name(self.model.token_eos()), "bos_token": self._name(self.bos)}
        self.template = ChatTemplate(_Renderer(template, names), f"{settings.path}: tokenizer.chat_template")

    @property
    def identity(self) -> dict[str, Any]:
        """The file has weights, tokenizer and chat template; the machine decides the last digits."""
        version = metadata.version("llama-cpp-python")
        machine = {"device": cpu_name(), "threads": self.threads}
        return {"gguf": self.settings.sha256, "llama_cpp": version, "code": code_key(__file__), **machine}

    def render(self, messages: Sequence[Message], tools: str | None = None) -> list[int]:
        """Token ids of a chat prompt, ready for the assistant's turn. The chat template writes the only BOS."""
        text = self.template.text(messages, tools, prompt=True)
        ids: list[int] = self.model.tokenize(text.encode(), add_bos=False, special=True)
        if ids[:2] == [self.bos] * 2:
            raise ProjectError("the chat template begins a prompt with two BOS tokens", self.settings.path, "fix it")
        return ids

    def text(self, prompt: Sequence[int]) -> str:
        return str(self.model.detokenize(list(prompt), special=True).decode("utf-8", "replace"))

    def answer(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[Sequence[int], list[Answer]]]:
        """Greedy answers, one prompt after the other. What a prompt shares with the one before is not read again."""
        longest = max(map(len, prompts), default=0) + max_new_tokens
        if longest > self.settings.context:
            told = f"a prompt and its answer need {longest} tokens, but the context has {self.settings.context}"
            raise ProjectError(
                told, f"{WHERE}.context", "raise it, at most to the context that the model was trained for"
            )
        self.model.reset()  # a single request is timed without what was read before it, as the other backends time it
        for place, prompt in enumerate(prompts):
            start = time.perf_counter()
            tokens = self._generate(list(prompt), max_new_tokens)
            seconds = time.perf_counter() - start
            finish = "stop" if tokens[-1] in self.stop_ids else "length"
            text = self.model.detokenize(tokens[: -1 if finish == "stop" else None]).decode("utf-8", "replace").strip()
            yield [place], [Answer(text, len(prompt), len(tokens), finish, seconds)]

    def _generate(self, prompt: list[int], limit: int) -> list[int]:
        """Greedy token ids, with the one that ends the turn.

        Not by `create_completion`, which goes beyond its limit, and drops bytes, where a token ends inside a character
        (llama-cpp-python 0.3.36).
        """
        tokens: list[int] = []
        for token in self.model.generate(prompt, temp=0.0):
            tokens.append(token)
            if len(tokens) == limit or token in self.stop_ids:
                break
        return tokens

    def _name(self, token: int) -> str:
        return self.text([token]) if token != -1 else ""
