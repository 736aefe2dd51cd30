"""Answer many prompts with one model: greedily, in batches, with the shared prefix computed once."""

import copy
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

from engine.chat.openai_messages import Message
from engine.chat.template import ChatTemplate
from engine.core.device import Device, versions
from engine.core.errors import ProjectError
from engine.core.fingerprint import code_key
from engine.core.io import sha256_json
from engine.inference.backend import Answer

Bits: TypeAlias = Literal[16, 8, 4]  # of a weight; 16 stands for the device's own number type
MINIMUM_SHARED_PREFIX = 24  # tokens; below this a copy of the cache costs more than it saves


class Generator:
    """A causal language model and its tokenizer, ready to answer chat prompts.

    Args:
        folder: a Hugging Face model folder.
        device: where to run; weights are loaded in its dtype.
        bits: of a weight of a linear layer; below 16 bitsandbytes quantises it while loading.
    """

    def __init__(self, folder: Path, device: Device, bits: Bits = 16) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.device, self.bits = device, bits
        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        # transformers uses sdpa if the architecture has it, and eager otherwise (Gemma 2 caps its scores).
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=device.dtype, quantization_config=_quantisation(bits, device), device_map={"": device.kind}
        )
        self.model.eval()
        self.stop_ids = _stop_ids(self.tokenizer, self.model)

    @cached_property
    def template(self) -> ChatTemplate:
        """The model's chat template."""
        return ChatTemplate(self.tokenizer, f"{self.folder}: chat_template")

    def render(self, messages: Sequence[Message], tools: str | None = None) -> list[int]:
        """Token ids of a chat prompt, ready for the assistant's turn. The chat template writes the only BOS."""
        text = self.template.text(messages, tools, prompt=True)
        ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        if ids[:2] == [self.tokenizer.bos_token_id] * 2:
            raise ProjectError("the chat template begins a prompt with two BOS tokens", str(self.folder), "fix it")
        return ids

    def text(self, prompt: Sequence[int]) -> str:
        return str(self.tokenizer.decode(prompt))

    @property
    def identity(self) -> dict[str, Any]:
        """The folder's name holds the hash of the weights; processor, threads and number type decide the last digits.

        Timings are cached with the answers, so on a CPU the thread count is part of the key.
        """
        return {
            "weights": self.folder.name,
            "bits": self.bits,
            "device": self.device.name,
            "threads": self.device.threads if self.device.kind == "cpu" else None,
            "dtype": self.device.dtype_name,
            "template_sha256": sha256_json(self.tokenizer.chat_template),
            "code": code_key(__file__),
            "versions": versions(),
        }

    def answer(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[Sequence[int], list[Answer]]]:
        """Greedy answers to rendered prompts (lists of token ids), batch by batch, each with its prompts' places.

        Prompts of like length share a batch, and the prefix that all share is computed once.
        """
        import torch

        start = time.perf_counter()
        order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
        with torch.inference_mode():
            prefix, cache = self.prefill(prompts, max(map(len, prompts), default=0) + max_new_tokens)
            for first in range(0, len(order), batch_size):
                batch = order[first : first + batch_size]
                generated = self._answer_batch([prompts[index] for index in batch], prefix, cache, max_new_tokens)
                now = time.perf_counter()
                share = (now - start) / len(batch)
                start = now
                pairs = zip(generated, batch, strict=True)
                yield batch, [self._decode(row, len(prompts[index]), share) for row, index in pairs]

    def prefill(self, prompts: Sequence[Sequence[int]], longest: int) -> tuple[list[int], Any]:
        """The prefix that all prompts share and the model's memory of it; continue on a copy of that.

        Empty and None if ``longest`` tokens exceed a sliding window: padding behind the prefix would use it up.
        """
        import torch
        from transformers import DynamicCache

        window = getattr(self.model.config.get_text_config(), "sliding_window", None)
        prefix = shared_prefix(prompts) if window is None or longest <= window else []
        if not prefix:
            return [], None
        cache = DynamicCache(config=self.model.config)
        self.model(torch.tensor([prefix], device=self.device.kind), past_key_values=cache, use_cache=True)
        return prefix, cache

    def _answer_batch(
        self, prompts: Sequence[Sequence[int]], prefix: list[int], cache: Any, max_new_tokens: int
    ) -> list[list[int]]:
        """One left-padded batch, with the padding between the shared prefix and each prompt's own part."""
        import torch

        own = [list(prompt[len(prefix) :]) for prompt in prompts]
        width = max(map(len, own))
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.stop_ids[0]
        ids = torch.tensor([prefix + [pad] * (width - len(part)) + part for part in own], device=self.device.kind)
        mask = torch.tensor(
            [[1] * len(prefix) + [0] * (width - len(part)) + [1] * len(part) for part in own], device=self.device.kind
        )
        past = copy.deepcopy(cache)
        if past is not None:
            past.batch_repeat_interleave(len(prompts))
        output = self.model.generate(
            ids,
            attention_mask=mask,
            past_key_values=past,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.stop_ids,
            pad_token_id=pad,
        )
        generated: list[list[int]] = output[:, ids.shape[1] :].tolist()
        return generated

    def _decode(self, generated: list[int], prompt_tokens: int, seconds: float) -> Answer:
        stops = [place for place, token in enumerate(generated) if token in self.stop_ids]
        kept = generated[: stops[0]] if stops else generated
        text = self.tokenizer.decode(kept, skip_special_tokens=True).strip()
        return Answer(text, prompt_tokens, len(kept) + bool(stops), "stop" if stops else "length", seconds)


def shared_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    """The longest token prefix that all prompts share, short of any whole prompt; empty when not worth caching."""
    if len(prompts) < 2:
        return []
    ordered = sorted(map(list, prompts))
    first, last = ordered[0], ordered[-1]  # in lexicographic order the extremes differ earliest
    limit = min(map(len, prompts)) - 1
    length = next((place for place in range(limit) if first[place] != last[place]), limit)
    return first[:length] if length >= MINIMUM_SHARED_PREFIX else []


def _quantisation(bits: Bits, device: Device) -> Any:
    """LLM.int8() (arXiv:2208.07339) or NF4 (arXiv:2305.14314); None keeps the weights as they are.

    Raises:
        ProjectError: bitsandbytes is not installed, as in a project that trains nothing.
    """
    if bits == 16:
        return None
    if find_spec("bitsandbytes") is None:
        fix = "python3 environment.py pip install --constraint locks/trl.txt bitsandbytes"
        raise ProjectError(f"{bits} bits a weight need the package bitsandbytes", "the environment", f"run `{fix}`")
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=device.dtype)


def _stop_ids(tokenizer: Any, model: Any) -> list[int]:
    """Every token that ends a turn, from the tokenizer and from the model's own generation settings."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in [*ids, tokenizer.eos_token_id] if token is not None})
