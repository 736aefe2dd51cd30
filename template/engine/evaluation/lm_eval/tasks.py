"""Tasks of lm-evaluation-harness (lm-eval): what their YAML files call, and the benchmark's arms written as such tasks.

A task has one system message an item, examples that all items share, one question, one answer. Fields are named, never
templated: lm-eval evaluates a templated field that reads like a Python literal.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.chat.openai_messages import Message, Record
from engine.core.io import read_jsonl, write_jsonl, write_text
from engine.core.text import contains, normalise
from engine.inference.prompting import Policy

WRONG_CHOICES = 3  # answers of other items offered next to the right one
# No num_fewshot: in a task it silently overrides the caller's. `until` is empty: a turn ends where the model ends it.
ANSWER = """task: {name}
custom_dataset: !function engine.evaluation.lm_eval.tasks.documents
dataset_kwargs: {files}
test_split: test
{fewshot}output_type: generate_until
description: system
doc_to_text: question
doc_to_target: !function engine.evaluation.lm_eval.tasks.right_answer
generation_kwargs: {decoding}
filter_list:
  - name: normalised
    filter:
      - function: custom
        filter_fn: !function engine.evaluation.lm_eval.tasks.normalised
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
FEWSHOT = "fewshot_split: shots\nfewshot_config: {sampler: first_n, doc_to_target: answer}\n"
CHOICE = """task: {name}
custom_dataset: !function engine.evaluation.lm_eval.tasks.documents
dataset_kwargs: {files}
test_split: test
output_type: multiple_choice
description: system
doc_to_text: question
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""


def documents(test: str, shots: str | None = None, **metadata: object) -> dict[str, Any]:
    """A task's items by split, from JSON lines. Text stays text: lm-eval's own loader reads a date as a time stamp."""
    from datasets import Dataset

    files = {"test": test} | ({"shots": shots} if shots else {})
    return {split: Dataset.from_list(read_jsonl(Path(path))) for split, path in files.items()}


def normalised(answers: Iterable[Sequence[str]], documents: object) -> list[list[str]]:
    """The filter that makes lm-eval's exact match compare what this project's compares."""
    return [[normalise(answer) for answer in given] for given in answers]


def right_answer(document: Mapping[str, str]) -> str:
    """The expected answer as `normalised` answers are compared with it."""
    return normalise(document["answer"])


def says(document: Mapping[str, str], answers: Sequence[str]) -> dict[str, float]:
    """Whether the first answer says the expected one."""
    return {"contains": contains(document["answer"], answers[0])}


def write_answer_task(
    arm: str, items: Sequence[Record], policy: Policy, max_new_tokens: int, folder: Path
) -> int | None:
    """Write an arm's items as a task that generates. Returns the number of examples in its prompt.

    None: each item has its own turns before the question (its nearest examples, a dialogue), which no task can say.
    Items with tools or thinking are not for lm-eval at all, see `sayable`.
    """
    asked = [split_turns(policy.ask(item)) for item in items]
    examples = asked[0][1]
    if any(shown != examples for _, shown, _ in asked):
        return None
    files = {"test": f"{folder}/{arm}.jsonl"}
    write_jsonl(folder / f"{arm}.jsonl", (document(item, turns) for item, turns in zip(items, asked, strict=True)))
    if examples:
        files["shots"] = f"{folder}/{arm}.shots.jsonl"
        pairs = zip(examples[::2], examples[1::2], strict=True)
        write_jsonl(Path(files["shots"]), ({"question": q["content"], "answer": a["content"]} for q, a in pairs))
    decoding = {"until": [], "do_sample": False, "max_gen_toks": max_new_tokens}
    text = ANSWER.format(name=arm, files=flow(files), decoding=flow(decoding), fewshot=FEWSHOT if examples else "")
    write_text(folder / f"{arm}.yaml", text)
    return len(examples) // 2


def write_choice_task(name: str, items: Sequence[Record], policy: Policy, seed: int, folder: Path) -> None:
    """Write items as a task that picks the likeliest of the right answer and answers of other items."""
    known = sorted({item["messages"][-1]["content"] for item in items})
    rows = []
    for item in items:
        right = item["messages"][-1]["content"]
        generator = random.Random(f"{seed} {item['id']}")
        others = [answer for answer in known if normalise(answer) != normalise(right)]
        choices = [right, *generator.sample(others, min(WRONG_CHOICES, len(others)))]
        generator.shuffle(choices)
        turns = document(item, split_turns(policy.ask(item)))
        rows.append({**turns, "choices": choices, "gold": choices.index(right)})
    write_jsonl(folder / f"{name}.jsonl", rows)
    write_text(folder / f"{name}.yaml", CHOICE.format(name=name, files=flow({"test": f"{folder}/{name}.jsonl"})))


def sayable(items: Sequence[Record]) -> bool:
    """Whether a task can say the items: it has no place for tools, calls and thinking."""
    beyond = ("tool_calls", "thinking")
    return not any(
        item.get("tools") or any(key in turn for turn in item["messages"] for key in beyond) for item in items
    )


def split_turns(conversation: Sequence[Message]) -> tuple[str, list[Message], str]:
    """A prompt as lm-eval builds it: the system message, the turns in between, the question."""
    system = conversation[0]["content"] if conversation[0]["role"] == "system" else ""
    return system, list(conversation[1 if system else 0 : -1]), conversation[-1]["content"]


def document(item: Record, turns: tuple[str, list[Message], str]) -> dict[str, str]:
    """An item as a row of a task's file."""
    return {"id": item["id"], "system": turns[0], "question": turns[2], "answer": item["messages"][-1]["content"]}


def flow(value: Mapping[str, Any]) -> str:
    """A mapping on one line of YAML."""
    return json.dumps(value)
