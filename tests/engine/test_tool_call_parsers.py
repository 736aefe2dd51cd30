"""A call answer has one text, in whatever words a model writes it; what is thought before is not compared."""

import json

import pytest
from tool_records import ONE, TWO, called

from engine.chat.tool_call_parsers import read_calls
from engine.chat.tool_calls import answer_text, expected_text, tool_list, whole_answer
from engine.core.errors import ProjectError
from engine.inference.prompting import context_text

CALLED, PLAIN = called(ONE), {"messages": [{"role": "assistant", "content": "5"}]}
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
        ("[TOOL_CALLS]weather[ARGS]" + json.dumps(ONE["arguments"]) + "[TOOL_CALLS]timer[ARGS]{}", BOTH),
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
    assert answer_text(written, CALLED) == compared
    assert answer_text(written, PLAIN) != compared or written == compared


KINDS = {"zip": "string", "days": "integer", "dry": "boolean", "at": "array", "note": "string"}
PARAMETERS = {"type": "object", "properties": {key: {"type": kind} for key, kind in KINDS.items()}}


def test_a_call_that_is_written_out_is_read_by_the_tools_own_types() -> None:
    arguments = {"zip": "12345", "days": 2, "dry": True, "at": [1, "a"], "note": "two\nlines", "free": 1.5}
    values = {"zip": "12345", "days": "2", "dry": "True", "at": '[1, "a"]', "note": "two\nlines", "free": "1.5"}
    inner = "".join(f"<parameter={key}>\n{said}\n</parameter>\n" for key, said in values.items())
    wanted = called({"name": "weather", "arguments": arguments})
    wanted["tools"] = json.dumps([{"name": "weather", "parameters": PARAMETERS}])
    written = f"<think>\n</think>\n\n<tool_call>\n<function=weather>\n{inner}</function>\n</tool_call>"
    assert answer_text(written, wanted) == expected_text(wanted)
    assert answer_text(written, wanted | {"tools": None}) != expected_text(wanted), "a text of digits is a number then"


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
    assert answer_text(text, CALLED) == text and read_calls(text) == (text, [])


def test_thinking_is_no_part_of_an_answer() -> None:
    assert answer_text("<think>\nIs it 4?\n</think>\n\n5", PLAIN) == "5"
    assert answer_text("Is it 4?</think>5", PLAIN) == "5", "the prompt had opened it"
    assert answer_text("<think> it is 5, it", PLAIN) == "", "it was cut off before the answer"
    assert answer_text("say <think> or </think>", PLAIN) == "say <think> or </think>"
    assert answer_text(whole_answer("<|assistant|><think>\n", "it is 5, it"), PLAIN) == ""
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
    assert context_text({"messages": before + turns}) == f"ask\nassistant: {TEXT}\ntool: rain"
    assert context_text({"messages": [*before, *turns[:1], turns[-1]]}) == "ask"
