"""Answers that are compared or judged, in every shape."""

from typing import Any

import pytest
from raw_data import PAIR, many_answers, reason, record, said

pytestmark = many_answers


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "Q", "responses": ["bad", "good", "so so"], "ranks": [3, 1, 2]},
        {"prompt": "Q", "responses": ["bad", "good"], "scores": [0.1, 0.9]},
        {"prompt": "Q", "chosen": "good", "rejected": "bad"},
        {
            "chosen": [PAIR[0], {"role": "assistant", "content": "good"}],
            "rejected": [PAIR[0], {"role": "assistant", "content": "bad"}],
        },
        {
            "prompt": "Q",
            "score_chosen": 8.0,
            "score_rejected": 2.0,
            "chosen": [PAIR[0], {"role": "assistant", "content": "good"}],
            "rejected": [PAIR[0], {"role": "assistant", "content": "bad"}],
        },
        {
            "conversations": [{"from": "human", "value": "Q"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        {"instruction": "Q", "input": "", "chosen": "good", "rejected": "bad"},
        {"chosen": "\n\nHuman: Q\n\nAssistant: good", "rejected": "\n\nHuman: Q\n\nAssistant: bad"},
        {
            "input": {"messages": PAIR[:1]},
            "preferred_output": [{"role": "assistant", "content": "good"}],
            "non_preferred_output": [{"role": "assistant", "content": "bad"}],
        },
        {"messages": [PAIR[0], {"role": "assistant", "content": "good"}], "rejected_response": "bad"},
        {"question": "Q", "response_j": "good", "response_k": "bad"},
        {
            "instruction": "Q",
            "completions": [
                {"response": "so so", "overall_score": 5},
                {"response": "good", "overall_score": 9},
                {"response": "bad", "overall_score": 1},
            ],
        },
    ],
    ids=[
        "ranks",
        "scores",
        "explicit",
        "implicit",
        "H4",
        "sharegpt",
        "alpaca",
        "HH",
        "hosted",
        "ms-swift",
        "exchange",
        "ranked",
    ],
)
def test_every_shape_is_a_prompt_and_two_answers(fields: dict[str, Any]) -> None:
    found = record(fields, "preference")
    assert said(found) == [("user", "Q"), ("assistant", "good")]
    assert found.rejected and found.rejected[-1].content == "bad"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"rejected": " good"}, "are the same"),
        ({"rejected": ""}, "empty: `rejected` says nothing"),
        ({"rejected": None}, "empty: `rejected` says nothing"),
        ({"score_chosen": 1, "score_rejected": 1}, "a tie"),
        ({"score_chosen": 1, "score_rejected": 2}, "scores 1.0, the rejected one 2.0"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, Any], detail: str) -> None:
    assert detail in reason({"prompt": "Q", "chosen": "good", "rejected": "bad"} | change, "preference")


def test_answers_to_different_prompts_are_refused() -> None:
    other = [{"role": "user", "content": "other"}, PAIR[1]]
    assert "same prompt" in reason({"chosen": PAIR, "rejected": other}, "preference")


def test_a_prompt_that_contradicts_the_answers_is_refused() -> None:
    pair = {"chosen": PAIR, "rejected": [PAIR[0], {"role": "assistant", "content": "B"}]}
    assert "`prompt` is not the prompt" in reason({"prompt": "OTHER", **pair}, "preference")
    found = record({"prompt": [{"role": "system", "content": "S"}, PAIR[0]], **pair}, "preference")
    assert said(found) == [("system", "S"), ("user", "Q"), ("assistant", "A")]


def test_the_rejected_answer_has_a_longest_length_too() -> None:
    fields = {"prompt": "Q", "chosen": "good", "rejected": "bad " * 999}
    assert reason(fields, "preference").startswith("too_long")


def test_a_judged_answer_is_read() -> None:
    found = record({"prompt": "Q", "completion": "A", "label": False}, "kto")
    assert (found.desirable, found.answer) == (False, "A")
    assert record({"messages": PAIR, "kto_tag": True}, "kto").desirable is True
    assert "not a truth value" in reason({"prompt": "Q", "completion": "A", "label": "yes"}, "kto")
