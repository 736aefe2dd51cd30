"""The frozen benchmark: dev and test items, drawn once and the same for every later run.

`data/eval/benchmark.json` (in git) holds the hashes of `test.jsonl` and `dev.jsonl` (in DVC).  Scores of two runs can
be compared only because nothing but a raised `curate.benchmark_version` ever changes these files.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from engine.core.artifacts import BENCHMARK, DEV, TEST
from engine.core.errors import ProjectError
from engine.core.io import read_json, sha256_bytes, sha256_file, write_json, write_jsonl
from engine.data.normalise.records import Record


class Frozen(Struct):
    """The items that an earlier run drew, exactly as they were written."""

    test: list[Record]
    dev: list[Record]
    wanted: dict[str, int]  # the sizes that were asked for when it was drawn

    @property
    def items(self) -> list[Record]:
        """Test and dev items."""
        return self.test + self.dev


def read_frozen(version: int) -> Frozen | None:
    """The benchmark of an earlier full run with this version, or none.

    Raises:
        ProjectError: its files are missing, or are not the ones that were drawn.
    """
    if not BENCHMARK.exists() and TEST.exists():
        fix = f"git checkout {BENCHMARK}; or delete {TEST} and {DEV} to draw a new benchmark"
        raise ProjectError(
            "there are benchmark items, but the record of how they were drawn is missing", str(BENCHMARK), fix
        )
    drawn = _drawn(version)
    if drawn is None or drawn["smoke"]:
        return None
    for path, key in ((TEST, "sha256"), (DEV, "dev_sha256")):
        if not path.exists():
            raise ProjectError("the frozen benchmark is missing", str(path), "run `dvc pull`, or `dvc checkout`")
        if sha256_file(path) != drawn[key]:
            fix = "restore it with `dvc checkout`; to draw a new benchmark raise curate.benchmark_version"
            raise ProjectError("the frozen benchmark was changed", str(path), fix)
    return Frozen(test=_read(TEST), dev=_read(DEV), wanted=drawn["wanted"])


def write_benchmark(
    test: list[Record], dev: list[Record], wanted: dict[str, int], version: int, smoke_rows: int | None
) -> None:
    """Write the items, in a smoke run only the first ``smoke_rows`` of each part.

    A smoke run in place overwrites a full benchmark.  It then keeps the full one's hashes, so that the next full run
    cannot silently replace it by another one.

    Raises:
        ProjectError: that happened, and the data have changed since, so the full benchmark cannot be drawn again.
    """
    smoke = smoke_rows is not None
    full = {"sha256": _sha256(test), "dev_sha256": _sha256(dev)}
    previous = _drawn(version)
    overwritten = previous and (previous.get("overwritten") if previous["smoke"] else _hashes(previous))
    if overwritten and overwritten != full:
        where, fix = str(BENCHMARK), "git checkout data/eval/benchmark.json && dvc checkout, then run again"
        raise ProjectError("a smoke run replaced the frozen benchmark, and the data have changed since", where, fix)
    test, dev = test[:smoke_rows], dev[:smoke_rows]
    write_jsonl(TEST, test)
    write_jsonl(DEV, dev)
    benchmark: dict[str, Any] = {"version": version, "smoke": smoke, "wanted": wanted}
    benchmark |= {"items": len(test), "dev_items": len(dev)}
    benchmark |= {"sha256": _sha256(test), "dev_sha256": _sha256(dev)}
    if smoke and overwritten:
        benchmark["overwritten"] = full
    write_json(BENCHMARK, benchmark)


def _drawn(version: int) -> dict[str, Any] | None:
    drawn = read_json(BENCHMARK) if BENCHMARK.exists() else None
    return drawn if drawn and drawn["version"] == version else None


def _hashes(drawn: dict[str, Any]) -> dict[str, str]:
    return {key: drawn[key] for key in ("sha256", "dev_sha256")}


def _sha256(items: list[Record]) -> str:
    return sha256_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in items))


def _read(path: Path) -> list[Record]:
    decoder = msgspec.json.Decoder(Record)
    return [decoder.decode(line) for line in path.read_bytes().split(b"\n") if line]
