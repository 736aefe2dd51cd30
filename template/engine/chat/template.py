"""A model's chat template, by which every stage renders a conversation, so that all see the same text.

Records hold a call's arguments as JSON text. Templates want them as an object (Qwen, Llama, ...) or as text (DeepSeek);
A trial rendering shows which. Thinking is passed by every name that is in use, by transformers itself.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from typing import Any, TypeAlias

from engine.chat.openai_messages import Message
from engine.chat.tool_calls import calls_of, tool_list, with_call_ids
from engine.core.errors import ProjectError

Conversation: TypeAlias = tuple[list[Message], str | None]  # canonical turns, the answer last; the tools as JSON
ASKED = {"role": "user", "content": "q"}
PROBE = {"name": "probe", "arguments": {"probed": "zqx"}}
TURN_KEYS = ("role", "content", "name", "thinking", "tool_calls", "tool_call_id")  # of a record's turn


class ChatTemplate:
    """The template of a tokenizer, or of anything that has its `apply_chat_template`."""

    def __init__(self, tokenizer: Any, where: str = "models/base: chat_template") -> None:
        self.tokenizer, self.where = tokenizer, where

    def text(self, turns: Sequence[Message], tools: str | None = None, *, prompt: bool = False) -> str:
        """The conversation as the model reads it; as a ``prompt`` it ends where the assistant's turn begins.

        Raises:
            ProjectError: the template does not render the tools or a call, or it refuses the conversation.
        """
        converted, listed = self.turns(turns), tool_list(tools)
        text = self._rendered(converted, listed, prompt)
        if listed and text == self._tried(converted, None, prompt):
            raise self._unread("which tools it may call")
        return text

    def answer(self, turns: Sequence[Message], answer: Message, tools: str | None = None) -> str:
        """The answer as the template renders it: everything after the prompt, the end of the turn included."""
        prompt, whole = self.text(turns, tools, prompt=True), self.text([*turns, answer], tools)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(prompt, whole, strict=False)))
        return whole[shared:]

    def turns(self, turns: Sequence[Message]) -> list[Message]:
        """Canonical turns as the template reads them."""
        converted = [self._turn({key: turn[key] for key in TURN_KEYS if key in turn}) for turn in turns]
        calls = any(turn.get("tool_calls") for turn in converted)
        return _short_ids(converted) if calls and self.wants_short_ids else converted

    @cached_property
    def reads_arguments(self) -> str:
        """How the template reads a call's arguments: as an ``object`` or as ``text``; empty if it renders no call."""
        for form, arguments in (("object", PROBE["arguments"]), ("text", '{"probed": "zqx"}')):
            text = self._tried([ASKED, _calling({"name": "probe", "arguments": arguments})], None)
            if "zqx" in text and str(PROBE["arguments"]) not in text:  # Python's spelling of an object is not JSON
                return form
        return ""

    @cached_property
    def wants_short_ids(self) -> bool:
        """Whether it refuses calls without an id of nine letters and digits, as Mistral's does."""
        function = {"name": "probe", "arguments": PROBE["arguments"]}
        short, long = (self._tried([ASKED, _calling(function, id=name)], None) for name in ("probed001", "call_1"))
        return "zqx" in short and "zqx" not in long

    def _turn(self, turn: Message) -> Message:
        if not turn.get("tool_calls"):
            return turn
        if not self.reads_arguments:
            raise self._unread("what was called")
        if self.reads_arguments == "text":
            return turn
        pairs = zip(turn["tool_calls"], calls_of(turn), strict=True)
        return turn | {"tool_calls": [call | {"function": function} for call, function in pairs]}

    def _tried(self, turns: Sequence[Message], tools: Any, prompt: bool = False) -> str:
        try:
            return self._rendered(turns, tools, prompt)
        except ProjectError:
            return ""

    def _rendered(self, turns: Sequence[Message], tools: Any, prompt: bool) -> str:
        from jinja2 import TemplateError

        knobs = {"tools": tools} if tools else {}
        try:
            return str(
                self.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=prompt, **knobs)
            )
        except (TemplateError, TypeError, ValueError, AttributeError) as error:
            what = f"the chat template cannot render a conversation: {type(error).__name__}: {error}"
            raise ProjectError(what, self.where, "use another base model, or change the records") from None

    def _unread(self, what: str) -> ProjectError:
        fix = "use a model whose chat template supports it, or remove it from the records"
        return ProjectError(f"the chat template does not render {what}", self.where, fix)


def _calling(function: dict[str, Any], id: str = "probed001") -> Message:
    return {"role": "assistant", "content": "", "tool_calls": [{"id": id, "type": "function", "function": function}]}


def _short_ids(turns: Sequence[Message]) -> list[Message]:
    """The turns with ids that count the calls."""
    names: dict[str, str] = {}
    short: list[Message] = []
    for turn in with_call_ids(turns):
        if turn.get("tool_calls"):
            ids = [names.setdefault(call["id"], f"{len(names) + 1:09}") for call in turn["tool_calls"]]
            turn |= {"tool_calls": [call | {"id": name} for call, name in zip(turn["tool_calls"], ids, strict=True)]}
        if turn["role"] == "tool":
            turn |= {"tool_call_id": names.setdefault(turn["tool_call_id"], f"{len(names) + 1:09}")}
        short.append(turn)
    return short
