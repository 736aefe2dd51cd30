"""Answers that were computed before, in one SQLite database that every run on this machine may read and write.

The database is in WAL mode: readers and a writer do not wait for each other, writers wait for each other, and a killed
run leaves nothing half-written. WAL needs shared memory, so machines must not share the folder over a network.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeAlias

from engine.core.errors import ProjectError
from engine.core.io import cache_folder, sha256_bytes, sha256_json

Value: TypeAlias = dict[str, Any]  # an answer as JSON
ANSWERS = cache_folder() / "answers"  # shared by every experiment, and by checkouts that share the folder
BUSY_SECONDS = 60  # how long a write waits for those of other processes, which take milliseconds
TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    backend TEXT NOT NULL, request TEXT NOT NULL, answer TEXT NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (backend, request)
) WITHOUT ROWID
"""


class AnswerCache:
    """The answers of one backend, by the hash of prompt and decoding.

    An interrupted run thus continues, and an experiment computes only what it changes. The seconds are kept with the
    answers: the measurement of a cached arm is the one that was made when it was computed.
    """

    def __init__(self, database: sqlite3.Connection, identity: Mapping[str, Any]) -> None:
        self.database, self.backend = database, sha256_json(identity)

    def get(self, keys: Sequence[str]) -> dict[str, Value]:
        """The answers among ``keys`` that are known. Raises `ProjectError` if one is not what was written."""
        query = "SELECT answer, sha256 FROM answers WHERE backend = ? AND request = ?"
        found = {}
        for key in dict.fromkeys(keys):
            for answer, checksum in self.database.execute(query, (self.backend, key)):
                if sha256_bytes(answer).encode() != checksum:
                    raise sqlite3.DatabaseError("an answer does not have its checksum")
                found[key] = json.loads(answer)
        return found

    def add(self, answers: Mapping[str, Value]) -> None:
        """Keep all of these answers, or none if the process is killed."""
        texts = {key: json.dumps(answer) for key, answer in answers.items()}
        rows = [(self.backend, key, text, sha256_bytes(text.encode())) for key, text in texts.items()]
        with self.database:
            self.database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", rows)


@contextmanager
def answer_cache(identity: Mapping[str, Any]) -> Iterator[AnswerCache]:
    """The cache of the backend that ``identity`` describes, open.

    Raises:
        ProjectError: the database cannot be read or written, here or within the block.
    """
    path = ANSWERS / "answers.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database:
            database.text_factory = bytes  # damaged text is found by its checksum, not when it is decoded
            _use_wal(database)
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(TABLE)
            yield AnswerCache(database, identity)
    except sqlite3.OperationalError as error:  # locked, read-only, a full disk
        fix = "check that the disk has space, that you may write there, and that no other run is stuck"
        raise ProjectError(f"the cache of answers cannot be used: {error}", str(path), fix) from None
    except sqlite3.DatabaseError as error:
        fix = f"delete {path.parent}; its answers are computed again"
        raise ProjectError(f"the cache of answers is corrupt: {error}", str(path), fix) from None


def _use_wal(database: sqlite3.Connection) -> None:
    """Switch to WAL mode. If several processes create the database at once, SQLite refuses this without waiting."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
