"""The pieces of all files through the record stage and the comparison: on every core or by `curate.engine`.

Finished parts of a run that was stopped are found again by the hash of their input, the settings and this code.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import astuple

from engine.core.answers import without_extra
from engine.core.artifacts import CURATION_WORK, FEEDBACK_FILES
from engine.core.device import versions
from engine.core.errors import ProjectError
from engine.core.fingerprint import code_key
from engine.core.io import sha256_file, sha256_json
from engine.data.normalise.dataset_formats import MANY_ANSWERS
from engine.data.read.file_formats import checked_path, container
from engine.data.read.folders import data_files, raw_files
from engine.data.shards import Piece, build_part, pieces_of
from engine.settings.curate import CurateSettings

EMBEDDED = "embedded"
PIECE_BYTES = 8 << 20
WORKER_BYTES = 1 << 20  # a process takes longer to start than to read so much
_QUIET_SECONDS = 2  # after that, say how far it is


class Task(NamedTuple):
    """A call that reads so many bytes."""

    size: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Parts(NamedTuple):
    """The parts of a run, in the order of their files."""

    folders: list[Path]
    pieces: list[Piece]
    sha256: dict[str, str]  # of each file

    @property
    def sources(self) -> list[str]:
        """The file of each part."""
        return [piece.source for piece in self.pieces]

    @property
    def feedback(self) -> set[str]:
        """The files that correct others."""
        return {piece.source for piece in self.pieces if piece.feedback}


def read_parts(settings: CurateSettings) -> Parts:
    """Run the record stage over the data file and all feedback.

    Raises:
        ProjectError: a file cannot be read as a whole; a broken record is no error, it is rejected.
    """
    corrections = data_files(FEEDBACK_FILES)  # the oldest name first: a later one wins
    if corrections and settings.format in MANY_ANSWERS:
        what = f"feedback has one right answer per record, but the data are in the format `{settings.format}`"
        fix = f"add the feedback to {settings.path} in that format and remove the feedback file"
        raise ProjectError(what, str(corrections[0]), fix)
    pieces: list[Piece] = []
    sha256 = {}
    raw = raw_files(Path(settings.path))
    for path, feedback in [*((path, False) for path in raw), *((path, True) for path in corrections)]:
        checked_path(path, Path.cwd())
        pieces += pieces_of(path, container(path), PIECE_BYTES, feedback=feedback)
        sha256[str(path)] = sha256_file(path)
    read = settings.model_copy(update={"engine": EMBEDDED})  # a part is the same for every executor
    shared = [code_key(__file__), versions(), read.model_dump()]
    keys = [sha256_json([*shared, sha256[piece.source], astuple(piece)]) for piece in pieces]
    folders = [CURATION_WORK / key[:16] for key in keys]
    for stale in set(CURATION_WORK.glob("*")) - set(folders):
        shutil.rmtree(stale)
    missing = [pair for pair in zip(folders, pieces, strict=True) if not (pair[0] / "done.json").exists()]
    tasks = [Task(piece.size, build_part, (folder, piece, settings)) for folder, piece in missing]
    run_all("reading", tasks, settings.engine)
    return Parts(folders, pieces, sha256)


def compare_parts(engine: str, folders: Iterable[Path], function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function that compares the records of one part, for every part."""
    parts = [(folder, (folder / "records.jsonl").stat().st_size) for folder in folders]
    run_all("comparing", [Task(size, function, (folder, *arguments)) for folder, size in parts], engine)


def run_all(what: str, tasks: list[Task], engine: str) -> None:
    """Call each task's function, several at a time if there are several."""
    if engine != EMBEDDED and tasks:
        try:
            from engine.data.datatrove_executor import run_on  # type: ignore[import-not-found,unused-ignore]
        except ModuleNotFoundError:
            raise without_extra("cluster", f"curate.engine: {engine}") from None
        run_on(engine, tasks)
        return
    total = sum(task.size for task in tasks)
    progress = _Progress(what, total)
    workers = min(len(tasks), os.cpu_count() or 1, total // WORKER_BYTES)
    if workers < 2:
        for task in tasks:
            task.function(*task.arguments)
            progress.done(task.size)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        running = {pool.submit(task.function, *task.arguments): task.size for task in tasks}
        for future in as_completed(running):
            future.result()
            progress.done(running[future])
    except BrokenProcessPool:
        fix = "free some memory and run it again; finished parts are kept"
        raise ProjectError("a worker process was killed, probably because memory ran out", what, fix) from None
    finally:
        pool.shutdown(cancel_futures=True)


class _Progress:
    """One line every few seconds on the terminal: how much is read, how fast, how long it will take."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.seen = what, total, 0
        self.start = self.shown = time.monotonic()

    def done(self, size: int) -> None:
        self.seen += size
        now = time.monotonic()
        if now - self.shown < _QUIET_SECONDS or self.seen >= self.total:
            return
        self.shown = now
        rate = self.seen / (now - self.start)
        left = (self.total - self.seen) / rate
        text = f"{self.seen >> 20} of {self.total >> 20} MiB, {rate / 2**20:.0f} MiB/s, about {left:.0f} s left"
        print(f"curate: {self.what}: {text}", file=sys.stderr, flush=True)
