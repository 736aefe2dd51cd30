"""Cut the documents in ``knowledge/`` into passages that are short enough for a prompt."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from engine.core.errors import ProjectError
from engine.inference.prompting import Passage

TEXT_SUFFIXES = {".md", ".rst", ".txt"}
_PARAGRAPH = re.compile(r"\n\s*\n")


def read_passages(folder: Path, chunk_words: int, overlap_words: int) -> list[Passage]:
    """Passages of every document under ``folder``, in the order of their paths.

    Raises:
        ProjectError: there is no document, or one is not UTF-8 text.
    """
    if overlap_words >= chunk_words:
        where, fix = "params.yaml: retrieval.overlap_words", "make it smaller than retrieval.chunk_words"
        raise ProjectError("passages would overlap completely", where, fix)
    passages = []
    for source, text in documents(folder):
        for number, chunk in enumerate(chunks(text, chunk_words, overlap_words)):
            passages.append({"id": f"{source}#{number}", "source": source, "text": chunk})
    if not passages:
        endings = ", ".join(sorted([*TEXT_SUFFIXES, ".jsonl"]))
        raise ProjectError("there are no documents to retrieve from", f"{folder}/", f"put files there ({endings})")
    return passages


def documents(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each document: a text file each, or a line ``{"id": ..., "text": ...}`` of a JSONL file."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix not in {*TEXT_SUFFIXES, ".jsonl"}:
            continue
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            where, fix = f"{path}, byte {error.start}", "save it as UTF-8"
            raise ProjectError("a document is not UTF-8 text", where, fix) from None
        if path.suffix != ".jsonl":
            yield name, text
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield _document(line, f"{path}, line {number}")


def _document(line: str, where: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
        return str(row["id"]), str(row["text"])
    except (ValueError, KeyError, TypeError):
        fix = 'write one {"id": "...", "text": "..."} per line'
        raise ProjectError("not a document", where, fix) from None


def chunks(text: str, chunk_words: int, overlap_words: int) -> Iterator[str]:
    """Whole paragraphs as long as they fit in ``chunk_words``; a longer paragraph is cut with an overlap."""
    held: list[str] = []
    held_words = 0
    for paragraph in filter(None, (part.strip() for part in _PARAGRAPH.split(text))):
        words = len(paragraph.split())
        if held and held_words + words > chunk_words:
            yield "\n".join(held)
            held, held_words = [], 0
        if words > chunk_words:
            yield from _windows(paragraph.split(), chunk_words, overlap_words)
        else:
            held.append(paragraph)
            held_words += words
    if held:
        yield "\n".join(held)


def _windows(words: list[str], size: int, overlap: int) -> Iterator[str]:
    for start in range(0, max(1, len(words) - overlap), size - overlap):
        yield " ".join(words[start : start + size])
