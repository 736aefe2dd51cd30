"""Read and write the project's files: whole or not at all, and byte-stable."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import msgspec

from engine.core.errors import ProjectError

Kind = TypeVar("Kind")


class Result(msgspec.Struct, frozen=True):
    """What one stage of this project writes and another one reads.

    A file that an update kept may be an earlier release's: keys that this one does not know are left aside.
    """


def cache_folder() -> Path:
    """Where this machine keeps what it can fetch or compute again: base models, wheels, merged weights, answers.

    It is ``PROJECT_CACHE``, which several checkouts can share, or ``.cache`` in the project. An experiment that DVC
    runs in a copy of the project below ``.dvc/tmp`` uses the cache of the project itself.
    """
    here = Path.cwd()
    root = next((folder.parent for folder in here.parents if folder.name == ".dvc"), here)
    return root / (os.environ.get("PROJECT_CACHE") or ".cache")


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Open a temporary text file and rename it to ``path`` only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically."""
    with writing(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` (dicts, msgspec structs) as indented JSON with a fixed key order: equal values, equal bytes."""
    text = json.dumps(value, default=msgspec.to_builtins, ensure_ascii=False, indent=2, sort_keys=True)
    write_text(path, text + "\n")


def read(path: Path, kind: type[Kind], stage: str) -> Kind:
    """What a stage wrote to a JSON file. Raises `ProjectError` if it is missing, broken or of another shape."""
    with _written_by(stage, path):
        return msgspec.convert(read_json(path), kind)


def read_rows(path: Path, kind: type[Kind], stage: str) -> list[Kind]:
    """The rows that a stage wrote to a JSONL file; see `read`."""
    with _written_by(stage, path):
        return msgspec.convert(read_jsonl(path), list[kind])  # type: ignore[valid-type]


@contextmanager
def _written_by(stage: str, path: Path) -> Iterator[None]:
    """Names the stage to run in the error for a file of it."""
    fix = f"run `dvc pull`, or `dvc repro --force --single-item {stage}`"
    try:
        yield
    except ProjectError as error:
        raise ProjectError(error.what, error.where, fix) from None
    except msgspec.ValidationError as error:
        raise ProjectError(f"not what the stage {stage} writes: {error}", str(path), fix) from None


def read_json(path: Path) -> Any:
    """The JSON value in ``path``. Raises `ProjectError` if it is missing or broken."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ProjectError("file not found", str(path), "run `dvc repro` or `dvc pull`") from None
    except json.JSONDecodeError as error:
        raise ProjectError(f"not valid JSON: {error}", str(path)) from None


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write one JSON object a line (msgspec structs or dicts). Returns the number of rows."""
    encoder = msgspec.json.Encoder()
    count = 0
    with writing(path) as file:
        for row in rows:
            file.write(encoder.encode(row).decode() + "\n")
            count += 1
    return count


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSONL file that a stage of this project wrote."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    try:
        with open(path, "rb") as file:
            return [decoder.decode(line) for line in file if line.strip()]
    except FileNotFoundError:
        raise ProjectError("file not found", str(path), "run `dvc repro` or `dvc pull`") from None
    except msgspec.DecodeError as error:
        raise ProjectError(f"not valid JSON lines: {error}", str(path)) from None


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of ``value``."""
    return sha256_bytes(json.dumps(value, ensure_ascii=False, sort_keys=True).encode())
