"""The trainer's rows: what is trained on, what is too long, and that trainer and server see the same tokens."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from engine.chat.template import ChatTemplate, Conversation
from engine.chat.template_checks import (
    Row,
    check_tokens,
    control_tokens,
    holds,
    refuse_control_tokens,
    refuse_truncation,
    refuse_untrainable,
    unread,
)
from engine.core.errors import ProjectError
from engine.reporting.format_page.page import marked, write_page
from engine.training.formatted_rows import learnt, packed, statistics, to_prompt_completion, token_lengths

OPEN, END = chr(123) + chr(123), chr(125) + chr(125)  # no template braces in emitted Python
LOOP, DONE = chr(123) + "%", "%" + chr(125)
BODY = f"{OPEN} '<s>' + m['role'] + '\\n' + m['content'] + STOP + '\\n' {END}"
TAIL = f"{LOOP} if add_generation_prompt {DONE}TAIL{LOOP} endif {DONE}"
CHAT = f"{LOOP} for m in messages {DONE}{BODY}{LOOP} endfor {DONE}{TAIL}"
RECORD = {
    "line": 3,
    "messages": [{"role": "user", "content": "turn on"}, {"role": "assistant", "content": "it is on"}],
}


def template(stop: str = "'<e>'", tail: str = "<s>assistant\n") -> ChatTemplate:
    characters = {character: place for place, character in enumerate(sorted(set("turnoisa eystm\n")))}
    vocabulary = characters | {"<s>": 90, "<e>": 91, "?": 92}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<e>", bos_token="<s>", unk_token="?")
    made.chat_template = CHAT.replace("STOP", stop).replace("TAIL", tail)
    return ChatTemplate(made)


def rows(*conversations: Conversation, by: ChatTemplate) -> list[Row]:
    return [to_prompt_completion(*one, by) for one in conversations]


def test_only_the_answer_and_its_end_are_trained_on() -> None:
    made, asked = template(), learnt(RECORD, "")
    total, trained = token_lengths(*asked, made)
    whole = made.tokenizer.apply_chat_template(RECORD["messages"], return_dict=True)["input_ids"]
    assert total == len(whole)
    assert made.tokenizer.decode(whole[total - trained :]).replace(" ", "").startswith("itison<e>")
    check_tokens(rows(asked, by=made), [asked], made)


def test_the_trainer_masks_exactly_what_this_stage_says(tmp_path: Path) -> None:
    """TRL's own preparation and collator, as `train` sets them, on the rows that this stage writes."""
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    made = template()
    made.tokenizer.pad_token = "?"
    longer = {"messages": [*RECORD["messages"], *RECORD["messages"]], "line": 4}
    asked = [learnt(record, "turn") for record in (RECORD, longer)]
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    plain: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": "none"}
    trainer = SFTTrainer(
        model=LlamaForCausalLM(LlamaConfig(vocab_size=93, **size)),
        args=SFTConfig(str(tmp_path), completion_only_loss=True, max_length=200, **plain),
        train_dataset=Dataset.from_list(rows(*asked, by=made)),
        processing_class=made.tokenizer,
    )
    batch = trainer.data_collator([trainer.train_dataset[place] for place in range(2)])
    for one, ids, labels in zip(asked, batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        total, trained = token_lengths(*one, made)
        whole = made.tokenizer.apply_chat_template(one[0], return_dict=True)["input_ids"]
        assert ids[:total] == whole
        assert labels[:total] == [-100] * (total - trained) + whole[total - trained :]
        assert set(labels[total:]) <= {-100}
        assert made.tokenizer.eos_token_id in labels


def test_the_page_marks_what_is_trained_on_and_the_end_of_the_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = template()
    turns = [{"role": "user", "content": "<i>turn</i>\non"}, {"role": "assistant", "content": "it is on"}]
    records = [RECORD | {"line": n, "id": str(n), "messages": turns * (1 + n)} for n in range(9)]
    asked = [learnt(record, "") for record in records]
    lengths = [token_lengths(*one, made) for one in asked]
    tokens = marked(asked[0], lengths[0][1], made)
    assert len(tokens) == lengths[0][0]
    assert "".join(text for text, _, _ in tokens) == made.text(turns)
    assert "".join(text for text, learnt, _ in tokens if learnt) == "it is on<e>\n"
    assert [text for text, _, ends in tokens if ends] == ["<e>"]
    report = {"train": statistics(lengths, 999) | {"left_out": 7}}
    write_page(list(zip(records, asked, lengths, strict=True)), report, 999, made)
    page = Path("reports/format.html").read_text()
    assert [f"Input line {n}:" in page for n in range(9)] == [n in (0, 4, 8) for n in range(9)]
    assert page.count('<mark class="end">&lt;e&gt;</mark>') == 3
    assert "<i>" not in page and "<script" not in page and "http:" not in page
    assert "<td>7</td>" in page


def test_a_template_that_never_ends_the_answer_is_refused() -> None:
    with pytest.raises(ProjectError, match="does not end the assistant's turn"):
        token_lengths(*learnt(RECORD, ""), template(stop="''"))


def test_a_template_that_renders_the_prompt_differently_is_refused() -> None:
    with pytest.raises(ProjectError, match="differently with and without its answer"):
        token_lengths(*learnt(RECORD, ""), template(tail="<s>assistant\n\n"))


def test_a_server_with_other_tokens_is_noticed() -> None:
    made, asked = template(), learnt(RECORD, "")
    trained = rows(asked, by=made)
    made.tokenizer.apply_chat_template = lambda _, tokenize=True, **__: {"input_ids": [1, 2]} if tokenize else "turn"
    with pytest.raises(ProjectError, match="the trainer and the server have different tokens"):
        check_tokens(trained, [asked], made)


def test_a_control_token_of_this_tokenizer_inside_a_text_is_found() -> None:
    tokens = control_tokens(template().tokenizer)
    clean, tainted = (
        RECORD,
        {"line": 7, "messages": [{"role": "user", "content": "turn <e>on?"}, RECORD["messages"][1]]},
    )
    assert [holds(record, tokens) for record in (clean, tainted)] == [None, "<e>"]
    refuse_control_tokens([clean], [None], "train.jsonl")
    with pytest.raises(ProjectError, match="1 records contain a control token") as error:
        refuse_control_tokens([clean, tainted], [None, "<e>"], "train.jsonl")
    assert "line 7 (<e>)" in str(error.value)


def test_names_that_the_template_leaves_out_are_counted() -> None:
    made = template()
    named = {"line": 4, "messages": [{"role": "user", "content": "turn on", "name": "ann"}, RECORD["messages"][1]]}
    asked = [learnt(record, "") for record in (RECORD, named, named)]
    assert unread("name", asked, made) == 2
    made.tokenizer.chat_template = made.tokenizer.chat_template.replace("m['role']", "m['role'] + (m.name or '')")
    assert unread("name", asked, made) == 0


def test_nothing_is_cut_unseen() -> None:
    refuse_truncation([RECORD], [(20, 9)], 20)
    with pytest.raises(ProjectError, match="1 of 1 rows are longer than 19 tokens") as error:
        refuse_truncation([RECORD], [(20, 9)], 19)
    assert "line 3 (20 tokens)" in str(error.value)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"rejected": [{"role": "assistant", "content": "no"}]}, "compare or judge"),
        ({"desirable": False}, "compare or judge"),
        ({"messages": [{"role": "assistant", "content": "plain text"}]}, "no user turn"),
        ({"messages": [{"role": "user", "content": "prompt alone"}]}, "no user turn"),
    ],
)
def test_what_would_be_left_out_of_the_row_is_refused(more: dict[str, Any], what: str) -> None:
    refuse_untrainable([RECORD], "data/curated/train.jsonl")
    with pytest.raises(ProjectError, match=f"1 records .*{what}") as error:
        refuse_untrainable([RECORD, RECORD | {"line": 9} | more], "data/curated/train.jsonl")
    assert "line 9" in str(error.value)


@pytest.mark.parametrize(
    ("totals", "sequences"), [([10], 1), ([6, 6, 4, 4], 2), ([7, 7, 7], 3), ([5, 5, 5, 5], 2), ([10, 1], 2)]
)
def test_packing_is_best_fit_decreasing(totals: list[int], sequences: int) -> None:
    assert packed(totals, 10) == sequences


def test_the_recorded_lengths_stand_for_all_rows() -> None:
    found = statistics([(tokens, 1) for tokens in range(1, 201)], 512)
    lengths = found["lengths"]
    assert len(lengths) == 50 and lengths == sorted(lengths) and 1 <= lengths[0] < 5 and 196 < lengths[-1] <= 200
    assert sum(lengths) / 50 == pytest.approx(found["tokens"] / 200, rel=0.02)
