"""Many files, many parts, many processes: the same records, each with its place."""

import json
from pathlib import Path
from typing import Any

import pytest
from raw_data import BENCHMARK, DEV, REJECTED, TEST, TRAIN, curate_settings, outputs, positional, rows, run, write_raw

from engine.core.artifacts import CURATION_WORK
from engine.core.errors import ProjectError
from engine.core.io import read_jsonl
from engine.data import executor
from engine.settings.curate import AnomalySettings
from pipeline.curate import curate


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestShards:
    """A large data set is a folder of files."""

    def test_are_read_by_name_and_each_record_says_where_it_is_from(self, tmp_path: Path) -> None:
        data = rows(100)
        whole = run(data)
        for path in (TEST, DEV, BENCHMARK):
            path.unlink()
        folder = Path("data/shards")
        write_raw(data[:40], str(folder / "part-0.jsonl"))
        write_raw(json.dumps(data[40:] + data[:3]).encode(), str(folder / "part-1/rest.json"))
        (folder / "README.md").write_text("From the warehouse.")
        write_raw(data[:40], str(folder / ".ipynb_checkpoints/part-0-checkpoint.jsonl"))
        report = curate(curate_settings(path=str(folder)), smoke=False)
        assert (report["read"], report["kept"], report["rejected"]) == (103, 100, {"exact_duplicate": 3})
        details = [row["detail"] for row in read_jsonl(REJECTED)]
        assert details == [f"same as data/shards/part-0.jsonl line {n}" for n in (1, 2, 3)]
        assert report["feedback"] == {} and report["raw_sha256"] != whole["raw_sha256"]
        kept = [row for path in (TRAIN, DEV, TEST) for row in read_jsonl(path)]
        assert {row["origin"] for row in kept} == {"data/shards/part-0.jsonl", "data/shards/part-1/rest.json"}
        names = [row["prompt"] for row in data]
        shown = {row["messages"][0]["content"]: row["origin"] for row in kept}
        assert all(shown[name].endswith("part-0.jsonl") == (names.index(name) < 40) for name in names)

    def test_may_be_what_the_library_datasets_saves(self) -> None:
        from datasets import Dataset, disable_progress_bars

        disable_progress_bars()
        Dataset.from_list(rows(100)).save_to_disk("data/saved", num_shards=2)
        report = curate(curate_settings(path="data/saved"), smoke=False)
        assert report["kept"] == 100 and {row["origin"][-6:] for row in read_jsonl(TRAIN)} == {".arrow"}

    def test_that_are_broken_are_named(self) -> None:
        write_raw(rows(30), "data/shards/a.jsonl")
        write_raw(b"{}\n" * 9, "data/shards/b.jsonl")
        with pytest.raises(ProjectError, match=r"data/shards/b.jsonl, line 1: schema"):
            curate(curate_settings(path="data/shards"), smoke=False)

    def test_of_another_kind_or_none_at_all_are_an_error(self) -> None:
        Path("data/shards").mkdir(parents=True)
        with pytest.raises(ProjectError, match="has no data file"):
            curate(curate_settings(path="data/shards"), smoke=False)
        Path("data/shards/notes.docx").write_bytes(b"PK")
        with pytest.raises(ProjectError, match="has an unknown kind"):
            curate(curate_settings(path="data/shards"), smoke=False)


class TestParts:
    def test_half_of_a_character_within_a_text_that_is_json_is_a_reject(self) -> None:
        """Strict JSON finds it in a line; this one comes to light when the text within the line is read."""
        odd = {"prompt": "weather", "completion": "sunny", "tools": r'[{"name": "f\ud800"}]'}
        run([*rows(200), odd])
        assert (201, "encoding") in [(row["line"], row["reason"]) for row in read_jsonl(REJECTED)]

    def test_a_policy_that_stops_names_file_and_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.data.executor.PIECE_BYTES", 4000)
        monkeypatch.setattr("engine.data.executor.WORKER_BYTES", 4000)
        stop = positional(AnomalySettings, *["error"] * 8)
        with pytest.raises(ProjectError, match="a record has an anomaly") as error:
            run([*rows(150), {"prompt": 1, "completion": "x"}], anomalies=stop)
        assert "data/raw/requests.jsonl, line 151; curate.anomalies.not_text" in str(error.value)

    def test_many_parts_in_many_processes_give_the_same_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = rows(300) + rows(20)
        data[5]["prompt"] += " cafÃ©"
        write_raw(b"".join(json.dumps(row).encode() + b"\n" for row in data) + b"{broken\n")
        seen = []
        monkeypatch.setattr("engine.data.executor.WORKER_BYTES", 4000)
        pools = []
        original = executor.ProcessPoolExecutor
        monkeypatch.setattr(executor, "ProcessPoolExecutor", lambda *given: pools.append(given) or original(*given))
        for size in (1 << 20, 4000):
            for path in outputs():
                Path(path).unlink()
            monkeypatch.setattr("engine.data.executor.PIECE_BYTES", size)
            monkeypatch.setattr("engine.data.record_store.READ_BYTES", size)  # so the training data are in many batches
            curate(curate_settings(), smoke=False)
            seen.append(outputs())
        assert seen[0] == seen[1] and len(pools) == 2, "one to read and one to compare, in the second run"

    def test_a_stopped_run_goes_on_with_the_parts_that_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.data.executor.PIECE_BYTES", 4000)
        write_raw(rows(300))
        parts = executor.read_parts(curate_settings())
        assert len(parts.folders) > 3
        (parts.folders[2] / "done.json").unlink()  # as if it had been killed there
        built: list[Path] = []
        original = executor.build_part

        def counted(folder: Path, *arguments: Any) -> Any:
            built.append(folder)
            return original(folder, *arguments)

        monkeypatch.setattr(executor, "build_part", counted)
        assert curate(curate_settings(), smoke=False)["read"] == 300
        assert built == [parts.folders[2]]
        assert not CURATION_WORK.exists()

    def test_an_edit_of_the_code_takes_no_part_of_the_stopped_run_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write_raw(rows(20))
        before = executor.read_parts(curate_settings()).folders
        assert executor.read_parts(curate_settings()).folders == before
        monkeypatch.setattr(executor, "code_key", lambda module: "edited")
        after = executor.read_parts(curate_settings()).folders
        assert after != before and not any(folder.exists() for folder in before)
