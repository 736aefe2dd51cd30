"""Near-duplicate removal and the record stage beside their peers, in one run on one corpus.

    PROJECT_VENV=... python benchmarks/curation.py --records 60000 --peers PYTHON

PYTHON is one of Python 3.12 (which text-dedup needs) in an environment of its own. data-juicer imports aiohttp without
declaring it, datatrove spaCy, and its hashing fails with xxhash 4:

    pip install datasketch==2.0.0 rensa==0.5.0 "datatrove[io,processing]==0.10.1" spacy py-data-juicer==1.6.1 aiohttp \\
        text-dedup==0.4.1 "xxhash<4"

The corpus: pseudo-words (Zipf 0.95, 30,000 words), about 80 words a record, 200 shared headers; 10 % of the records are
planted near duplicates (each word edited with probability 0.05), 5 % are hard negatives (same header, half of the
passage shared). Every row is a fresh process. Seconds are wall time without imports; processor seconds are those of all
processes that it has waited for, which datatrove's workers are not; memory is the largest sum, at any moment, of the
peak resident sets of the processes then alive. Recall: planted pairs with a member removed. Precision: removed records
that are planted. All tools use word 3-grams, 128 permutations, 32 bands of 4, Jaccard 0.5. Of several sizes (`--records
125000 250000 500000`) it also prints how each row's processor seconds grow: the exponent of the power of the records
that fits them best.
"""

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORDS, ZIPF, HEADERS = 30_000, 0.95, 200
THRESHOLD = 0.5
POLL_SECONDS = 0.05


def corpus(path: Path, records: int, words: int) -> None:
    """Write the corpus as prompt/completion JSON lines; field `kind` says what a record is."""
    draw = random.Random(7)
    vocabulary = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 1) ** ZIPF for rank in range(WORDS)))
    headers = [draw.choices(vocabulary, cum_weights=weights, k=12) for _ in range(HEADERS)]
    kept: list[list[str]] = []
    with path.open("w") as file:
        for number in range(records):
            share, partner = draw.random(), number
            kind = "plain"
            if kept and share < 0.10:
                place = draw.randrange(len(kept))
                source, kind = kept.pop(place), "planted"
                text, partner = edited(source[:-1], vocabulary, draw), int(source[-1])
            elif kept and share < 0.15:
                source, kind = kept[draw.randrange(len(kept))][:-1], "hard"
                text = source[: 12 + (len(source) - 12) // 2]
                text = text + draw.choices(vocabulary, cum_weights=weights, k=len(source) - len(text))
            else:
                text = headers[draw.randrange(HEADERS)] + draw.choices(
                    vocabulary, cum_weights=weights, k=max(words // 2, round(draw.gauss(words - 12, words / 5)))
                )
                if len(kept) < 20_000:
                    kept.append([*text, str(number)])
            row = {"prompt": " ".join(text), "completion": "yes.", "kind": kind, "partner": partner}
            file.write(json.dumps(row) + "\n")


def edited(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str]:
    """Each word is substituted (60 %), deleted (20 %) or followed by a new one (20 %) with probability 0.05."""
    text = []
    for word in words:
        change = draw.random()
        if change >= 0.05:
            text.append(word)
        elif change < 0.03:
            text.append(draw.choice(vocabulary))
        elif change < 0.04:
            text += [word, draw.choice(vocabulary)]
    return text


def clocks() -> tuple[float, float]:
    """Wall clock, and processor seconds of this process and of those that it has waited for."""
    return time.perf_counter(), sum(os.times()[:4])


def spent(begin: tuple[float, float]) -> dict[str, Any]:
    """Seconds since ``begin``."""
    wall, processor = clocks()
    return {"seconds": wall - begin[0], "processor_seconds": processor - begin[1]}


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open() as file:
        return [json.loads(line) for line in file]


def settings(path: Path) -> Any:
    """The emitted defaults for this file."""
    sys.path[:0] = [str(ROOT / "template"), str(ROOT / "tests/engine")]
    from raw_data import curate_settings

    return curate_settings(path=str(path), max_chars=20_000, test_items=200, dev_items=50)


def ours_records(path: Path) -> dict[str, Any]:
    """The whole record stage in one process: read, check, convert, look for what is private, write."""
    given = settings(path)
    from engine.data.shards import Piece, build_part

    begin = clocks()
    done = build_part(Path("part"), Piece(str(path), "jsonl"), given)
    return spent(begin) | {"records": done["read"]}


def ours_near(path: Path) -> dict[str, Any]:
    """Normalise, shingle, hash, band, verify, decide: everything after the record stage."""
    given = settings(path)
    import numpy as np

    from engine.data.dedup.comparison import Compared, Similarity, compare_part
    from engine.data.dedup.deduplicate import RAW, Fates, deduplicate
    from engine.data.executor import compare_parts, read_parts
    from engine.data.record_store import Store

    parts = read_parts(given)
    begin = clocks()
    store = Store(parts.folders, parts.sources)
    compare_parts(given.engine, parts.folders, compare_part, "word3", False)
    compared = Compared(store, "word3")
    fates = Fates(np.full(len(store), RAW, np.uint8))
    deduplicate(store, compared, Similarity(compared.shingles, THRESHOLD), fates, 200)
    used = spent(begin)
    return used | {"removed": np.flatnonzero(fates.reason).tolist(), "records": len(store)}


def ours_everything(path: Path) -> dict[str, Any]:
    """The whole stage `curate`."""
    given = settings(path)
    from pipeline.curate import curate

    begin = clocks()
    report = curate(given, smoke=False)
    return spent(begin) | {"records": report["read"]}


def peer_datasketch(path: Path) -> dict[str, Any]:
    """MinHashLSH, keep the first, confirm by the estimated similarity."""
    from datasketch import MinHash, MinHashLSH

    data = [row["prompt"] for row in rows(path)]
    begin = clocks()
    index = MinHashLSH(num_perm=128, params=(32, 4))
    hashed, removed = {}, []
    for number, text in enumerate(data):
        words = text.split()
        sketch = MinHash(num_perm=128)
        sketch.update_batch([" ".join(words[at : at + 3]).encode() for at in range(len(words) - 2)])
        if any(hashed[other].jaccard(sketch) >= THRESHOLD for other in index.query(sketch)):
            removed.append(number)
        else:
            hashed[number] = sketch
            index.insert(number, sketch)
    return spent(begin) | {"removed": removed, "records": len(data)}


def peer_rensa(path: Path) -> dict[str, Any]:
    """RMinHash and RMinHashLSH, keep the first, confirm by the estimated similarity."""
    from rensa import RMinHash, RMinHashLSH

    data = [row["prompt"] for row in rows(path)]
    begin = clocks()
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=128, num_bands=32)
    hashed, removed = {}, []
    for number, text in enumerate(data):
        words = text.split()
        sketch = RMinHash(num_perm=128, seed=42)
        sketch.update([" ".join(words[at : at + 3]) for at in range(len(words) - 2)])
        if any(hashed[other].jaccard(sketch) >= THRESHOLD for other in index.query(sketch)):
            removed.append(number)
        else:
            hashed[number] = sketch
            index.insert(number, sketch)
    return spent(begin) | {"removed": removed, "records": len(data)}


def peer_datatrove(path: Path) -> dict[str, Any]:
    """MinHash in four passes, the last of which writes what is kept; two workers, no verification."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(n_grams=3, num_buckets=32, hashes_per_bucket=4, hash_config=HashConfig(precision=64))
    read = JsonlReader("split", text_key="prompt", adapter=numbered)
    begin = clocks()
    Path("split").mkdir()
    total = halves(path, Path("split"))
    for steps, tasks in (
        ([read, MinhashDedupSignature(output_folder="signatures", config=config)], 2),
        ([MinhashDedupBuckets("signatures", "buckets", config=config)], 32),
        ([MinhashDedupCluster("buckets", "remove", config=config)], 1),
        ([read, MinhashDedupFilter("remove", JsonlWriter("removed", compression=None)), JsonlWriter("kept")], 2),
    ):
        LocalPipelineExecutor(steps, tasks=tasks, workers=2, logging_dir=f"logs/{tasks}-{len(steps)}").run()
    used = spent(begin)
    removed = [int(row["id"]) for file in Path("removed").glob("*.jsonl") for row in rows(file)]
    return used | {"removed": removed, "records": total}


def numbered(_reader: Any, data: dict[str, Any], *_where: Any) -> dict[str, Any]:
    return {"text": data["prompt"], "id": str(data["number"]), "metadata": {}}


def halves(path: Path, folder: Path) -> int:
    """Two files with each record's number: datatrove gives each worker a file."""
    data = rows(path)
    for half in range(2):
        with (folder / f"{half}.jsonl").open("w") as file:
            for number in range(half * len(data) // 2, (half + 1) * len(data) // 2):
                file.write(json.dumps({"prompt": data[number]["prompt"], "number": number}) + "\n")
    return len(data)


def peer_data_juicer(path: Path) -> dict[str, Any]:
    """`document_minhash_deduplicator` on two processes, no verification."""
    from data_juicer.config import init_configs
    from data_juicer.core import DefaultExecutor

    total = numbered_rows(path, Path("in.jsonl"))
    minhash = {"tokenization": "space", "window_size": 3, "lowercase": False, "num_permutations": 128}
    minhash |= {"jaccard_threshold": THRESHOLD, "num_bands": 32, "num_rows_per_band": 4}
    recipe = {"dataset_path": "in.jsonl", "export_path": "out.jsonl", "np": 2, "text_keys": "prompt"}
    Path("recipe.yaml").write_text(json.dumps(recipe | {"process": [{"document_minhash_deduplicator": minhash}]}))
    begin = clocks()
    DefaultExecutor(init_configs(["--config", "recipe.yaml"])).run()
    took = spent(begin)
    kept = {row["number"] for row in rows(Path("out.jsonl"))}
    return took | {"removed": sorted(set(range(total)) - kept), "records": total}


def peer_text_dedup(path: Path) -> dict[str, Any]:
    """`text_dedup.minhash` on two processes; every pair within a cluster is verified."""
    from datasets import load_from_disk
    from text_dedup.config import Config
    from text_dedup.minhash import main as deduplicate

    total = numbered_rows(path, Path("in.jsonl"))
    Path("config.toml").write_text(
        '[input]\ninput_type = "local_files"\nfile_type = "json"\n'
        'read_arguments = {path = "json", data_files = "in.jsonl", split = "train"}\n'
        '[algorithm]\nalgorithm_name = "minhash"\ntext_column = "prompt"\nnum_perm = 128\nbands = 32\nrows = 4\n'
        f"ngram_size = 3\nmin_length = 1\nthreshold = {THRESHOLD}\ncheck_false_positive = true\nnum_proc = 2\n"
        '[output]\noutput_dir = "out"\n[debug]\n'
    )
    given = Config()
    begin = clocks()
    deduplicate(given)
    took = spent(begin)
    kept = set(load_from_disk("out")["number"])
    return took | {"removed": sorted(set(range(total)) - kept), "records": total}


def numbered_rows(path: Path, target: Path) -> int:
    """The texts with each record's number, by which what was removed is told."""
    data = rows(path)
    with target.open("w") as file:
        for number, row in enumerate(data):
            file.write(json.dumps({"prompt": row["prompt"], "number": number}) + "\n")
    return len(data)


def peer_datasets(path: Path) -> dict[str, Any]:
    """`datasets`: load, check lengths, redact addresses, write; no reason, no strict JSON."""
    import re

    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    address = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
    begin = clocks()
    data = load_dataset("json", data_files=str(path), split="train", cache_dir="cache")
    data = data.map(lambda row: {"prompt": address.sub("<EMAIL>", row["prompt"])})
    data = data.filter(lambda row: 0 < len(row["prompt"]) < 20_000)
    data.to_json("out.jsonl")
    return spent(begin) | {"records": len(data)}


RUNS = {
    "record stage, 1 process": (ours_records, False),
    "record stage, datasets": (peer_datasets, False),
    "near duplicates": (ours_near, False),
    "near duplicates, datasketch": (peer_datasketch, True),
    "near duplicates, rensa": (peer_rensa, True),
    "near duplicates, datatrove": (peer_datatrove, True),
    "near duplicates, data-juicer": (peer_data_juicer, True),
    "near duplicates, text-dedup": (peer_text_dedup, True),
    "everything": (ours_everything, False),
}


def run(name: str, path: Path, python: str) -> dict[str, Any]:
    """One row in a fresh process and an empty folder."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        data = Path(folder) / "data/raw/records.jsonl"
        data.parent.mkdir(parents=True)
        os.link(path, data)
        command = [python, __file__, "--only", name, "--data", str(data)]
        said, errors = Path(folder) / "said", Path(folder) / "errors"
        with said.open("w") as output, errors.open("w") as error:
            process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=error)
            kibibytes = 0
            while process.poll() is None:
                kibibytes = max(kibibytes, held(process.pid))
                time.sleep(POLL_SECONDS)
        if process.returncode:
            return {"error": errors.read_text().strip().splitlines()[-1]}
        result: dict[str, Any] = json.loads(said.read_text().splitlines()[-1])
        return result | {"mebibytes": max(kibibytes, result["kibibytes"]) / 1024}


def held(pid: int, parent: str = "") -> int:
    """The peaks of a process and of all below it, in KiB.

    A child that has not yet started its own program shows the memory of its parent, which is not counted twice; the
    children's `ru_maxrss` would count it for good.
    """
    try:
        memory = Path(f"/proc/{pid}/status").read_text().partition("VmPeak:")[2].partition("Threads:")[0]
        tasks = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        children = " ".join(task.read_text() for task in tasks).split()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
    own = 0 if memory == parent or not memory else int(memory.partition("VmHWM:")[2].split()[0])
    return own + sum(held(int(child), memory) for child in children)


def quality(result: dict[str, Any], data: list[dict[str, Any]]) -> str:
    removed = set(result["removed"])
    planted = {number: row["partner"] for number, row in enumerate(data) if row["kind"] == "planted"}
    right = {number for pair in planted.items() for number in pair}
    recall = sum(bool(removed & set(pair)) for pair in planted.items()) / max(1, len(planted))
    return f"recall {recall:.4f}  precision {len(removed & right) / max(1, len(removed)):.4f}"


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Least squares of log(seconds) over log(records)."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in seconds]
    middle = sum(x) / len(x)
    return sum((a - middle) * b for a, b in zip(x, y, strict=True)) / sum((a - middle) ** 2 for a in x)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=[100_000])
    parser.add_argument("--words", type=int, default=80)
    parser.add_argument("--rows", nargs="*", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--peers", default=sys.executable, help="a python with the peers: see above")
    parser.add_argument("--folder", type=Path, default=None, help="where to work (the disk needs about 3 kB a record)")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        result = RUNS[arguments.only][0](arguments.data)
        line = json.dumps(result | {"kibibytes": held(os.getpid())})
        print(line, file=sys.__stdout__)  # data-juicer turns the other one into its log
        return
    took: dict[str, dict[int, float]] = {}
    for records in arguments.records:
        for name, seconds in measure(records, arguments).items():
            took.setdefault(name, {})[records] = seconds
    for name, seconds in took.items() if len(arguments.records) > 1 else ():
        if len(seconds) > 1:
            grows = exponent(list(seconds), list(seconds.values()))
            print(f"{name:30} processor seconds grow with records to the power of {grows:.2f}")


def measure(records: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Print the rows for a corpus of so many records. Returns the processor seconds of each."""
    took = {}
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        path = folder / "corpus.jsonl"
        corpus(path, records, arguments.words)
        data = rows(path) if records <= 1_000_000 else []
        project = str(Path(os.environ.get("PROJECT_VENV", sys.prefix)) / "bin/python")
        print(f"{records} records, {path.stat().st_size / 2**20:.0f} MiB; load {os.getloadavg()[0]:.1f}")
        for name in arguments.rows:
            result = run(name, path, arguments.peers if RUNS[name][1] else project)
            if "error" in result:
                print(f"{name:30} {result['error']}", flush=True)
                continue
            rate = result["records"] / result["seconds"]
            found = quality(result, data) if data and "removed" in result else ""
            took[name] = result["processor_seconds"]
            times = f"{result['seconds']:8.2f} s {took[name]:8.2f} processor s"
            size = f"{result['mebibytes']:6.0f} MiB"
            print(f"{name:30} {times}  {rate:10,.0f} records/s  {size}  {found}", flush=True)
    finally:
        shutil.rmtree(folder)
    return took


if __name__ == "__main__":
    main()
