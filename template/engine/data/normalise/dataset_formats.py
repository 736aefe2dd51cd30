"""The shapes in which people keep training examples, each turned into canonical messages.

Only the spellings that are in real use are understood; anything else is a `BadRecordError` that says what was expected.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from msgspec import Struct

from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError, kind
from engine.data.normalise.dialogues import dialogue
from engine.data.normalise.messages import Message, json_value, one_key, text_of, turns
from engine.data.normalise.repair_policy import Anomalies

PROMPT_KEYS = ("prompt", "input", "question", "query", "instruction")
COMPLETION_KEYS = ("completion", "output", "answer", "response")
SYSTEM_KEYS = ("system", "system_prompt")
_JSONL_KEYS = {*PROMPT_KEYS, *COMPLETION_KEYS, *SYSTEM_KEYS, "context", "tools", "functions"}
CONVERSATION_KEYS = ("conversations", "conversation", "items", "dialog", "dialogue")
CHOSEN_KEYS = ("chosen", "preferred_output", "response_j")
REJECTED_KEYS = ("rejected", "non_preferred_output", "rejected_response", "response_k")
LABEL_KEYS = ("label", "kto_tag", "desirable")
TRUTH = {"true": True, "false": False, "1": True, "0": False}  # of a label, which in a table is text
_REFERENCE_KEYS = ("reference", "reference_answer", "ground_truth", "solution", "answer")
# Formats in which a prompt may have several answers, and the objectives that learn from them. `preferences.py` reads
# them, which only a project of these formats has.
MANY_ANSWERS = {"preference": "dpo, orpo and reward", "kto": "kto"}


class Example(Struct):
    """One record's content, before any check of it."""

    messages: list[Message]  # the prompt and the answer to learn; for a preference the chosen one
    rejected: list[Message] | None = None  # preference: the answer that lost
    desirable: bool | None = None  # KTO: whether the answer is a good one
    tools: str | None = None  # what the assistant may call: a JSON string, as no two tools have the same fields
    answer_turns: int = 1  # preference: how many of the last messages are the chosen answer


Reader: TypeAlias = Callable[[dict[str, Any], Anomalies], Example]


def text_field(fields: dict[str, Any], key: str, anomalies: Anomalies) -> str:
    """The text in ``key``; null and absent are nothing."""
    return text_of(fields.get(key), key, anomalies)


def from_prompt(fields: dict[str, Any], key: str, role: str, anomalies: Anomalies) -> list[Message]:
    """Text as one turn of ``role``, or turns as they are."""
    value = fields[key]
    if isinstance(value, list) and value and isinstance(value[0], dict) and "type" not in value[0]:
        return turns(value, key, anomalies)
    return [Message(role, text_of(value, key, anomalies))]


def system_turn(fields: dict[str, Any], anomalies: Anomalies) -> list[Message]:
    """The record's own system prompt, if there is one."""
    present = [key for key in SYSTEM_KEYS if key in fields]
    text = text_field(fields, one_key(fields, SYSTEM_KEYS), anomalies) if present else ""
    return [Message("system", text)] if text.strip() else []


def tools_of(fields: dict[str, Any]) -> str | None:
    """The tools as a JSON string."""
    tools = fields.get("tools") or fields.get("functions")
    if not tools:
        return None
    if isinstance(tools, str):
        tools = json_value(tools, "`tools` is text that is not JSON")
    if not isinstance(tools, list):
        raise BadRecordError("schema", f"`tools` is {kind(tools)}, not a list")
    for place, tool in enumerate(tools, 1):
        if not isinstance(tool, dict) or (tool.get("type", "function") == "function" and not tool_name(tool)):
            raise BadRecordError("schema", f"tool {place} of `tools` has no name")
    return json.dumps(tools, ensure_ascii=False)


def tool_name(tool: dict[str, Any]) -> str:
    """The name that a call calls; nothing for what a service has built in."""
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def _from_jsonl(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """``prompt`` and ``completion``, or their synonyms, as text or as turns; ``system`` if there is one."""
    if fields.get("instruction") is not None and fields.get("input") is not None:
        what = "fields `instruction` and `input` together are the alpaca format (curate.format)"
        raise BadRecordError("schema", what)
    if isinstance(fields.get("context"), str) and fields["context"].strip():
        what = "field `context` is not used in this format: put it into the prompt, or use alpaca with `instruction`"
        raise BadRecordError("schema", what)
    asked = from_prompt(fields, one_key(fields, PROMPT_KEYS), "user", anomalies)
    answer = from_prompt(fields, one_key(fields, COMPLETION_KEYS), "assistant", anomalies)
    return Example(system_turn(fields, anomalies) + asked + answer, tools=tools_of(fields))


def _from_alpaca(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """``instruction``, ``input`` (may be absent), ``output`` or ``response``; earlier turns in ``history``."""
    if "instruction" not in fields:
        raise BadRecordError("schema", "no field `instruction`")
    answer = text_field(fields, one_key(fields, ("output", "response")), anomalies)
    history = fields.get("history") or []
    if not isinstance(history, list):
        raise BadRecordError("schema", f"`history` is {kind(history)}, not a list of pairs of texts")
    messages = system_turn(fields, anomalies)
    for turn in history:
        if not (isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)):
            raise BadRecordError("schema", "`history` is not a list of pairs of texts")
        messages += [Message("user", turn[0]), Message("assistant", turn[1])]
    asked = alpaca_request(fields, anomalies)
    return Example([*messages, Message("user", asked), Message("assistant", answer)], tools=tools_of(fields))


def alpaca_request(fields: dict[str, Any], anomalies: Anomalies) -> str:
    """Instruction and input (Dolly calls it context), joined as LLaMA-Factory joins them."""
    key = one_key(fields, ("input", "context")) if "context" in fields else "input"
    parts = [text_field(fields, key, anomalies) for key in ("instruction", key)]
    return "\n".join(part for part in parts if part)


def _from_sharegpt(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """``conversations`` of ``from`` and ``value``, in the spellings that are in use."""
    key = one_key(fields, CONVERSATION_KEYS)
    messages = turns(fields[key], key, anomalies)
    return Example(system_turn(fields, anomalies) + messages, tools=tools_of(fields))


def _from_messages(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """``messages`` of ``role`` and ``content``, as the OpenAI API has them."""
    if "messages" not in fields:
        raise BadRecordError("schema", "no field `messages`")
    tools = tools_of(fields)
    system = system_turn(fields, anomalies) if "system" in fields or "system_prompt" in fields else []
    return Example(system + turns(fields["messages"], "messages", anomalies), tools=tools)


def _from_text(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """``text``: a conversation in one of the written forms, or plain text, all of which is to be learnt."""
    text = text_field(fields, one_key(fields, ("text", "content", "document")), anomalies)
    return Example(dialogue(text, anomalies) or [Message("assistant", text)])


def prompt_turns(fields: dict[str, Any], anomalies: Anomalies) -> list[Message]:
    """The prompt of a record whose answer, if there is one, stands apart."""
    system = system_turn(fields, anomalies)
    if isinstance(fields.get("input"), dict):  # hosted services
        return turns(fields["input"].get("messages"), "input.messages", anomalies)
    for key in ("messages", *CONVERSATION_KEYS):
        if isinstance(fields.get(key), list):
            return system + turns(fields[key], key, anomalies)
    if isinstance(fields.get("instruction"), str):
        return [*system, Message("user", alpaca_request(fields, anomalies))]
    return system + from_prompt(fields, one_key(fields, PROMPT_KEYS), "user", anomalies)


def _from_prompt_only(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """A prompt whose answer the model writes itself; a reference answer, if there is one, is what graders compare."""
    prompt = prompt_turns(fields, anomalies)
    if not prompt:
        raise BadRecordError("empty", "the prompt has no turn")
    if prompt[-1].role != "user":
        raise BadRecordError("roles", "the last turn is not the user's: a prompt has no answer")
    reference = next((fields[key] for key in _REFERENCE_KEYS if fields.get(key) is not None), None)
    if reference is None:
        return Example(prompt, tools=tools_of(fields))
    answer = reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False)
    return Example([*prompt, Message("assistant", answer)], tools=tools_of(fields))


def two_texts(fields: dict[str, Any]) -> tuple[Any, Any] | None:
    """Prompt and completion of a `jsonl` record that has nothing else to be read; no record's of another kind."""
    names = _two_names(tuple(fields))
    return (fields[names[0]], fields[names[1]]) if names else None


@lru_cache(maxsize=256)  # the records of a file have few sets of names
def _two_names(names: tuple[str, ...]) -> tuple[str, str] | None:
    read = [name for name in names if name.strip().lower() in _JSONL_KEYS]
    if len(read) == 2 and read[0] in COMPLETION_KEYS:
        read.reverse()
    return (read[0], read[1]) if len(read) == 2 and read[0] in PROMPT_KEYS and read[1] in COMPLETION_KEYS else None


def read_by(form: str) -> str:
    """Which project reads a format with many answers."""
    return f"a project with `dataset_format: {form}` reads it, for the objectives {MANY_ANSWERS[form]}"


# A record that several formats accept belongs to the most specific of them, which stands first.
READERS: dict[str, Reader] = {
    "messages": _from_messages,
    "sharegpt": _from_sharegpt,
    "alpaca": _from_alpaca,
    "jsonl": _from_jsonl,
    "text": _from_text,
    "prompt_only": _from_prompt_only,
}


def reader_of(form: str) -> Reader:
    """What reads a format. Raises `ProjectError` if this project was generated without it."""
    if form in READERS:
        return READERS[form]
    try:
        from engine.data.normalise.preferences import PREFERENCE  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        what = f"this project cannot read the format `{form}`: {read_by(form)}"
        fix = "give each request one right answer, as supervised training needs it, and set curate.format to messages"
        raise ProjectError(what, "curate.format", fix) from None
    return PREFERENCE[form]
