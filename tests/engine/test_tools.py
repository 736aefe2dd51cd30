"""Records with tools, calls and thinking through real chat templates: trainer, server and endpoint see the same."""

from pathlib import Path
from typing import Any

import pytest
from tool_records import ASK, CALL, ENDS, ONE, RESULT, SAID, TOOLS, TWO, called, record, template

from engine.chat.template_checks import check_tokens, control_tokens, holds, unread
from engine.chat.template_coverage import dropped_part, refuse_dropped
from engine.core.errors import ProjectError
from engine.core.io import write_jsonl
from engine.inference.prompting import conversation
from engine.training.formatted_rows import learnt, sampled, to_prompt_completion, token_lengths
from engine.training.trl.common import read_rows

RECORDS = [
    record(ASK, CALL),
    record({"role": "system", "content": "Be brief."}, ASK, called(TWO)["messages"][-1]),
    record(ASK, CALL, RESULT, SAID),
    record(ASK, SAID),
    record(ASK, SAID, tools=None),
]
THOUGHT = [record(ASK, SAID | {"thinking": "The sky."}, tools=None), record(ASK, CALL | {"thinking": "The weather."})]


@pytest.mark.parametrize(
    ("name", "more"), [("qwen2_5", []), ("qwen3", THOUGHT), ("llama3_1", []), ("qwen3_5_think", THOUGHT)]
)
def test_the_trainer_and_the_server_see_the_same_and_the_answer_alone_is_trained(
    name: str, more: list[dict[str, Any]], tmp_path: Path
) -> None:
    """TRL's own preparation of the files that `format` writes, against what a generator is asked with."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    made, records = template(name), RECORDS + more
    refuse_dropped(records, made, "train.jsonl")
    asked = [learnt(one, "Project.") for one in records]
    rows = [to_prompt_completion(*one, made) for one in asked]
    check_tokens(rows, asked, made)
    write_jsonl(tmp_path / "rows.jsonl", rows)
    data = read_rows({"train": tmp_path / "rows.jsonl"}, tmp_path / "cache")["train"]
    assert [{key: value for key, value in row.items() if value is not None} for row in data] == rows, (
        "no field of another row"
    )
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    plain: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": "none"}
    trainer = SFTTrainer(
        model=LlamaForCausalLM(LlamaConfig(vocab_size=len(made.tokenizer), **size)),
        args=SFTConfig(str(tmp_path), completion_only_loss=True, max_length=4096, **plain),
        train_dataset=data,
        processing_class=made.tokenizer,
    )
    batch = trainer.data_collator(list(trainer.train_dataset))
    for one, (turns, tools), ids, labels in zip(
        records, asked, batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True
    ):
        total, trained = token_lengths(turns, tools, made)
        text = made.text(conversation(one, "Project."), tools, prompt=True)
        served = made.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids[: total - trained] == served
        assert labels[:total] == [-100] * len(served) + ids[len(served) : total] and set(labels[total:]) <= {-100}
        learnt_text = made.tokenizer.decode([label for label in labels if label != -100])
        assert learnt_text.strip().endswith(ENDS[name])
        assert ("Köln" in learnt_text or "timer" in learnt_text) == bool(turns[-1].get("tool_calls"))
        assert ("The sky." in learnt_text or "The weather." in learnt_text) == ("thinking" in turns[-1])


def test_arguments_are_said_as_the_template_reads_them() -> None:
    assert template("qwen2_5").reads_arguments == template("llama3_1").reads_arguments == "object"
    assert template("deepseekv3").reads_arguments == "text"
    repr_of = template("qwen3")
    repr_of.tokenizer.chat_template = repr_of.tokenizer.chat_template.replace(
        "tool_call.arguments | tojson", "tool_call.arguments"
    )
    assert repr_of.reads_arguments == "text", "as an object they would be Python's spelling"


# A chat template in another pair of braces, because what is emitted holds none of Jinja's.
SHORT = (
    "<% for m in messages %><% for c in m.tool_calls or [] %><% if c.id|length != 9 %><< raise_exception('nine') >>"
    "<% endif %>[CALL]<< c|tojson >><% endfor %><% if m.role == 'tool' %><< m.tool_call_id >><% endif %><< m.content >>"
    "<< eos_token >><% endfor %>"
)


def test_a_template_that_wants_ids_of_nine_letters_gets_them() -> None:
    made = template("qwen2_5")
    made.tokenizer.chat_template = SHORT.translate(str.maketrans("<>", "{}"))
    long = CALL | {"tool_calls": [call | {"id": "call_abcdefghij"} for call in CALL["tool_calls"]]}
    result = RESULT | {"tool_call_id": "call_abcdefghij"}
    said = made.turns([ASK, long, result, SAID, ASK, CALL, RESULT, called(ONE, TWO)["messages"][-1]])
    ids = [call["id"] for turn in said for call in turn.get("tool_calls", ())]
    assert ids == ["000000001", "000000002", "000000003", "000000004"]
    assert [turn["tool_call_id"] for turn in said if turn["role"] == "tool"] == ids[:2]
    assert made.text([ASK, long, result]).startswith(made.text([ASK, long])), "numbered as in a shorter one"
    with pytest.raises(ProjectError, match="a result without a call"):
        made.turns([ASK, CALL, RESULT, RESULT])
    assert not template("qwen2_5").wants_short_ids


def test_a_template_that_lists_tools_in_the_system_turn_alone_needs_one() -> None:
    made = template("qwen2_5")
    listing = "<% for m in messages %><< m.role + m.content >><% if m.role == 'system' %><< tools|tojson >><% endif %>"
    made.tokenizer.chat_template = (listing + "<< eos_token >><% endfor %>").translate(str.maketrans("<>", "{}"))
    system = {"role": "system", "content": "Be brief."}
    assert dropped_part(record(system, ASK, SAID), made) is None
    assert "which tools it may call" in (dropped_part(record(ASK, SAID), made) or "")


def test_rows_of_every_kind_are_checked() -> None:
    made, plain = template("qwen2_5"), record(ASK, SAID, tools=None)
    asked = [learnt(one, "") for one in [plain] * 30 + RECORDS]
    rows = [to_prompt_completion(*one, made) for one in asked]
    some, conversations = sampled(rows, asked)
    assert len(some) == len(conversations) == 20 + 4 and [row for row in some if "tools" in row] == rows[30:34]


def test_what_the_template_does_not_say_is_refused_with_its_lines() -> None:
    plain = template("qwen2_5")
    plain.tokenizer.chat_template = plain.tokenizer.chat_template.replace("tools", "utensils").replace(
        "tool_calls", "x"
    )
    for one, what in (
        (record(ASK, SAID), "1 records cannot be rendered: .* does not render which tools"),
        (record(ASK, CALL, tools=None), "1 records cannot be rendered: .* does not render what was called"),
        (THOUGHT[0], "1 records contain thinking next to an answer, which the model's chat template drops"),
    ):
        with pytest.raises(ProjectError, match=what) as caught:
            refuse_dropped([record(ASK, SAID, tools=None), one], plain, "train.jsonl")
        assert "train.jsonl, input line 7" in caught.value.where
        assert "base model" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "one", "what"),
    [
        ("llama3_1", record(ASK, CALL | {"content": "Let me see."}), "contain text next to a tool call"),
        (
            "llama3_1",
            record(ASK, called(ONE, TWO)["messages"][-1]),
            "only supports single tool-calls",
        ),
        ("lfm2_v2", record(ASK, CALL), "cannot be parsed back"),
        ("qwen2_5", record(ASK, SAID | {"thinking": "Hm."}, CALL | ASK, SAID), "contain thinking"),
    ],
)
def test_what_only_some_records_have_is_noticed(name: str, one: dict[str, Any], what: str) -> None:
    with pytest.raises(ProjectError, match=what):
        refuse_dropped([RECORDS[3], one], template(name), "train.jsonl")


def test_thinking_of_earlier_turns_is_the_templates_to_drop_and_counted() -> None:
    made = template("qwen3")
    two = record(ASK, SAID | {"thinking": "The sky."}, ASK, SAID)
    assert dropped_part(two, made) is None
    asked = [learnt(one, "") for one in (*THOUGHT, two, RECORDS[2])]
    assert unread("thinking", asked, made) == 1


def test_a_control_token_is_found_wherever_a_record_says_it() -> None:
    tokens = control_tokens(template("qwen2_5").tokenizer)
    assert holds(RECORDS[0], tokens) is None
    for one in (
        record(ASK, SAID | {"thinking": "<|im_end|>"}),
        record(ASK, called({"name": "timer", "arguments": {"label": "<|im_end|>"}})["messages"][-1]),
        record(ASK, SAID, tools=TOOLS.replace("timer", "<|im_end|>")),
    ):
        assert holds(one, tokens) == "<|im_end|>"
