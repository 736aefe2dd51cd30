"""Write records in another format: `python -m pipeline.convert IN OUT --from sharegpt --to messages`.

Without `--from` it prints which format the file looks to be in, and what says so, and uses that.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import structs, to_builtins

from pipeline.curation.containers import checked_path, container, read_items
from pipeline.curation.detect import detect
from pipeline.curation.messages import Message
from pipeline.curation.reasons import BadRecordError
from pipeline.curation.records import FORMATS, Record, RecordReader
from pipeline.files import ProjectError, run_stage, write_jsonl
from pipeline.settings import CurateSettings, load

_SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert a data file to another format.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--from", dest="given", choices=sorted(FORMATS))
    parser.add_argument("--to", choices=sorted(WRITERS), default="messages")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target, arguments.given, arguments.to, load().curate)


def convert(source: Path, target: Path, given: str | None, wanted: str, settings: CurateSettings) -> int:
    """Convert every record of a file. Returns how many.

    Raises:
        ProjectError: the format is not recognised, or a record cannot be read or cannot be said in the other format.
    """
    checked_path(source, Path.cwd())
    if given is None:
        looks = detect(source, settings)
        print(looks.sentence(), file=sys.stderr)
        if looks.format is None:
            raise ProjectError("the format is not recognised", str(source), "name it with --from")
        given = looks.format
    reader = RecordReader(structs.replace(settings, format=given, group_key=None, label_key=None, languages=[]))
    return write_jsonl(target, _converted(source, reader, WRITERS[wanted]))


def _converted(source: Path, reader: RecordReader, write: "Writer") -> Iterator[dict[str, Any]]:
    for line, _, payload in read_items(source, container(source)):
        try:
            yield write(reader.read(payload, line))
        except BadRecordError as bad:
            mend = "mend it, or curate the file first: `dvc repro curate` lists every such record"
            raise ProjectError(f"{bad.reason}: {bad.detail}", f"{source}, line {line}", mend) from None


Writer = Callable[[Record], dict[str, Any]]


def _to_messages(record: Record) -> dict[str, Any]:
    """OpenAI's form, which hosted services read too."""
    fields: dict[str, Any] = {"messages": [to_builtins(turn) for turn in record.messages]}
    if record.tools:
        fields["tools"] = record.tools
    return fields


def _to_jsonl(record: Record) -> dict[str, Any]:
    system, turns = _parts(record.messages)
    if len(turns) != 2:
        raise BadRecordError("roles", f"{len(turns)} turns: prompt and completion hold two")
    return system | {"prompt": turns[0].content, "completion": turns[1].content}


def _to_alpaca(record: Record) -> dict[str, Any]:
    system, turns = _parts(record.messages)
    if len(turns) % 2 or any(turn.role == "tool" or turn.tool_calls for turn in turns):
        raise BadRecordError("roles", "alpaca holds pairs of request and answer")
    pairs = [[turns[at].content, turns[at + 1].content] for at in range(0, len(turns) - 2, 2)]
    history = {"history": pairs} if pairs else {}
    return system | history | {"instruction": turns[-2].content, "input": "", "output": turns[-1].content}


def _to_sharegpt(record: Record) -> dict[str, Any]:
    system, turns = _parts(record.messages)
    tools = {"tools": record.tools} if record.tools else {}
    return system | tools | {"conversations": [_spoken(turn) for turn in turns]}


def _spoken(turn: Message) -> dict[str, Any]:
    """A turn in ShareGPT's words."""
    if turn.tool_calls:
        return {"from": "gpt", "value": turn.content, "tool_calls": turn.tool_calls}
    return {"from": _SPEAKERS[turn.role], "value": turn.content}


def _to_preference(record: Record) -> dict[str, Any]:
    """The form of hosted services and of TRL's explicit prompts."""
    if record.rejected is None:
        raise BadRecordError("preference", "the record has no rejected answer")
    place = len(record.messages) - 1
    prompt, chosen = record.messages[:place], record.messages[place:]
    parts = {"prompt": prompt, "chosen": chosen, "rejected": record.rejected}
    return {name: [to_builtins(turn) for turn in turns] for name, turns in parts.items()}


def _to_hosted_preference(record: Record) -> dict[str, Any]:
    fields = _to_preference(record)
    request = {"messages": fields["prompt"], "tools": [], "parallel_tool_calls": True}
    return {"input": request, "preferred_output": fields["chosen"], "non_preferred_output": fields["rejected"]}


def _parts(messages: list[Message]) -> tuple[dict[str, str], list[Message]]:
    if messages[0].role == "system":
        return {"system": messages[0].content}, messages[1:]
    return {}, messages


WRITERS: dict[str, Writer] = {
    "alpaca": _to_alpaca,
    "hosted_preference": _to_hosted_preference,
    "jsonl": _to_jsonl,
    "messages": _to_messages,
    "preference": _to_preference,
    "sharegpt": _to_sharegpt,
}


if __name__ == "__main__":
    sys.exit(run_stage(main))
