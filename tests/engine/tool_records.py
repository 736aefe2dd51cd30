"""Records with tools, and real chat templates to say them with."""

import json
from pathlib import Path
from typing import Any

from engine.chat.template import ChatTemplate

ONE = {"name": "weather", "arguments": {"city": "Köln", "days": 2}}
TWO = {"name": "timer", "arguments": {}}
TOOLS = json.dumps(
    [{"type": "function", "function": {"name": n, "description": n, "parameters": {}}} for n in ("weather", "timer")]
)
MARKS = ["<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>"]
ENDS = {
    "qwen2_5": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "qwen3_5_think": "<|im_end|>",
    "llama3_1": "<|eot_id|>",
    "lfm2_v2": "<|im_end|>",
    "deepseekv3": "<|im_end|>",
}
ASK = {"role": "user", "content": "ask"}
RESULT = {"role": "tool", "content": '{"sky": "blue"}'}
SAID = {"role": "assistant", "content": "It is blue."}


def template(name: str) -> ChatTemplate:
    """One of the chat templates that TRL ships, on a tokenizer of bytes."""
    import trl
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=MARKS, eos_token=ENDS[name], pad_token="<|pad|>",
        bos_token="<|begin_of_text|>",
    )  # fmt: skip
    made.chat_template = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text("utf-8")
    return ChatTemplate(made)


def record(*turns: dict[str, Any], tools: str | None = TOOLS) -> dict[str, Any]:
    """A canonical record."""
    return {"id": "x", "line": 7, "label": None, "group": None, "messages": list(turns)} | (
        {"tools": tools} if tools else {}
    )


def called(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A canonical record whose answer is these calls."""
    functions = [call | {"arguments": json.dumps(call["arguments"], ensure_ascii=False)} for call in calls]
    turn = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": f} for f in functions]}
    return {"id": "x", "line": 1, "messages": [{"role": "user", "content": "ask"}, turn | more]}


CALL = called(ONE)["messages"][-1]
