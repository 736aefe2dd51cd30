"""Prompt policies: the text before an item's question. System prompt, examples, retrieved passages."""

import random
import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from engine.chat.openai_messages import Message, Record
from engine.chat.tool_calls import call_text, calls_of
from engine.core.artifacts import FIXED_SHOTS, PROMPTS, RETRIEVED, TRAIN_RECORDS
from engine.core.errors import ProjectError
from engine.core.io import read_jsonl
from engine.core.text import contains

Passage: TypeAlias = dict[str, str]  # id, source and text of a retrieved passage
Passages: TypeAlias = Mapping[str, Sequence[Passage]]  # record id -> its passages, the best first


class Policy(NamedTuple):
    """How an arm asks. ``shots`` gives the examples of an item; ``passages`` is None without retrieval."""

    system: str
    shots: Mapping[str, Sequence[Record]] = {}
    passages: Passages | None = None

    def ask(self, record: Record) -> list[Message]:
        """The chat prompt of a record under this policy."""
        return conversation(record, self.system, self.shots.get(record["id"], ()), self.passages)


def read_prompt(name: str) -> str:
    """The text of ``prompts/<name>.txt``, without surrounding white space; empty means no system message."""
    path = PROMPTS / f"{name}.txt"
    try:
        return path.read_text("utf-8").strip()
    except FileNotFoundError:
        raise ProjectError("a prompt file is missing", str(path), "restore it from git, or write it") from None


def conversation(
    record: Record, system: str, shots: Sequence[Record] = (), passages: Passages | None = None
) -> list[Message]:
    """The chat prompt of a record: system message, shots as earlier turns, then the record's own turns but the last.

    A record's own system message wins over the project's. The tools of the prompt are the record's own, and not those
    of the shots: every arm may call the same. With ``passages`` each question, a shot's too, is asked with
    its own passages.
    """
    turns = record["messages"][:-1]
    if turns and turns[0]["role"] == "system":
        system, turns = turns[0]["content"], turns[1:]
    opening = [{"role": "system", "content": system}] if system else []
    examples: list[Message] = []
    for shot in shots:
        own = [message for message in shot["messages"] if message["role"] != "system"]
        if passages is not None and shot["id"] not in passages:
            fix = "choose another evaluate.shot_selection"
            raise ProjectError("a fixed example has no passages", shot["id"], fix)
        examples += with_passages(own, passages[shot["id"]]) if passages is not None else own
    asked = with_passages(turns, passages[record["id"]]) if passages is not None else turns
    return [*opening, *examples, *asked]


def with_passages(turns: Sequence[Message], passages: Sequence[Passage]) -> list[Message]:
    """The turns, the last question rewritten as ``prompts/passages.txt`` says."""
    template = string.Template(read_prompt("passages"))
    last = max(place for place, turn in enumerate(turns) if turn["role"] == "user")
    listed = "\n".join(passage["text"] for passage in passages)
    try:
        content = template.substitute(passages=listed, question=turns[last]["content"])
    except (KeyError, ValueError) as error:
        where, fix = str(PROMPTS / "passages.txt"), "it may use $passages and $question; write $$ for a dollar sign"
        raise ProjectError(f"the template cannot be filled: {error}", where, fix) from None
    return [*turns[:last], {"role": "user", "content": content}, *turns[last + 1 :]]


def question(record: Record) -> str:
    """What is asked: the record's last user turn."""
    return str(next((turn["content"] for turn in reversed(record["messages"][:-1]) if turn["role"] == "user"), ""))


def context_text(record: Record) -> str:
    """What is answered: the last question and, line by line, what was called and came back since."""
    said: list[str] = []
    for turn in record["messages"][:-1]:
        if turn["role"] == "user":
            said = []
        text = call_text(calls_of(turn)) if turn.get("tool_calls") else turn["content"]
        said += [text if turn["role"] == "user" else f"{turn['role']}: {text}"]
    return "\n".join(said)


def read_passages(*splits: str) -> dict[str, list[Passage]]:
    """Passages of every record of these splits, as the stage `index` retrieved them."""
    return {row["id"]: row["passages"] for split in splits for row in read_jsonl(RETRIEVED / f"{split}.jsonl")}


def spread_shots(train: Sequence[Record], count: int, seed: int) -> list[Record]:
    """``count`` training records, one label after another: none is shown twice before all are shown once."""
    by_label: dict[str, list[Record]] = {}
    for record in sorted(train, key=lambda record: record["id"]):
        by_label.setdefault(record["label"] or "", []).append(record)
    generator = random.Random(seed)
    for records in by_label.values():
        generator.shuffle(records)
    labels = sorted(by_label)
    generator.shuffle(labels)
    rounds = [by_label[label][turn] for turn in range(count) for label in labels if turn < len(by_label[label])]
    return rounds[:count]


def shot_pool(selection: str) -> list[Record]:
    """What examples are drawn from: the training data; for ``fixed``, the owner's ``prompts/shots.jsonl``.

    Raises:
        ProjectError: the file is missing, or a line of it is no example.
    """
    if selection != "fixed":
        return read_jsonl(TRAIN_RECORDS)
    found: list[Record] = []
    fix = 'write {"prompt": ..., "completion": ...} per line, or change evaluate.shot_selection'
    if not FIXED_SHOTS.exists():
        raise ProjectError("there are no fixed examples", str(FIXED_SHOTS), fix)
    for number, row in enumerate(read_jsonl(FIXED_SHOTS), 1):
        if not all(isinstance(row.get(key), str) for key in ("prompt", "completion")):
            raise ProjectError("not an example", f"{FIXED_SHOTS}, line {number}", fix)
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
        found.append({"id": f"{FIXED_SHOTS}:{number}", "label": None, "group": None, "messages": turns})
    return found


def refuse_given_away(shots: Sequence[Record], items: Sequence[Record]) -> None:
    """Raises `ProjectError` if an example asks what an item asks: the prompt would hold the answer."""
    asked = {question(item).casefold().strip() for item in items}
    for shot in shots:
        if question(shot).casefold().strip() in asked:
            raise ProjectError("an example is an item of the benchmark", shot["id"], "take another one")


def choose_shots(
    train: Sequence[Record], items: Sequence[Record], count: int, seed: int, selection: str
) -> dict[str, list[Record]]:
    """The examples shown with each item, out of `shot_pool`.

    The same few for all (``spread`` over the labels, ``random``, or the first of the ``fixed`` ones), which are a
    prefix computed once; or those most like the item (``nearest``), the nearest last, closest to the question.
    """
    if selection != "nearest":
        if selection == "fixed":
            same = list(train[:count])
        elif selection == "random":
            ordered = sorted(train, key=lambda record: record["id"])
            same = random.Random(seed).sample(ordered, min(count, len(ordered)))
        else:
            same = spread_shots(train, count, seed)
        return dict.fromkeys((item["id"] for item in items), same)
    import bm25s  # lazy: only this selection needs it

    def words(records: Sequence[Record]) -> Any:
        return bm25s.tokenize([question(record) for record in records], stopwords=None, show_progress=False)

    index = bm25s.BM25()
    index.index(words(train), show_progress=False)
    found, _ = index.retrieve(words(items), k=min(count, len(train)), show_progress=False)
    return {item["id"]: [train[place] for place in reversed(row)] for item, row in zip(items, found, strict=True)}


def citations(answer: str, passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """The passages that an answer could rest on, and whether each one says it word for word."""
    return [
        {"id": p["id"], "source": p["source"], "says_it": bool(answer) and contains(answer, p["text"]) == 1}
        for p in passages
    ]
