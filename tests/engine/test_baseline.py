"""The baseline: every policy and model gets the number of examples that suits it, and one chat template."""

import re
from pathlib import Path

import pytest
from finished_project import PARAMS, answered_row, finish_project, rows
from msgspec.structs import replace
from scripted_backend import Scripted, record

from engine.core.errors import ProjectError
from engine.core.io import write_jsonl
from engine.evaluation.scores import check_templates
from engine.inference.backend import Prompt
from engine.inference.policies import base_policies
from engine.inference.transformers_backend import Generator
from engine.settings.everything import Everything
from pipeline.baseline import check_shots, choose_counts

OPEN, CLOSE = 2 * "{", 2 * "}"  # a chat template is Jinja, which this file must not hold


class Fond(Scripted):
    """It answers right if it is shown as many examples as it likes, with passages one less."""

    def __init__(self, liking: int) -> None:
        super().__init__(liking)
        self.liking = liking

    def say(self, prompt: Prompt) -> str:
        shown = sum(message["role"] == "assistant" for message in prompt)
        asked = prompt[-1]["content"]
        right = shown == self.liking - ("Facts" in asked)
        return re.sub(r".*ask", "answer", asked, flags=re.DOTALL) if right else "no"


@pytest.fixture
def settings(project: Path) -> Everything:
    made = finish_project(project, params=PARAMS.replace("label_key: intent", "label_key: null"))
    Path("prompts").mkdir()
    Path("prompts/prompted.txt").write_text("Be brief.", "utf-8")
    Path("prompts/passages.txt").write_text("Facts: $passages\n$question", "utf-8")
    write_jsonl(Path("data/curated/train.jsonl"), [record(f"t{number}") for number in range(5)])
    write_jsonl(Path("data/eval/dev.jsonl"), [record(f"d{number}") for number in range(4)])
    knobs = made.evaluate.model_copy(update={"primary_metric": "exact_match", "shots": [4, 1, 3]})
    return made.model_copy(update={"evaluate": knobs})


def test_every_policy_and_model_shows_its_own_best_number_of_examples(settings: Everything) -> None:
    passages = {name: [] for name in [*(f"t{n}" for n in range(5)), *(f"d{n}" for n in range(4))]}
    counts, tried = choose_counts(Fond(4), passages, settings)
    assert counts == {"few_shot": 4, "rag_few_shot": 3}
    assert tried["rag_few_shot"] == {"1": 0.0, "3": 1.0, "4": 0.0}
    assert choose_counts(Fond(1), None, settings)[0] == {"few_shot": 1}
    assert choose_counts(Fond(9), None, settings)[0] == {"few_shot": 1}, "of equal scores the smaller number"
    shown = base_policies([record("x")], counts, passages | {"x": []}, settings)
    assert {name: len(policy.shots.get("x", ())) for name, policy in shown.items()} == {
        "zero_shot": 0,
        "few_shot": 4,
        "rag": 0,
        "rag_few_shot": 3,
    }


def test_more_examples_than_there_are_records_are_not_claimed(settings: Everything) -> None:
    many = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"shots": [9]})})
    assert choose_counts(Fond(1), None, many) == ({"few_shot": 5}, {})
    with pytest.raises(ProjectError, match="1 items of few_shot were not asked with 5 examples, b for one"):
        check_shots("few_shot", [answered_row(id="a", shots=5), answered_row(id="b", shots=4)], 5)


def test_arms_that_were_asked_through_two_templates_are_not_compared() -> None:
    one = rows(1, 3, 1.0, 10)
    other = [replace(row, template_sha256="f" * 64) for row in one]
    check_templates({"zero_shot": one, "endpoint_zero_shot": [replace(row, template_sha256=None) for row in one]})
    with pytest.raises(ProjectError, match="different chat templates"):
        check_templates({"zero_shot": one, "tuned": other})


@pytest.mark.parametrize(("opening", "bos"), [(f"{OPEN} bos_token {CLOSE}", 1), ("", 0)])
def test_a_prompt_has_the_templates_bos_and_no_second_one(opening: str, bos: int) -> None:
    generator = generator_with(opening)
    ids = generator.render([{"role": "user", "content": "hello"}])
    assert ids.count(generator.tokenizer.bos_token_id) == bos
    assert generator.text(ids).split() == ["<s>", "hello"][1 - bos :]


def test_a_template_that_writes_two_bos_is_refused() -> None:
    with pytest.raises(ProjectError, match="two BOS"):
        generator_with(2 * f"{OPEN} bos_token {CLOSE}").render([{"role": "user", "content": "hello"}])


def generator_with(opening: str) -> Generator:
    """A generator with a real tokenizer, which adds a BOS of its own to all text, and no model."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"<s>": 0, "hello": 1, "<unk>": 2}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    generator = object.__new__(Generator)
    generator.folder = Path("model")
    generator.tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", unk_token="<unk>")
    generator.tokenizer.chat_template = f"{opening}{OPEN} messages[0]['content'] {CLOSE}"
    return generator
