"""The frozen benchmark: dev and test items, drawn once and the same for every later run.

`data/eval/benchmark.json` (in git) holds the hashes of `test.jsonl` and `dev.jsonl` (in DVC).  Scores of two runs can
be compared only because nothing but a raised `curate.benchmark_version` ever changes these files.
"""

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
    decode = msgspec.json.Decoder(Record).decode_lines
    return Frozen(decode(TEST.read_bytes()), decode(DEV.read_bytes()), drawn["wanted"])


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
    full = _hashes(test, dev)
    previous = _drawn(version)
    overwritten = None
    if previous:
        overwritten = previous.get("overwritten") if previous["smoke"] else {key: previous[key] for key in full}
    if overwritten and overwritten != full:
        where, fix = str(BENCHMARK), "git checkout data/eval/benchmark.json && dvc checkout, then run again"
        raise ProjectError("a smoke run replaced the frozen benchmark, and the data have changed since", where, fix)
    test, dev = test[:smoke_rows], dev[:smoke_rows]
    write_jsonl(TEST, test)
    write_jsonl(DEV, dev)
    benchmark: dict[str, Any] = {"version": version, "smoke": smoke, "wanted": wanted}
    benchmark |= {"items": len(test), "dev_items": len(dev), **_hashes(test, dev)}
    if smoke and overwritten:
        benchmark["overwritten"] = full
    write_json(BENCHMARK, benchmark)


def _drawn(version: int) -> dict[str, Any] | None:
    drawn = read_json(BENCHMARK) if BENCHMARK.exists() else None
    return drawn if drawn and drawn["version"] == version else None


def _hashes(test: list[Record], dev: list[Record]) -> dict[str, str]:
    """Of the files that these items make."""
    encode = msgspec.json.Encoder().encode_lines
    return {"sha256": sha256_bytes(encode(test)), "dev_sha256": sha256_bytes(encode(dev))}
