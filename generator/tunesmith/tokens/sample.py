"""A sample of the user's raw records as conversations: enough to count their tokens, long before they are curated.

What the stage `curate` fixes, drops or refuses is not judged here: a record that is not understood is left out.
"""

import base64
import csv
import gzip
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import FileProblem
from tunesmith.tokens import parquet_rows, project_python
from tunesmith.tokens.parquet_rows import BEGINNING, EVENLY

WHOLE_BYTES = 4 << 20  # a file up to this size is read whole
PLACES = 2000  # of a larger file: so many records, evenly spaced by their place in the file
CHARACTERS = 800_000  # that are tokenized at most, and
CONVERSATIONS = 5000  # that are rendered at most: each a fraction of a second
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}
ASKED = ("prompt", "input", "question", "query", "instruction")
ANSWERED = ("completion", "output", "answer", "response")
# What a turn says beside its content. A chat template has other words for it, and for the tools: about as many.
BESIDE = ("reasoning_content", "thinking", "tool_calls", "function_call")
TURNS = ("messages", "conversations", "conversation", "items", "dialog", "dialogue")
TOOLS = ("tools", "functions")
# Of a table, other columns are not read.
COLUMNS = (*ASKED, *ANSWERED, *TURNS, *TOOLS, "system", "system_prompt", "context", "history")
INSTALL = "pip install 'tunesmith[tables]', or `python3 environment.py` in the project"

Turn = dict[str, str]


@dataclass(frozen=True)
class Sample:
    """Conversations of a file; ``how`` says which they are of a larger one; ``skipped`` records were not understood."""

    conversations: Sequence[Sequence[Turn]]
    how: str
    skipped: int

    @property
    def whole(self) -> bool:
        """Whether they are all that the file holds."""
        return not self.how


class NoReader(Exception):
    """Which package the container needs, and how to get it."""


def read(path: Path, form: str, environment: Path | None = None) -> Sample:
    """The conversations of a data file, or some of a large one: always the same of the same file.

    ``environment`` is that of the project, which may have the packages that this Python lacks.

    Raises:
        FileProblem: it cannot be read here.
        NoReader: a package is missing.
    """
    if path.exists() and not path.is_file():
        raise FileProblem(path, "is not a regular file", "name a file of records")
    try:
        records, how = _records(path, environment)
    except (OSError, EOFError, csv.Error, ValueError) as error:  # what is no UTF-8 is a ValueError
        raise FileProblem(path, f"cannot be read: {error}", "run the stage `curate` to see what is wrong") from None
    read = READERS.get(form, _messages)
    found = [turns for record in records if (turns := _turns(record, read))]
    skipped = len(records) - len(found)
    characters = sum(len(turn["content"]) for turns in found for turn in turns)
    step = max(1, -(-characters // CHARACTERS), -(-len(found) // CONVERSATIONS))
    return Sample(found[::step], how or (EVENLY if step > 1 else ""), skipped)


def _records(path: Path, environment: Path | None) -> tuple[list[Any], str]:
    with path.open("rb") as handle:
        start = handle.read(4)
    if kind := parquet_rows.KINDS.get(start):
        return _contained(kind, path, environment)
    if start.startswith(b"\x1f\x8b"):
        with gzip.open(path) as packed:
            data = packed.read(WHOLE_BYTES + 1)
        return _parsed(path.with_suffix(""), data[:WHOLE_BYTES], cut=len(data) > WHOLE_BYTES)
    size = path.stat().st_size
    if size <= WHOLE_BYTES:
        return _parsed(path, path.read_bytes(), cut=False)
    with path.open("rb") as handle:
        if not handle.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or path.suffix in (".csv", ".tsv"):
            handle.seek(0)
            return _parsed(path, handle.read(WHOLE_BYTES), cut=True)
        # The line after each place, for a long line is more often hit than a short one.
        lines = [_line_after(handle, size * place // PLACES) for place in range(PLACES)]
    return [record for line in lines if (record := _json(line)) is not None], EVENLY


def _contained(kind: str, path: Path, environment: Path | None) -> tuple[list[Any], str]:
    """Records of a container that takes a package to read, or another Python that has it."""
    asked: dict[str, Any] = {
        "kind": kind,
        "path": str(path.absolute()),
        "columns": COLUMNS,
        "rows": PLACES,
        "size": WHOLE_BYTES,
    }
    try:
        found = parquet_rows.read(**asked)
    except ImportError:
        reason = f"{kind} is counted with the package {parquet_rows.PACKAGES[kind]} ({INSTALL})"
        try:
            found = project_python.ask(parquet_rows.__file__, asked, environment, reason)
        except project_python.NoPython as error:
            raise NoReader(str(error)) from None
    if "fault" in found:
        raise ValueError(found["fault"])
    if "text" in found:
        return _parsed(path.with_suffix(""), base64.b64decode(found["text"]), cut=not found["whole"])
    return found["rows"], found["how"]


def _line_after(handle: Any, place: int) -> bytes:
    handle.seek(place)
    if place:
        handle.readline(WHOLE_BYTES)
    line: bytes = handle.readline(WHOLE_BYTES)
    return line


def _parsed(path: Path, data: bytes, *, cut: bool) -> tuple[list[Any], str]:
    """Records of the beginning of a file, or of the whole: JSON lines, one JSON array, CSV or TSV."""
    text = data.decode("utf-8-sig", errors="ignore" if cut else "strict")
    if path.suffix in (".csv", ".tsv"):
        rows = csv.DictReader(text.splitlines(keepends=True), delimiter="\t" if path.suffix == ".tsv" else ",")
        records: list[Any] = list(rows)
        return (records[:-1], BEGINNING) if cut else (records, "")
    if text.lstrip().startswith("[") and not cut:
        try:
            loaded = json.loads(text)
            return (loaded if isinstance(loaded, list) else []), ""
        except (ValueError, RecursionError):
            pass  # lines of lists
    lines = text.splitlines()
    found = (_json(line) for line in (lines[:-1] if cut else lines) if line.strip())
    return list(found), BEGINNING if cut else ""


def _json(line: bytes | str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return {}


def _turns(record: Any, read: Callable[[Mapping[str, Any]], list[Turn]]) -> list[Turn]:
    """The record's conversation if it ends with an answer to a question, as whatever is trained on does."""
    if not isinstance(record, Mapping):
        return []
    try:
        turns = read(record)
    except (KeyError, TypeError, AttributeError):
        return []
    system = next((record[key] for key in ("system", "system_prompt") if isinstance(record.get(key), str)), "")
    roles = [turn["role"] for turn in turns]
    if roles[-1:] != ["assistant"] or "user" not in roles or not all(_is_text(turn["content"]) for turn in turns):
        return []
    if tools := _text(next((record[key] for key in TOOLS if record.get(key)), None)):
        turns = [turns[0] | {"content": f"{tools}\n{turns[0]['content']}"}, *turns[1:]]
    return turns if not system or "system" in roles else [{"role": "system", "content": system}, *turns]


def _is_text(content: Any) -> bool:
    """Whether this is text that can be written, which half of a surrogate pair cannot."""
    try:
        str.encode(content)
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _pair(record: Mapping[str, Any]) -> list[Turn]:
    asked = next((record[key] for key in ASKED if record.get(key) is not None), None)
    answer = next((record[key] for key in ANSWERED if record.get(key) is not None), None)
    if asked is None or answer is None:
        return []
    return [*_spoken(asked, "user"), *_spoken(answer, "assistant")]


def _spoken(value: Any, role: str) -> list[Turn]:
    return list(_told(value)) if isinstance(value, list) else [{"role": role, "content": str(value)}]


def _alpaca(record: Mapping[str, Any]) -> list[Turn]:
    asked = "\n".join(part for key in ("instruction", "input", "context") if (part := record.get(key)))
    history = itertools.chain.from_iterable(record.get("history") or [])
    earlier = [{"role": role, "content": text} for role, text in zip(itertools.cycle(("user", "assistant")), history)]
    answer = record.get("output") or record["response"]
    return [*earlier, {"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _messages(record: Mapping[str, Any]) -> list[Turn]:
    key = next((key for key in TURNS if key in record), "messages")
    return list(_told(record[key]))


def _told(turns: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    for turn in turns:
        role = turn.get("role", turn.get("from", turn.get("speaker", turn.get("sender"))))
        content = turn.get("content", turn.get("value", turn.get("text")))
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        beside = [_text(turn[key]) for key in BESIDE if turn.get(key)]
        yield {
            "role": ROLES.get(str(role).lower(), str(role).lower()),
            "content": "\n".join(filter(None, [content, *beside])),
        }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value else ""


READERS: dict[str, Callable[[Mapping[str, Any]], list[Turn]]] = {
    "jsonl": _pair,
    "alpaca": _alpaca,
    "sharegpt": _messages,
    "messages": _messages,
}
