"""Counts tokens with the package `tokenizers`; imported, or run by another Python that has it.

As a script it reads {"tokenizer": PATH or "", "json": TEXT, "texts": [...]} from standard input and writes the lengths.
It imports nothing of Tunesmith, so that the environment of a generated project can run it.
"""

import json
import sys
from collections.abc import Sequence


def lengths(path: str, written: str, texts: Sequence[str]) -> list[int]:
    """Tokens of each text, special tokens in it counted as such and none added.

    The tokenizer is the file ``path``, or else the text of such a file.

    Raises:
        ImportError: the package is not installed.
        ValueError: this is no tokenizer that it reads.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path) if path else Tokenizer.from_str(written)
    except Exception as error:  # the package raises a bare Exception
        raise ValueError(str(error)) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [len(found) for found in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(lengths(asked["tokenizer"], asked["json"], asked["texts"]), sys.stdout)
