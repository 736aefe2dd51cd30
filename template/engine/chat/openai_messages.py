"""Conversations with tools in the words of OpenAI's chat protocol, and its replies as text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from engine.chat.tool_call_parsers import Call
from engine.chat.tool_calls import call_text, tool_list, with_call_ids

Message: TypeAlias = dict[str, Any]  # a canonical turn: role and content; of the assistant perhaps tool_calls, thinking
Record: TypeAlias = dict[str, Any]  # a curated record; its last message is the expected answer
_TURN = {key: key for key in ("role", "content", "name", "tool_calls", "tool_call_id")}


def request(messages: Sequence[Mapping[str, Any]], tools: str | None, *, thinking: bool = False) -> dict[str, Any]:
    """What a request says of a conversation: ``messages``, and ``tools`` if there are any.

    The protocol has no place for what was thought in earlier turns; servers of open models read ``reasoning_content``.
    """
    names = _TURN | ({"thinking": "reasoning_content"} if thinking else {})
    turns = [{name: turn[key] for key, name in names.items() if key in turn} for turn in messages]
    listed = tool_list(tools)
    return {"messages": with_call_ids(turns)} | ({"tools": listed} if listed else {})


def reply_text(message: Any) -> str:
    """A reply as an answer's text: its calls if it has some, as `calls.call_text` writes them, or what it says."""
    functions = [call.function for call in message.tool_calls or () if call.type == "function"]
    try:
        calls = [{"name": one.name, "arguments": json.loads(one.arguments or "{}")} for one in functions]
    except ValueError:  # no JSON: a wrong answer, which is kept as it is
        return "\n".join(f"{one.name} {one.arguments}" for one in functions)
    return call_text(calls) if calls else (message.content or "").strip()


def spoken_calls(calls: Sequence[Call]) -> list[dict[str, Any]]:
    """Calls as a reply holds them."""
    return [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
        }
        for place, call in enumerate(calls)
    ]


def readable(prompt: Mapping[str, Any]) -> str:
    """A request as it can be read."""
    parts = [json.dumps(prompt["tools"], ensure_ascii=False)] if "tools" in prompt else []
    for message in prompt["messages"]:
        calls = message.get("tool_calls")
        texts = [message["content"], json.dumps(calls, ensure_ascii=False) if calls else ""]
        parts.append(f"{message['role']}: {' '.join(filter(None, texts))}")
    return "\n\n".join(parts)
