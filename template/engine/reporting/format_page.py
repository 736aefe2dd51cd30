"""`reports/format.html`: rows as the trainer sees them, token by token, with those that it learns to write marked.

The page quotes training data, so DVC keeps it, as it does the data, and git does not.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element

from engine.chat.openai_messages import Record
from engine.chat.template import ChatTemplate, Conversation
from engine.core.artifacts import FORMAT_PAGE
from engine.core.io import write_text
from engine.html.elements import Node, document, h, table

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
    intro = "The model learns to write the marked tokens and no others. By the framed one it ends its turn."
    shown = [_row(record, asked, lengths[1], template) for record, asked, lengths in chosen.values()]
    rows = h("section", h("h2", "What is trained on"), h("p", intro), *shown)
    heading = h("header", h("h1", "What the trainer reads"))
    write_text(FORMAT_PAGE, document("Training rows", heading, _lengths(report, limit), rows))


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


def _row(record: Record, asked: Conversation, trained: int, template: ChatTemplate) -> Element:
    tokens = marked(asked, trained, template)
    pieces = [
        h("mark" if learnt else "span", text.replace("\n", "\u21b5\n"), class_="end" if ends else "token")
        for text, learnt, ends in tokens
    ]
    title = f"Input line {record['line']}: {len(tokens)} tokens, {trained} of them trained"
    return h("div", h("h3", title), h("pre", *pieces, dir="auto", class_="tokens"))


def _lengths(report: dict[str, dict[str, Any]], limit: int) -> Element:
    header = ["part", "rows", "tokens", "trained", "median", "P95", "longest", "left out", "packed", "full"]
    counted = ("rows", "tokens", "trained_tokens", "median", "p95", "longest", "left_out", "packed_sequences")
    rows: list[list[Node]] = [
        [part, *(f"{counts[name]:,}" for name in counted), f"{counts['packed_fill']:.1%}"]
        for part, counts in report.items()
    ]
    note = (
        f"Tokens, as the chat template makes them. No row is cut; those of more than {limit:,} tokens are left out. "
        f"Packed: sequences of {limit:,} tokens that would hold the rows, whole; full: the share of them that is used"
    )
    return h("section", h("h2", "Length and packing"), table(header, rows, note))
