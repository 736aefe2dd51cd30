"""How far the right answers surprise a model: the negative log-likelihood of each reference under an arm's prompt."""

import copy
from collections.abc import Sequence

import msgspec

from engine.chat.openai_messages import Record
from engine.inference.prompting import Policy
from engine.inference.results import Row
from engine.inference.transformers_backend import Generator


def add_reference_nll(rows: Sequence[Row], model: Generator, items: Sequence[Record], policy: Policy) -> list[Row]:
    """The rows with ``reference_nll``: nats over the reference's tokens, without the end of the turn; and their number.

    One item at a time, so that no number depends on a batch; the prefix that all prompts share is computed once.
    """
    import torch

    prompts = [model.render(policy.ask(item), item.get("tools")) for item in items]
    answers = [reference(model, item, policy) for item in items]
    longest = max((len(p) + len(a) for p, a in zip(prompts, answers, strict=True)), default=0)
    scored = []
    with torch.inference_mode():
        prefix, cache = model.prefill(prompts, longest)
        for row, prompt, answer in zip(rows, prompts, answers, strict=True):
            own = prompt[len(prefix) :]
            ids = torch.tensor([own + answer], device=model.device.kind)
            logits = model.model(ids, past_key_values=copy.deepcopy(cache), use_cache=cache is not None).logits[0]
            chances = torch.log_softmax(logits[len(own) - 1 : -1].float(), dim=-1)
            told = chances.gather(1, ids[0, len(own) :, None])
            nll = round(-float(told.sum()), 4)
            scored.append(msgspec.structs.replace(row, reference_nll=nll, reference_tokens=len(answer)))
    return scored


def reference(model: Generator, item: Record, policy: Policy) -> list[int]:
    """Tokens of the right answer: its text; of a call, or an answer with its thinking, as the template writes it."""
    last = item["messages"][-1]
    text = last["content"]
    if last.get("tool_calls") or last.get("thinking"):
        asked, tools = policy.ask(item), item.get("tools")
        text = model.template.answer(asked, last, tools).partition(model.tokenizer.eos_token)[0]
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
