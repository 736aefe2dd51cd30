"""Answers of real, tiny models: every architecture loads, and batches with a shared prefix change no answer."""

from pathlib import Path
from typing import Any

import pytest
from finished_project import answered_row

from engine.chat.openai_messages import Message
from engine.core.device import Device
from engine.inference.perplexity import add_reference_nll
from engine.inference.prompting import Policy
from engine.inference.transformers_backend import MINIMUM_SHARED_PREFIX, Generator, shared_prefix
from project_tools.quantise import WIDTHS

WORDS = [f"w{number}" for number in range(60)]
# Widths in whole blocks of 64, which bitsandbytes asks for on processors with AVX512-BF16.
SHAPE: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "initializer_range": 0.5, "tie_word_embeddings": False,
}  # fmt: skip
# A chat template in another pair of braces, because what is emitted holds none of Jinja's.
TEMPLATE = "<% for m in messages %><< m.content + ' ' >><% endfor %><% if add_generation_prompt %>go<% endif %>"


@pytest.fixture(params=["llama", "gemma2"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A random model of the architecture with a tokenizer of sixty words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    config: Any = (
        transformers.LlamaConfig(**SHAPE)
        if request.param == "llama"
        else transformers.Gemma2Config(**SHAPE, sliding_window=16)
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    vocabulary = {word: place for place, word in enumerate(["<pad>", "<s>", "</s>", "go", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>")
    tokenizer.chat_template = TEMPLATE.translate(str.maketrans("<>", "{}"))
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def ask(text: str) -> list[Message]:
    return [
        {"role": "system", "content": " ".join(WORDS[: MINIMUM_SHARED_PREFIX + 6])},
        {"role": "user", "content": text},
    ]


def test_a_model_of_any_attention_answers_in_a_batch_as_it_does_alone(folder: Path) -> None:
    import torch

    generator = Generator(folder, Device("cpu", "a test", 1, torch.float32))
    prompts = [generator.render(ask(text)) for text in ("w40", "w41 w42 w43", "w44 w45", "w46 w47 w48 w49 w50")]
    assert len(shared_prefix(prompts)) >= MINIMUM_SHARED_PREFIX
    alone = [next(generator.answer([prompt], 8, 1))[1][0].text for prompt in prompts]
    together = {
        place: answer.text
        for places, answers in generator.answer(prompts, 8, 3)
        for place, answer in zip(places, answers, strict=True)
    }
    assert [together[place] for place in range(len(prompts))] == alone
    assert len(set(alone)) > 1


def test_a_reference_is_as_likely_as_a_plain_pass_over_its_tokens_says(folder: Path) -> None:
    import torch

    generator = Generator(folder, Device("cpu", "a test", 1, torch.float32))
    answers = {"w40": "w1 w2", "w41 w42": "w3", "w43": "w4 w5 w6"}
    items = [
        {"id": asked, "messages": [*ask(asked), {"role": "assistant", "content": answer}]}
        for asked, answer in answers.items()
    ]
    rows = [answered_row(id=asked, expected=answer) for asked, answer in answers.items()]
    for row, item in zip(add_reference_nll(rows, generator, items, Policy("")), items, strict=True):
        prompt = generator.render(item["messages"][:-1])
        own = generator.tokenizer(row.expected)["input_ids"]
        with torch.inference_mode():
            chances = generator.model(torch.tensor([prompt + own])).logits[0].log_softmax(-1)
        wanted = -sum(float(chances[len(prompt) - 1 + place, token]) for place, token in enumerate(own))
        assert row.reference_nll == pytest.approx(wanted, abs=1e-3) and row.reference_tokens == len(own)
    assert len(shared_prefix([generator.render(item["messages"][:-1]) for item in items])) >= MINIMUM_SHARED_PREFIX


@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_fewer_bits_take_less_memory_and_are_told_apart(folder: Path) -> None:
    import torch

    device = Device("cpu", "a test", 1, torch.float32)
    taken, known = [], set()
    for bits in WIDTHS:
        generator = Generator(folder, device, bits)
        prompt = generator.render(ask("w40"))
        assert next(generator.answer([prompt], 4, 1))[1][0].completion_tokens > 0
        taken.append(generator.model.get_memory_footprint())
        known.add(str(generator.identity))
    assert taken == sorted(taken, reverse=True) and len(set(taken)) == len(known) == 3
