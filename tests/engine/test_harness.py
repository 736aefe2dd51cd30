"""Tasks for lm-eval, run by the real lm-eval on a tiny random model: same prompts, same scores, closed traps."""

from pathlib import Path

import pytest
from finished_project import HARNESS_PARAMS, PARAMS, answered_row
from msgspec.structs import replace
from tool_records import ASK, CALL, SAID
from tool_records import record as spoken

import engine
from engine.chat.openai_messages import Record
from engine.core.artifacts import BASELINE_ANSWERS, HARNESS_TASKS
from engine.core.device import Device
from engine.core.errors import ProjectError
from engine.core.io import read_jsonl, sha256_json, write_jsonl
from engine.core.params import load
from engine.evaluation.item_metrics import exact_match
from engine.evaluation.lm_eval import harness
from engine.evaluation.lm_eval.harness import second_opinion
from engine.evaluation.lm_eval.runner import Engine, Run, check_suites
from engine.evaluation.lm_eval.tasks import sayable, write_answer_task, write_choice_task
from engine.inference.prompting import Policy
from engine.inference.transformers_backend import Generator
from engine.settings.everything import Everything
from pipeline import harness as recipe

pytestmark = pytest.mark.usefixtures("project")
SUITES = Path(engine.__file__).parents[1] / "evals/suites"
WORDS = ["one", "two", "three", "four", "five", "six"]
# The template writes one BOS, as those of chat models do; a tokenizer that adds another one is the trap.
TEMPLATE = (
    "<s>[% for m in messages %]<|[[ m.role ]]|>[[ m.content ]]</s>[% endfor %]"
    "[% if add_generation_prompt %]<|assistant|>[% endif %]"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A word-level tokenizer and a two-layer Llama that has learnt nothing."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<s>", "</s>", "<unk>", "<|system|>", "<|user|>", "<|assistant|>"]
    words += ["what", "is", "and", "2024", "-", "01", "02", "answer", "briefly", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>",
        additional_special_tokens=words[3:6],
    )  # fmt: skip
    fast.chat_template = (
        TEMPLATE.replace("[%", "{" + "%").replace("%]", "%" + "}").replace("[[", "{" * 2).replace("]]", "}" * 2)
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, bos_token_id=0, eos_token_id=1, pad_token_id=1, max_position_embeddings=512,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    llama = LlamaForCausalLM(config)
    llama.lm_head.weight.data[:6] = 0  # it says words, not nothing
    llama.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture
def device() -> Device:
    import torch

    return Device("cpu", "cpu", 1, torch.float32)


def record(number: int, question: str, answer: str) -> Record:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"id": str(number), "label": None, "group": None, "messages": turns}


def answered(model: Path, device: Device, policy: Policy, items: list[Record]) -> tuple[list[list[int]], list[str]]:
    """The project's own prompts and answers."""
    generator = Generator(model, device)
    prompts = [generator.render(policy.ask(item)) for item in items]
    answers: dict[int, str] = {}
    for places, found in generator.answer(prompts, 5, 3):
        answers |= {place: answer.text for place, answer in zip(places, found, strict=True)}
    return prompts, [answers[place] for place in range(len(items))]


SHOTS = [record(7, "what is one", "two"), record(8, "what is two", "three")]


def questions(*right: str) -> list[Record]:
    """Five questions; the first ones have the given answers, the others a date, which must stay text."""
    answers = [*right, *["2024-01-02"] * (5 - len(right))]
    return [record(n, f"what is {WORDS[n]} and {WORDS[n + 1]}", answers[n]) for n in range(5)]


@pytest.mark.parametrize("shots", [0, 2])
def test_lm_eval_asks_and_scores_as_the_arm_does(model: Path, device: Device, shots: int) -> None:
    """Prompts are equal token for token; right answers and wrong ones score the same."""
    policy = Policy("answer briefly", dict.fromkeys("01234", SHOTS[:shots]))
    prompts, answers = answered(model, device, policy, questions())
    assert all(answers)
    items = questions(*(f'"{answer.upper()}".' for answer in answers[:2]))  # right once normalised
    assert write_answer_task("few_shot", items, policy, 5, HARNESS_TASKS) == shots
    run = Engine(model, device, 3).run("few_shot", HARNESS_TASKS, shots)
    assert run.prompts == prompts and run.answers == answers
    expected = [item["messages"][-1]["content"] for item in items]
    assert run.scores == list(map(exact_match, expected, answers)) == [1, 1, 0, 0, 0]


def test_choices_are_told_apart_by_their_likelihood(model: Path, device: Device) -> None:
    import torch

    items = [record(n, f"what is {word}", word) for n, word in enumerate(WORDS[:5])]
    policy = Policy("answer briefly")
    write_choice_task("choice", items, policy, 3, HARNESS_TASKS)
    run = Engine(model, device, 3).run("choice", HARNESS_TASKS)
    generator = Generator(model, device)
    rows = read_jsonl(HARNESS_TASKS / "choice.jsonl")
    for item, row, answer, score in zip(items, rows, run.answers, run.scores, strict=True):
        assert row["choices"][row["gold"]] == item["messages"][-1]["content"] and len(set(row["choices"])) == 4
        logits = generator.model(torch.tensor([generator.render(policy.ask(item))])).logits[0, -1]
        tokens = [generator.tokenizer.convert_tokens_to_ids(choice) for choice in row["choices"]]
        likeliest = int(logits[tokens].argmax())
        assert answer == str(likeliest) and score == (likeliest == row["gold"])
    assert run.chance == 0.25


def test_an_arm_whose_items_have_their_own_examples_is_no_task(project: Path) -> None:
    nearest = Policy("", {str(n): [SHOTS[n % 2]] for n in range(5)})
    assert write_answer_task("few_shot", questions(), nearest, 5, HARNESS_TASKS) is None
    assert not (project / HARNESS_TASKS / "few_shot.yaml").exists()


def test_lm_eval_is_not_asked_what_it_cannot_say() -> None:
    plain = spoken(ASK, SAID, tools=None)
    assert sayable([plain])
    for more in (spoken(ASK, SAID), spoken(ASK, CALL, tools=None), spoken(ASK, SAID | {"thinking": "Hm."}, tools=None)):
        assert not sayable([plain, more])


def test_a_task_that_sets_its_own_number_of_examples_is_refused(model: Path, device: Device) -> None:
    """lm-eval would silently show none."""
    policy = Policy("", dict.fromkeys("01234", SHOTS))
    write_answer_task("few_shot", questions(), policy, 5, HARNESS_TASKS)
    with open(HARNESS_TASKS / "few_shot.yaml", "a") as file:
        file.write("num_fewshot: 0\n")
    with pytest.raises(ProjectError, match=r"2 examples were requested, .*0.* were shown"):
        Engine(model, device, 3).run("few_shot", HARNESS_TASKS, 2)


def test_another_prompt_or_another_score_stops_the_stage(model: Path, device: Device, project: Path) -> None:
    (project / "params.yaml").write_text((PARAMS + HARNESS_PARAMS).replace("max_new_tokens: 64", "max_new_tokens: 5"))
    policy, items = Policy("answer briefly"), questions()
    prompts, answers = answered(model, device, policy, items)
    rows = [
        answered_row(id=str(n), expected="2024-01-02", answer=answers[n], prompt_sha256=sha256_json(prompts[n]))
        for n in range(5)
    ]
    engine = Engine(model, device, 3)
    write_jsonl(BASELINE_ANSWERS / "zero_shot.jsonl", rows)
    found = second_opinion(engine, "zero_shot", policy, items, load(Everything))
    assert found.same_answers == 5 and found.exact_match == found.exact_match_of_lm_eval == 0.0
    called = [items[0] | {"tools": '[{"name": "f"}]'}, *items[1:]]
    assert "cannot express" in second_opinion(engine, "zero_shot", policy, called, load(Everything)).skipped
    write_jsonl(BASELINE_ANSWERS / "zero_shot.jsonl", [replace(rows[0], expected=answers[0]), *rows[1:]])
    with pytest.raises(ProjectError, match="scores an equal answer differently"):
        second_opinion(engine, "zero_shot", policy, items, load(Everything))
    write_jsonl(BASELINE_ANSWERS / "zero_shot.jsonl", rows)
    with pytest.raises(ProjectError, match="another prompt"):
        second_opinion(engine, "zero_shot", Policy("answer"), items, load(Everything))


def test_the_suites_can_be_run_and_an_unknown_one_is_named(
    model: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SUITES.parents[1])
    engine = Engine(model, device, 48)
    for suite in sorted(path.stem for path in SUITES.glob("*.yaml")):
        run = engine.run(suite, SUITES, items=3)
        assert len(run.scores) == 3 and run.metric in ("contains", "acc")
    with pytest.raises(ProjectError, match="no suite no_such_suite") as refused:
        check_suites([suite, "no_such_suite"], SUITES)
    assert (
        "no_such_suite.yaml" in refused.value.fix
        and refused.value.where == "params.yaml: harness.suites, no_such_suite"
    )


HUB = {  # what the hub has of two suites of lm-eval's own
    "openai/gsm8k": [{"question": f"what is {word}", "answer": f"two #### {n}"} for n, word in enumerate(WORDS)],
    "allenai/ai2_arc": [
        {
            "question": f"what is {word}",
            "answerKey": "AB"[n % 2],
            "choices": {"text": ["one", "two"], "label": ["A", "B"]},
        }
        for n, word in enumerate(WORDS)
    ],
}


def test_a_suite_of_lm_evals_own_keeps_its_own_number_of_examples(
    model: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    def load_dataset(path: str, **_: object) -> datasets.DatasetDict:
        found = datasets.Dataset.from_list(HUB[path])
        return datasets.DatasetDict({"train": found, "validation": found, "test": found})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    check_suites(["gsm8k", "arc_easy"], SUITES)
    engine = Engine(model, device, 4)
    sums, facts = engine.run("gsm8k", SUITES, items=3), engine.run("arc_easy", SUITES, items=4)
    assert (sums.metric, sums.generates, sums.shots, len(sums.scores)) == ("exact_match", True, 5, 3)
    answered = engine.lm.tokenizer.convert_tokens_to_ids("<|assistant|>")
    assert all(prompt.count(answered) == 6 for prompt in sums.prompts), "five examples and the question, as turns"
    assert (facts.metric, facts.generates, facts.shots, facts.chance) == ("acc", False, 0, 0.5)
    right = [answer == "01"[number % 2] for number, answer in enumerate(facts.answers)]
    assert facts.scores == right and len(right) == 4


def test_a_hub_out_of_reach_is_told_before_anything_is_answered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(path: str, **_: object) -> None:
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    text = (PARAMS + HARNESS_PARAMS).replace("[general_choice]", "[arc_easy]")
    (project / "params.yaml").write_text(text, "utf-8")
    with pytest.raises(ProjectError, match="hub, which has the items of arc_easy, is out of reach") as refused:
        recipe.main()
    assert refused.value.where == "params.yaml: harness.suites, arc_easy" and "network" in refused.value.fix
    assert not (project / "results").exists()


def test_models_that_were_asked_other_things_are_not_compared(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMS + HARNESS_PARAMS, "utf-8")
    base = Run("acc", False, [[1, 2], [3]], ["0", "1"], [1.0, 0.0], 0.5, 0)
    assert harness.compare_suite("x", {"base": base, "tuned": base}, load(Everything)).items == 2
    with pytest.raises(ProjectError, match="other prompts"):
        harness.compare_suite("x", {"base": base, "tuned": base._replace(prompts=[[1, 2], [4]])}, load(Everything))


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_suite_has_items_enough_and_none_twice(path: Path) -> None:
    rows = read_jsonl(path)
    assert len(rows) >= 60 and len({row["question"] for row in rows}) == len(rows)
    for row in rows:
        assert row["answer"] if "answer" in row else len(set(row["choices"])) == 4 and row["choices"][row["gold"]]
