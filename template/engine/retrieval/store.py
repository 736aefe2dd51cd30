"""Where the server looks up the passages' vectors: in memory, or in a lancedb table on disk.

The stage `index` itself compares every vector in memory, so that it finds the same on every run: lancedb's index does
not (it clusters at random), and its files hold time stamps. So the table is no out of a stage; it is derived from
``data/index/vectors.npy`` and kept beside the models, by that file's content.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import ProjectError
from engine.core.io import cache_folder
from engine.inference.embedder import Vectors
from engine.models.store import building

TABLES = cache_folder() / "vectors"
EXACT = 100_000  # passages; up to here a table's vectors are all compared, above lancedb builds an index
PROBED = 0.1  # share of an index's parts that is searched
SLACK = 16  # passages asked for beyond the depth, so that equals at its edge are in one order
ROWS = 8192  # written to the table at a time
COSINES = 2**26  # held in memory at a time


class Store(Protocol):
    """Unit vectors, one a passage, and a way to find those that are nearest to others."""

    def nearest(self, questions: Vectors, depth: int) -> list[list[int]]:
        """For each question the places of the nearest vectors, the nearest first; of equals the first place."""


class Memory:
    """Every vector in memory, every vector compared: exact."""

    def __init__(self, vectors: NDArray[Any]) -> None:
        self.vectors = vectors.astype(np.float32)

    def nearest(self, questions: Vectors, depth: int) -> list[list[int]]:
        ranked: list[list[int]] = []
        together = max(1, COSINES // len(self.vectors))
        for start in range(0, len(questions), together):
            cosines = questions[start : start + together] @ self.vectors.T
            ranked += np.argsort(-cosines, axis=1, kind="stable")[:, :depth].tolist()
        return ranked


class Lance:
    """A lancedb table on disk, built if this machine does not have it. Exact up to `EXACT` passages."""

    def __init__(self, vectors: NDArray[Any]) -> None:
        check_installed("lancedb")
        import lancedb

        digest = hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest()
        folder = TABLES / f"{digest[:16]}-lancedb-{lancedb.__version__}"
        if not folder.exists():
            with building(folder) as unfinished:
                self._write(lancedb.connect(str(unfinished)), vectors)
        self.table: Any = lancedb.connect(str(folder)).open_table("vectors")
        self.parts = _parts(len(vectors))

    def nearest(self, questions: Vectors, depth: int) -> list[list[int]]:
        found = []
        for question in questions:
            query = self.table.search(question).distance_type("dot").select(["place", "_distance"])
            if self.parts:
                query = query.nprobes(max(1, round(self.parts * PROBED)))
            rows = query.limit(depth + SLACK).to_arrow()
            distances, places = rows["_distance"].to_numpy(), rows["place"].to_numpy()
            found.append(places[np.lexsort((places, distances))][:depth].tolist())
        return found

    @staticmethod
    def _write(database: Any, vectors: NDArray[Any]) -> None:
        import pyarrow as pa
        from lancedb.index import IvfFlat

        width = vectors.shape[1]
        schema = pa.schema([("place", pa.int64()), ("vector", pa.list_(pa.float32(), width))])

        def batches() -> Iterator[Any]:
            for start in range(0, len(vectors), ROWS):
                rows = vectors[start : start + ROWS].astype(np.float32)
                flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), width)
                yield pa.record_batch([pa.array(range(start, start + len(rows)), pa.int64()), flat], schema=schema)

        table = database.create_table("vectors", pa.RecordBatchReader.from_batches(schema, batches()))
        if parts := _parts(len(vectors)):
            table.create_index("vector", config=IvfFlat(distance_type="dot", num_partitions=parts))


STORES: dict[str, type[Memory] | type[Lance]] = {"memory": Memory, "lancedb": Lance}


def check_installed(store: str) -> None:
    """Raise `ProjectError` if the store needs a package that is not installed."""
    if store == "memory":
        return
    try:
        import lancedb  # noqa: F401
    except ImportError as error:
        fix = "`python3 environment.py pip install lancedb`, or set it to memory"
        raise ProjectError(f"lancedb is not installed: {error}", "params.yaml: retrieval.store", fix) from None


def _parts(passages: int) -> int:
    """Parts of the index, of about as many passages each as there are parts; 0 without one."""
    return round(passages**0.5) if passages > EXACT else 0
