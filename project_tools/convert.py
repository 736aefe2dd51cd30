"""Write records in another format: `tunesmith tool convert IN OUT --from sharegpt --to messages`.

Without `--from` it prints which format the file looks to be in, and what says so, and uses that.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.core.errors import ProjectError, run_stage
from engine.core.io import write_jsonl
from engine.core.params import load
from engine.data.check.reject_reasons import BadRecordError
from engine.data.normalise.dataset_formats import (
    CHOSEN_KEYS,
    COMPLETION_KEYS,
    CONVERSATION_KEYS,
    PROMPT_KEYS,
    REJECTED_KEYS,
    SYSTEM_KEYS,
)
from engine.data.normalise.records import FORMATS, RecordReader
from engine.data.read.detect_format import detect
from engine.data.read.file_formats import checked_path, container, read_items
from engine.settings.curate import AnomalySettings, CurateParams, CurateSettings, PrivateSettings, QualitySettings
from project_tools.writers import WRITERS, written

_CONTENT = {"messages", "tools", "functions", "history", "context", "text", *SYSTEM_KEYS, *PROMPT_KEYS}
_CONTENT |= {*COMPLETION_KEYS, *CONVERSATION_KEYS}
_COMPARING = ("preference", "hosted_preference")
_COMPARED = {*CHOSEN_KEYS, *REJECTED_KEYS, "completions", "responses"}


def main() -> None:
    parser = argparse.ArgumentParser("tunesmith tool convert", description="Convert a data file to another format.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--from", dest="given", choices=sorted(FORMATS))
    parser.add_argument("--to", choices=sorted(WRITERS), default="messages")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target, arguments.given, arguments.to, load(CurateParams).curate)


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
    return write_jsonl(target, _converted(source, given, wanted, settings))


def _converted(source: Path, given: str, wanted: str, settings: CurateSettings) -> Iterator[dict[str, Any]]:
    reader = RecordReader(_unchanged(settings, given))
    for line, _, payload in read_items(source, container(source)):
        try:
            fields = reader.fields(payload)
            record = reader.canonical(fields, line)
            yield _further(fields, given, wanted) | written(record, wanted)
        except BadRecordError as bad:
            fix = "fix it, or curate the file first: `dvc repro curate` lists every such record"
            raise ProjectError(f"{bad.reason}: {bad.detail}", f"{source}, line {line}", fix) from None


def _unchanged(settings: CurateSettings, given: str) -> CurateSettings:
    """Settings under which a record is read as it is: nothing is repaired, redacted, judged or too long."""
    changes: dict[str, Any] = {
        "format": given,
        "anomalies": AnomalySettings.model_validate(dict.fromkeys(AnomalySettings.model_fields, "keep")),
        "private": PrivateSettings.model_validate(dict.fromkeys(PrivateSettings.model_fields, "report")),
        "quality": QualitySettings.model_validate(dict.fromkeys(QualitySettings.model_fields, "report")),
        "pii_engine": "regex",
        "group_key": None,
        "label_key": None,
        "languages": [],
        "max_chars": sys.maxsize,
        "min_answer_chars": 0,
    }
    return settings.model_copy(update=changes)


def _further(fields: dict[str, Any], given: str, wanted: str) -> dict[str, Any]:
    """What a record has besides its content: ids, labels, sources. They go along as they are, but not to a service."""
    if wanted == "hosted":
        return {}
    own = _COMPARED if given in _COMPARING else {"label", "kto_tag", "desirable"} if given == "kto" else set()
    further = {key: value for key, value in fields.items() if key.lower() not in _CONTENT | own}
    clash = sorted(further.keys() & (_COMPARED if wanted in _COMPARING else {"label"} if wanted == "kto" else set()))
    if clash:
        raise BadRecordError("schema", f"field `{clash[0]}` means something else in {wanted}: rename it")
    return further


if __name__ == "__main__":
    sys.exit(run_stage(main))
