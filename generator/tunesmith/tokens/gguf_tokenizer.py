"""The tokenizer inside a GGUF file, as the text of a tokenizer.json: what transformers makes of the package model.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only byte-pair tokenizers (`gpt2`) are read, split as
transformers 5 splits them (GPT-2's expression), because that is what generated projects count and train with.
"""

import json
import struct
from typing import IO, Any

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
CONTROL, USER_DEFINED = 3, 4  # types of tokens that are matched whole
KEY = "tokenizer."


class NoTokenizer(ValueError):
    """The file holds no tokenizer that is read here; the message says why."""


def tokenizer(stream: IO[bytes]) -> tuple[str, dict[str, Any]]:
    """The text of a tokenizer.json, and what a tokenizer_config.json would say: chat template, first and last token.

    Raises:
        NoTokenizer: this is no such file.
    """
    try:
        metadata = _metadata(stream)
        kind, tokens = metadata["tokenizer.ggml.model"], metadata["tokenizer.ggml.tokens"]
    except (KeyError, struct.error, UnicodeDecodeError) as error:
        raise NoTokenizer(f"its tokenizer cannot be read ({error})") from None
    if kind != "gpt2":
        raise NoTokenizer(f"its tokenizer is of the kind {kind}, not byte-pair (gpt2)")
    types = metadata.get("tokenizer.ggml.token_type", [])
    special = [place for place, kind in enumerate(types) if kind in (CONTROL, USER_DEFINED)]
    whole = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    split = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    written = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": place, "content": tokens[place], **whole} for place in special],
        "normalizer": None,
        "pre_tokenizer": split,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "vocab": {token: place for place, token in enumerate(tokens)},
            "merges": metadata.get("tokenizer.ggml.merges", []),
        },
    }
    ends = {name: metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
    settings = {f"{name}_token": tokens[place] for name, place in ends.items() if place is not None}
    return json.dumps(written), settings | {"chat_template": metadata.get("tokenizer.chat_template")}


def _metadata(stream: IO[bytes]) -> dict[str, Any]:
    """The values whose keys begin with ``tokenizer.``; weights are not read."""
    magic, _version, _tensors, count = struct.unpack("<4sIQQ", stream.read(24))
    if magic != b"GGUF":
        raise NoTokenizer("it is not a GGUF file")
    found = {}
    for _ in range(count):
        key = _string(stream)
        (kind,) = struct.unpack("<I", stream.read(4))
        value = _value(stream, kind)
        if key.startswith(KEY):
            found[key] = value
    return found


def _value(stream: IO[bytes], kind: int) -> Any:
    if kind == STRING:
        return _string(stream)
    if kind != ARRAY:
        return _numbers(stream, kind, 1)[0]
    inner, length = struct.unpack("<IQ", stream.read(12))
    if inner == STRING:
        return [_string(stream) for _ in range(length)]
    if inner == ARRAY:
        return [_value(stream, ARRAY) for _ in range(length)]
    return list(_numbers(stream, inner, length))


def _numbers(stream: IO[bytes], kind: int, count: int) -> tuple[Any, ...]:
    if kind not in NUMBERS:
        raise NoTokenizer(f"it has a value of the unknown type {kind}")
    form = f"<{count}{NUMBERS[kind]}"
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def _string(stream: IO[bytes]) -> str:
    (length,) = struct.unpack("<Q", stream.read(8))
    return stream.read(length).decode("utf-8")
