"""Every input format with its quirks, and what is odd but can be repaired."""

from pathlib import Path
from typing import Any

import pytest
from raw_data import CALL, PAIR, curate_settings, positional, reason, record, said

from engine.core.errors import ProjectError
from engine.data.normalise.messages import Message
from engine.data.normalise.records import RecordReader
from engine.settings.curate import AnomalySettings

REPAIR = positional(AnomalySettings, *["repair"] * 8)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestQuirks:
    def test_prompt_and_completion_may_be_turns(self) -> None:
        assert said(record({"prompt": PAIR[:1], "completion": PAIR[1:]}, "jsonl")) == [
            ("user", "Q"),
            ("assistant", "A"),
        ]

    def test_null_beside_a_synonym_counts_as_absent(self) -> None:
        """A table gives every record every column."""
        fields = {"prompt": None, "question": "Q", "answer": "A", "output": None, "instruction": None, "input": None}
        assert said(record(fields, "jsonl")) == [("user", "Q"), ("assistant", "A")]

    def test_a_tool_conversation_keeps_calls_and_tools_as_json_text(self) -> None:
        messages = [
            PAIR[0],
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "light", "arguments": {"on": True}}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "ok"},
            PAIR[1],
        ]
        found = record({"messages": messages, "tools": [{"name": "light"}]}, "messages")
        assert [turn.role for turn in found.messages] == ["user", "assistant", "tool", "assistant"]
        assert found.messages[1].tool_calls == [{"id": "1", **CALL}]
        assert found.tools == '[{"name": "light"}]'

    @pytest.mark.parametrize(
        ("tools", "fault"),
        [
            ([{"name": "g"}], "turn 2 calls `light`, which is not in `tools`"),
            (["light"], "tool 1 of `tools` has no name"),
            (
                [{"type": "function", "function": {"name": "light"}}, {"type": "function"}],
                "tool 2 of `tools` has no name",
            ),
            ([{"type": "web_search"}, {"type": "function", "function": {"name": "light"}}], ""),
        ],
    )
    def test_tools_have_names_and_no_other_is_called(self, tools: list[Any], fault: str) -> None:
        turns = [PAIR[0], {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "ok"}, PAIR[1]]
        fields = {"messages": turns, "tools": tools}
        assert fault in reason(fields, "messages") if fault else record(fields, "messages").tools

    def test_reasoning_and_arguments_count_as_length_and_tools_have_one(self) -> None:
        long = "long " * 500
        call = {"function": {"name": "light", "arguments": {"say": long}}}
        for turn in ({"content": "A", "thinking": long}, {"tool_calls": [call]}):
            messages = [PAIR[0], {"role": "assistant", **turn}]
            assert reason({"messages": messages}, "messages").startswith("too_long: 25")
        assert "`tools` has" in reason({"messages": PAIR, "tools": [{"name": "f", "description": long}]}, "messages")

    def test_sharegpt_calls_are_turns_of_their_own(self) -> None:
        turns = [
            {"from": "human", "value": "Q"},
            {"from": "function_call", "value": '{"name": "light", "arguments": {"on": true}}'},
            {"from": "observation", "value": "ok"},
            {"from": "gpt", "value": "A"},
        ]
        found = record({"conversations": turns}, "sharegpt")
        assert found.messages[1] == Message("assistant", "", tool_calls=[CALL])
        assert found.messages[2].role == "tool"

    def test_reasoning_is_kept_apart_from_the_answer(self) -> None:
        for turn in ({"content": "A", "reasoning_content": "hm"}, {"content": "<think>hm</think>\nA"}):
            found = record({"messages": [PAIR[0], {"role": "assistant", **turn}]}, "messages")
            assert found.messages[-1] == Message("assistant", "A", thinking="hm")

    def test_weight_and_name_are_kept_and_a_last_answer_of_weight_0_is_no_example(self) -> None:
        first = [{**PAIR[0], "name": "ann"}, {**PAIR[1], "weight": 0}]
        found = record({"messages": first + PAIR}, "messages")
        assert (found.messages[0].name, found.messages[1].weight) == ("ann", 0)
        assert "weight 0" in reason({"messages": [PAIR[0], {**PAIR[1], "weight": 0}]}, "messages")
        assert "`weight` must be 0 or 1" in reason({"messages": [{**PAIR[0], "weight": 1}, PAIR[1]]}, "messages")

    @pytest.mark.parametrize(
        "text",
        [
            "### Human: Q\n### Assistant: A",
            "\n\nHuman: Q\n\nAssistant: A",
            "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>",
        ],
    )
    def test_a_conversation_may_be_written_as_one_text(self, text: str) -> None:
        assert said(record({"text": text}, "text")) == [("user", "Q"), ("assistant", "A")]

    @pytest.mark.parametrize("text", ["Once upon a time.", "Input: five apples\nResponse: a documented protocol"])
    def test_plain_text_is_one_text(self, text: str) -> None:
        assert said(record({"text": text}, "text")) == [("assistant", text)]

    @pytest.mark.parametrize("answer", ["Use this:\nInput: 5\n\nResponse: 6", "one\nHuman: two", "a\n\nUser: b"])
    def test_an_answer_may_hold_lines_that_look_like_turns(self, answer: str) -> None:
        text = f"\n\nHuman: Q\n\nAssistant: {answer}"
        assert said(record({"text": text}, "text")) == [("user", "Q"), ("assistant", answer)]

    def test_an_instruction_with_input_is_one_request(self) -> None:
        text = "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3"
        assert said(record({"text": text}, "text")) == [("user", "Add.\n1 2"), ("assistant", "3")]

    def test_keys_may_be_in_any_case(self) -> None:
        turns = [{"From": "human", "Value": "Q"}, {"FROM": "gpt", "Value": "A"}]
        assert said(record({"Conversations": turns}, "sharegpt")) == [("user", "Q"), ("assistant", "A")]
        assert said(record({"Question": "Q", "ANSWER": "A"}, "jsonl")) == [("user", "Q"), ("assistant", "A")]

    @pytest.mark.parametrize("part", [{"type": "output_text", "text": "A"}, {"type": "refusal", "refusal": "A"}])
    def test_parts_of_an_answer(self, part: dict[str, str]) -> None:
        answer = {"role": "assistant", "content": [part]}
        assert said(record({"messages": [PAIR[0], answer]}, "messages"))[-1] == ("assistant", "A")

    def test_a_system_prompt_is_never_lost(self) -> None:
        expected = [("system", "S"), ("user", "Q"), ("assistant", "A")]
        assert said(record({"prompt": "Q", "completion": "A", "system_prompt": "S"}, "jsonl")) == expected
        assert said(record({"system": "S", "messages": PAIR}, "messages")) == expected
        both = [{"role": "system", "content": "S"}, {"role": "developer", "content": "D"}, *PAIR]
        assert said(record({"messages": both}, "messages")) == [("system", "S\n\nD"), *expected[1:]]

    def test_a_context_is_never_lost(self) -> None:
        fields = {"instruction": "Q", "context": "C", "response": "A"}
        assert said(record(fields, "alpaca")) == [("user", "Q\nC"), ("assistant", "A")]
        assert "`context` is not used" in reason({"question": "Q", "context": "C", "answer": "A"}, "jsonl")


class TestAnomalies:
    @pytest.mark.parametrize(
        ("chat", "repaired", "anomaly"),
        [
            ("user user assistant", "user assistant", "same_role"),
            ("user system assistant", "system user assistant", "system_not_first"),
            ("assistant user assistant", "user assistant", "leading_assistant"),
            ("user assistant user", "user assistant", "trailing_user"),
        ],
    )
    def test_order_is_repaired_if_the_policy_says_so(self, chat: str, repaired: str, anomaly: str) -> None:
        messages = [{"role": role, "content": f"{role} {place}"} for place, role in enumerate(chat.split())]
        reader = RecordReader(curate_settings(format="messages", anomalies=REPAIR))
        found = reader.canonical({"messages": messages}, line=1)
        assert [turn.role for turn in found.messages] == repaired.split()
        assert [name for name, _ in reader.anomalies.repaired] == [anomaly]
        assert reason({"messages": messages}, "messages").startswith("roles: ")

    def test_joined_turns_lose_no_text(self) -> None:
        messages = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}, PAIR[1]]
        assert record({"messages": messages}, "messages", anomalies=REPAIR).prompt == "one\n\ntwo"

    def test_a_policy_may_be_to_stop(self) -> None:
        stop = positional(AnomalySettings, *["error"] * 8)
        with pytest.raises(ProjectError, match="a record has an anomaly"):
            record({"prompt": 1, "completion": "A"}, "jsonl", anomalies=stop)

    def test_a_number_is_written_out_only_if_asked_for(self) -> None:
        assert record({"prompt": 12, "completion": True}, "jsonl", anomalies=REPAIR).prompt == "12"
        assert reason({"prompt": 12, "completion": "A"}, "jsonl").startswith("schema: field `prompt` is a number")
        made = {"prompt": "Q", "completion": {"intent": "café"}}
        assert record(made, "jsonl", anomalies=REPAIR).answer == '{"intent": "café"}'
        assert reason(made, "jsonl").startswith("schema: field `completion` is an object")


def test_a_prompt_alone_may_have_a_reference() -> None:
    assert said(record({"prompt": "Q", "reference_answer": "A"}, "prompt_only")) == [
        ("user", "Q"),
        ("assistant", "A"),
    ]
    assert said(record({"messages": PAIR[:1]}, "prompt_only")) == [("user", "Q")]
    assert record({"prompt": "Q", "answer": 12}, "prompt_only").answer == "12"
    assert record({"prompt": "Q", "reference": {"a": [1]}}, "prompt_only").answer == '{"a": [1]}'
