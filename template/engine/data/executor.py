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
from typing import Any

from engine.core.artifacts import CURATION_WORK
from engine.core.artifacts import FEEDBACK_FILES as FEEDBACK
from engine.core.device import versions
from engine.core.errors import ProjectError
from engine.core.fingerprint import code_key
from engine.data.datatrove_executor import run_on
from engine.data.normalise.dataset_formats import MANY_ANSWERS
from engine.data.read.file_formats import checked_path, container
from engine.data.read.folders import data_files, raw_files
from engine.data.record_store import compare_part
from engine.data.shards import Piece, build_part, finished, key_of, pieces_of
from engine.settings.curate import CurateSettings

EMBEDDED = "embedded"
PIECE_BYTES = 8 << 20
WORKER_BYTES = 1 << 20  # a process takes longer to start than to read so much
_QUIET_SECONDS = 2  # after that, say how far it is


class Parts:
    """The parts of a run, in the order of their files."""

    def __init__(self, folders: list[Path], pieces: list[Piece], sha256: dict[str, str]) -> None:
        self.folders, self.pieces, self.sha256 = folders, pieces, sha256

    @property
    def sources(self) -> list[str]:
        """The file of each part."""
        return [piece.source for piece in self.pieces]


def read_parts(settings: CurateSettings, work: Path = CURATION_WORK) -> Parts:
    """Run the record stage over the data file and all feedback.

    Raises:
        ProjectError: a file cannot be read as a whole; a broken record is no error, it is rejected.
    """
    pieces: list[Piece] = []
    hashes = {}
    corrections = data_files(FEEDBACK)  # the oldest name first: a later one wins
    if corrections and settings.format in MANY_ANSWERS:
        what = f"feedback has one right answer per record, but the data are in the format `{settings.format}`"
        raise ProjectError(
            what,
            str(corrections[0]),
            f"add the feedback to {settings.path} in that format and remove the feedback file",
        )
    raw = raw_files(Path(settings.path))
    for path, is_feedback in [*((path, False) for path in raw), *((path, True) for path in corrections)]:
        checked_path(path, Path.cwd())
        form = container(path)
        cut, hashes[str(path)] = pieces_of(path, form, PIECE_BYTES, feedback=is_feedback)
        pieces += cut
    read = settings.model_copy(update={"engine": EMBEDDED})  # a part is the same for every executor
    code = [code_key(__file__), versions()]
    folders = [work / key_of(code, hashes[piece.source], piece, read) for piece in pieces]
    if work.exists():
        for stale in set(work.iterdir()) - set(folders):
            shutil.rmtree(stale)
    missing = [(folder, piece) for folder, piece in zip(folders, pieces, strict=True) if finished(folder) is None]
    tasks = [(piece.size, build_part, (folder, piece, settings)) for folder, piece in missing]
    run_all("reading", tasks, settings.engine)
    return Parts(folders, pieces, hashes)


def compare_parts(folders: Iterable[Path], unit: str, with_answer: bool, engine: str = EMBEDDED) -> None:
    """Compute what records are compared by, for every part."""
    tasks = [
        ((folder / "records.jsonl").stat().st_size, compare_part, (folder, unit, with_answer)) for folder in folders
    ]
    run_all("comparing", tasks, engine)


def run_all(what: str, tasks: list[tuple[int, Callable[..., Any], tuple[Any, ...]]], engine: str) -> None:
    """Call each function, several at a time if there are several; each task says how many bytes it is."""
    if engine != EMBEDDED and tasks:
        run_on(engine, [(function, arguments) for _, function, arguments in tasks])
        return
    total = sum(size for size, _, _ in tasks)
    progress = _Progress(what, total)
    workers = min(len(tasks), os.cpu_count() or 1, total // WORKER_BYTES)
    if workers < 2:
        for size, function, arguments in tasks:
            function(*arguments)
            progress.done(size)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        running = {pool.submit(function, *arguments): size for size, function, arguments in tasks}
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
