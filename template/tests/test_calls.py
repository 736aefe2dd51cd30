"""A call answer has one text, in whatever words a model writes it; what is thought before is not compared."""

import json

import pytest
from tool_records import ONE, TWO, called

from pipeline.files import ProjectError
from pipeline.inference.calls import answer_text, expected_text, read_calls, tool_list, whole_answer
from pipeline.inference.prompting import situation

TEXT = '[{"arguments":{"city":"Köln","days":2},"name":"weather"}]'
BOTH = TEXT[:-1] + ',{"arguments":{},"name":"timer"}]'
ONE_JSON, TWO_JSON = json.dumps(ONE), json.dumps(TWO)
LLAMA = '{"name": "weather", "parameters": {"days": 2, "city": "Köln"}}'


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        (f"<tool_call>\n{ONE_JSON}\n</tool_call>", TEXT),
        (f"Let me see.\n<tool_call>{ONE_JSON}</tool_call>\n<tool_call>{TWO_JSON}</tool_call>", BOTH),
        (f"<tool_call>\n{ONE_JSON}", TEXT),
        (f"<think>\nThe weather.\n</think>\n\n<tool_call>{ONE_JSON}</tool_call>", TEXT),
        (ONE_JSON, TEXT),
        (f"```json\n{ONE_JSON}\n```", TEXT),
        (f"[{ONE_JSON}, {TWO_JSON}]", BOTH),
        (f"[TOOL_CALLS][{ONE_JSON}]", TEXT),
        (f"[TOOL_CALLS]weather[ARGS]{json.dumps(ONE['arguments'])}[TOOL_CALLS]timer[ARGS]{{}}", BOTH),
        (f"weather{json.dumps(ONE['arguments'])}", TEXT),  # the same, its marks dropped
        (LLAMA, TEXT),
        (f"<|python_tag|>{LLAMA}; {TWO_JSON}", BOTH),
        (
            json.dumps({"id": "1", "type": "function", "function": ONE | {"arguments": json.dumps(ONE["arguments"])}}),
            TEXT,
        ),
        (TEXT, TEXT),
    ],
)
def test_every_spelling_of_a_call_is_the_same_answer(written: str, compared: str) -> None:
    assert answer_text(written, calls=True) == compared
    assert answer_text(written, calls=False) != compared or written == compared


def test_the_expected_text_is_the_one_that_a_right_answer_has() -> None:
    assert expected_text(called(ONE)) == TEXT and expected_text(called(ONE, TWO)) == BOTH
    assert expected_text(called(ONE, content="Let me see.")) == TEXT
    with pytest.raises(ProjectError, match="not JSON"):
        broken = called(ONE)
        broken["messages"][-1]["tool_calls"][0]["function"]["arguments"] = "{city"
        expected_text(broken)


@pytest.mark.parametrize(
    "text",
    [
        "It rains in Köln.",
        '{"name": "Ann"}',
        '{"name": "Ann", "arguments": "none"}',
        '{"name": "Ann", "arguments": {}, "age": 3}',
        "<tool_call>weather</tool_call>",
        "<tool_call></tool_call>",
        '{"name": "f", "arguments": {"x": NaN}}',
        f"{ONE_JSON} and so on",
        "[" * 100_000,
        "",
    ],
)
def test_what_is_no_call_stays_as_it_is(text: str) -> None:
    assert answer_text(text, calls=True) == text and read_calls(text) == (text, [])


def test_thinking_is_no_part_of_an_answer() -> None:
    assert answer_text("<think>\nIs it 4?\n</think>\n\n5", calls=False) == "5"
    assert answer_text("Is it 4?</think>5", calls=False) == "5", "the prompt had opened it"
    assert answer_text("<think> it is 5, it", calls=False) == "", "it was cut off before the answer"
    assert answer_text("say <think> or </think>", calls=False) == "say <think> or </think>"
    assert answer_text(whole_answer("<|assistant|><think>\n", "it is 5, it"), calls=False) == ""
    assert whole_answer("<|assistant|>", "5") == "5"


def test_what_is_said_before_the_calls_is_told_apart() -> None:
    assert read_calls(f"Let me see.\n<tool_call>{ONE_JSON}</tool_call>") == ("Let me see.", [ONE])


def test_tools_are_wrapped_as_the_protocol_wants_them() -> None:
    bare, wrapped = {"name": "f", "parameters": {}}, {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert tool_list(json.dumps([bare, wrapped, {"type": "web_search"}])) == [wrapped, wrapped, {"type": "web_search"}]
    assert tool_list("[]") is tool_list(None) is None


def test_a_judge_is_told_what_was_called_since_the_question() -> None:
    turns = [*called(ONE)["messages"], {"role": "tool", "content": "rain"}, {"role": "assistant", "content": "Rain."}]
    before = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert situation({"messages": before + turns}) == f"ask\nassistant: {TEXT}\ntool: rain"
    assert situation({"messages": [*before, *turns[:1], turns[-1]]}) == "ask"
