"""Conversations in one text, in the control tokens of chat templates; and Harmony's channels."""

from contextlib import suppress
from typing import Any

import pytest
from raw_data import PAIR, curate_settings, record, said

from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.records import RecordReader

HARMONY = (
    "<|start|>system<|message|>S<|end|><|start|>user<|message|>Q<|end|>"
    "<|start|>assistant<|channel|>analysis<|message|>hm<|end|>"
    '<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>'
    "<|start|>functions.f to=assistant<|channel|>commentary<|message|>r<|end|>"
    "<|start|>assistant<|channel|>final<|message|>A<|return|>"
)


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>",
        "<bos><start_of_turn>system\nS<end_of_turn>\n<start_of_turn>user\nQ<end_of_turn>\n"
        "<start_of_turn>model\nA<end_of_turn>",
        "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST] A </s>",
        "<|start|>developer<|message|>S<|end|><|start|>user<|message|>Q<|end|>"
        "<|start|>assistant<|channel|>final<|message|>A<|return|>",
    ],
)
def test_the_tokens_of_a_template_part_the_turns(text: str) -> None:
    assert said(record({"text": text}, "text")) == [("system", "S"), ("user", "Q"), ("assistant", "A")]


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nR<|im_end|>\nand more",
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\ncut of",
        "<|im_start|>user\nQ<|im_start|>assistant\nA<|im_end|>",
    ],
)
def test_nothing_beside_the_turns_is_lost_in_silence(text: str) -> None:
    with pytest.raises(BadRecordError, match="control token"):
        record({"text": text}, "text")


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 400_000,
        " " * 400_000 + "a",
        "Human: Q\n\nAssistant: A" + "\n \n" * 200_000 + "b",
        "### Human: Q" + "\n" * 400_000 + "b",
        "<|start|>user<|message|>" * 20_000,
        "[INST] a " * 40_000,
        "<|im_start|>user\n" * 20_000,
    ],
)
def test_no_text_takes_more_than_a_look(text: str) -> None:
    """A pattern that looks at every part of a run again takes minutes to hours for each of these."""
    reader = RecordReader(curate_settings(format="text", max_chars=10**9))
    with suppress(BadRecordError):
        assert reader.canonical({"text": text + "x"}, 1)


def test_the_turns_of_a_tool_and_reasoning_are_kept() -> None:
    asked, answer = "<|im_start|>user\nQ<|im_end|>\n", "<|im_start|>assistant\n<think>hm</think>A<|im_end|>"
    found = record({"text": asked + answer}, "text")
    assert (found.messages[1].content, found.messages[1].thinking) == ("A", "hm")
    with pytest.raises(BadRecordError, match="turn 2: tool, but assistant is expected"):
        record({"text": f"{asked}<|im_start|>tool\nr<|im_end|>\n{answer}"}, "text")


def test_channels_of_harmony_are_reasoning_calls_and_answers() -> None:
    found = record({"text": HARMONY}, "text")
    assert said(found) == [("system", "S"), ("user", "Q"), ("assistant", ""), ("tool", "r"), ("assistant", "A")]
    assert found.messages[2].thinking == "hm"
    assert found.messages[2].tool_calls == [{"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    turns: list[dict[str, Any]] = [PAIR[0], {"role": "assistant", "channel": "analysis", "content": "hm"}]
    answer = {"role": "assistant", "channel": "final", "content": "A"}
    assert record({"messages": [*turns, answer]}, "messages").messages[1].thinking == "hm"
    with pytest.raises(BadRecordError, match="an analysis without an answer"):
        record({"messages": turns}, "messages")


def test_a_tools_turn_answers_a_call_that_was_made() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

    def turns(answered: str) -> dict[str, Any]:
        tool = {"role": "tool", "tool_call_id": answered, "content": "r"}
        return {"messages": [PAIR[0], {"role": "assistant", "tool_calls": [call]}, tool, PAIR[1]]}

    assert record(turns("c1"), "messages").messages[2].tool_call_id == "c1"
    with pytest.raises(BadRecordError, match="answers the call `c2`, which does not exist"):
        record(turns("c2"), "messages")
