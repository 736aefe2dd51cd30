"""`reports/format.html`: rows as the trainer sees them, token by token, with those that it learns to write marked.

The page quotes training data, so DVC keeps it, as it does the data, and git does not.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from engine.chat.openai_messages import Record
from engine.chat.template import ChatTemplate, Conversation
from engine.core.artifacts import FORMAT_PAGE
from engine.core.io import write_text
from engine.html.pages import render

Sample: TypeAlias = tuple[Record, Conversation, tuple[int, int]]  # record, as it is trained on, tokens and trained ones


def write_page(
    samples: Sequence[Sample], report: dict[str, dict[str, Any]], limit: int, template: ChatTemplate
) -> None:
    """Write the page.

    Args:
        samples: training rows, of which the shortest, the one of median length and the longest are shown.
        limit: `format.max_length`.
    """
    by_length = sorted(samples, key=lambda sample: (sample[2], str(sample[0]["id"])))
    chosen = {place: by_length[place] for place in (0, len(by_length) // 2, len(by_length) - 1)}
    rows = [
        {"line": record["line"], "trained": lengths[1], "tokens": marked(asked, lengths[1], template)}
        for record, asked, lengths in chosen.values()
    ]
    write_text(FORMAT_PAGE, render("reporting/format_page/format.html.j2", rows=rows, report=report, limit=limit))


def marked(asked: Conversation, trained: int, template: ChatTemplate) -> list[tuple[str, bool, bool]]:
    """The tokens of a row as text, each with whether it is trained on and whether it ends the turn.

    A character that several tokens make up stands with the last of them.
    """
    text, tokenizer = template.text(*asked), template.tokenizer
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens, done = [], 0
    for place, (token, (_, end)) in enumerate(zip(found["input_ids"], found["offset_mapping"], strict=True)):
        learnt = place >= len(found["input_ids"]) - trained
        tokens.append((text[done:end], learnt, learnt and token == tokenizer.eos_token_id))
        done = max(done, end)
    return tokens
