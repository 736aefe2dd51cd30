"""What training must not see: the frozen benchmark stays as it is, corrections and contamination included."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from raw_data import (
    BENCHMARK,
    DEV,
    REJECTED,
    TEST,
    TRAIN,
    WORDS,
    curate_settings,
    distinct_row,
    many_answers,
    positional,
    prompts,
    reasons,
    rows,
    run,
    write_raw,
)

from engine.core.errors import ProjectError
from engine.core.io import read_jsonl
from engine.settings.curate import PrivateSettings


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestFrozenBenchmark:
    def test_survives_new_and_reordered_rows_byte_for_byte(self) -> None:
        run(rows(100))
        before = TEST.read_bytes(), DEV.read_bytes(), BENCHMARK.read_bytes()
        report = run([distinct_row(number) for number in range(100, 130)] + rows(100)[::-1])
        assert (TEST.read_bytes(), DEV.read_bytes(), BENCHMARK.read_bytes()) == before
        assert report["train"] == 115

    def test_survives_the_loss_of_its_rows_in_the_data(self) -> None:
        run(rows(100))
        before = TEST.read_bytes()
        report = run([row for row in rows(100) if row["prompt"] not in prompts(TEST)])
        assert TEST.read_bytes() == before
        assert (report["read"], report["kept"], report["benchmark_items_absent_from_data"]) == (90, 90, 10)

    def test_keeps_out_new_rows_that_would_leak_it(self) -> None:
        data = [{**row, "doc": f"d{number // 2}"} for number, row in enumerate(rows(100))]
        run(data, group_key="doc")
        held = read_jsonl(TEST)[0]
        near = {"prompt": held["messages"][0]["content"] + " ok", "completion": "new answer", "doc": "new"}
        same_group = {**distinct_row(500), "doc": held["group"]}
        fine = {**distinct_row(501), "doc": "new"}
        report = run([near, same_group, fine, *data], group_key="doc")
        assert reasons() == [(1, "benchmark_leak"), (2, "benchmark_leak")]
        assert report["train"] == 87  # 86 and the fine one

    def test_is_drawn_again_for_a_new_version_only(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(rows(100))
        before = TEST.read_bytes()
        capsys.readouterr()
        run(rows(100))
        assert "frozen" not in capsys.readouterr().out
        run(rows(100), test_items=12)
        assert TEST.read_bytes() == before
        assert "new sizes apply if curate.benchmark_version is raised" in capsys.readouterr().out
        run(rows(100), test_items=12, benchmark_version=2)
        assert len(prompts(TEST)) == 12

    def test_does_not_leak_when_its_text_is_cleaned_otherwise(self) -> None:
        data = rows(100)
        for number, row in enumerate(data):
            row["prompt"] = f"{row['prompt'][:12]} user{number}.{'x' * 20}@example.org"
        report_all = curate_settings().private
        run(data, private=report_all)
        held = {int(row["line"]) for path in (TEST, DEV) for row in read_jsonl(path)}
        assert "@example.org" in TEST.read_text()
        report = run(data, private=positional(PrivateSettings, *["redact"] * 7), near_duplicate_threshold=0.9)
        assert report["rejected"]["benchmark_leak"] == 15
        assert not held & {row["line"] for row in read_jsonl(TRAIN)}

    def test_whose_record_is_lost_is_not_drawn_again(self) -> None:
        run(rows(100))
        BENCHMARK.unlink()
        with pytest.raises(ProjectError, match="the record of how they were drawn is missing") as error:
            run(rows(150)[50:])
        assert "git checkout data/eval/benchmark.json" in str(error.value)

    def test_that_was_edited_is_refused(self) -> None:
        run(rows(100))
        TEST.write_bytes(TEST.read_bytes().replace(b"answer", b"Answer", 1))
        with pytest.raises(ProjectError, match="frozen benchmark was changed") as error:
            run(rows(100))
        assert "curate.benchmark_version" in str(error.value)

    def test_that_is_missing_is_not_drawn_again(self) -> None:
        run(rows(100))
        DEV.unlink()
        with pytest.raises(ProjectError, match="frozen benchmark is missing") as error:
            run(rows(100))
        assert "dvc pull" in str(error.value)


class TestFeedback:
    def write(self, name: str, *lines: dict[str, Any]) -> None:
        path = Path("data/feedback") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def test_the_newest_correction_replaces_the_record_and_keeps_its_provenance(self) -> None:
        prompt = rows(100)[7]["prompt"]
        self.write("a.jsonl", {"prompt": prompt, "completion": "first try", "by": "ann"})
        self.write("b.jsonl", {"prompt": prompt, "completion": "corrected", "by": "bob", "model_answer": "wrong"})
        report = run(rows(100))
        found = [
            row for path in (TRAIN, DEV, TEST) for row in read_jsonl(path) if row["messages"][0]["content"] == prompt
        ]
        assert [row["messages"][1]["content"] for row in found] == ["corrected"]
        assert found[0]["origin"] == "data/feedback/b.jsonl"
        assert found[0]["provenance"] == {"by": "bob", "model_answer": "wrong"}
        assert report["rejected"] == {"superseded": 2}
        assert {row["source"] for row in read_jsonl(REJECTED)} == {"data/raw/requests.jsonl", "data/feedback/a.jsonl"}

    def test_a_correction_stays_in_the_group_of_what_it_corrects(self) -> None:
        data = [{**row, "doc": f"d{n // 4}", "kind": f"k{n % 4}"} for n, row in enumerate(rows(200))]
        for n in range(0, 200, 4):  # one of each group; every other one only confirms the record
            said = "corrected" if n % 8 else data[n]["completion"]
            self.write(f"sub/{n:03}.jsonl", {"prompt": data[n]["prompt"], "completion": said})
        report = run(data, group_key="doc", label_key="kind", test_items=20)
        group = {row["prompt"]: (row["doc"], row["kind"]) for row in data}
        found = [row for path in (TRAIN, DEV, TEST) for row in read_jsonl(path)]
        assert sum(row.get("origin") is not None for row in found) > 40
        assert all((row["group"], row["label"]) == group[row["messages"][0]["content"]] for row in found)
        of = {path: {row["group"] for row in read_jsonl(path)} for path in (TRAIN, DEV, TEST)}
        assert not of[TRAIN] & (of[TEST] | of[DEV]) and len(of[TEST]) == 5
        assert report["labels"] == dict.fromkeys(["k0", "k1", "k2", "k3"], 50)

    def test_hundreds_of_files_are_told_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.data.record_store.OPEN_FILES", 3)
        data = rows(400)
        for number, row in enumerate(data[:300]):
            self.write(f"{number:04}.jsonl", {"prompt": row["prompt"], "completion": "corrected"})
        assert run(data)["rejected"] == {"superseded": 300}
        assert {row["source"] for row in read_jsonl(REJECTED)} == {"data/raw/requests.jsonl"}
        assert len({row.get("origin") for row in read_jsonl(TRAIN)}) > 256

    def test_no_file_is_passed_over_in_silence(self) -> None:
        lines = [{"prompt": row["prompt"], "completion": "corrected"} for row in rows(3)]
        folder = Path("data/feedback")
        self.write("sub/a.jsonl", lines[0])
        (folder / "b.json").write_text(json.dumps(lines[1:2]))
        (folder / "c.jsonl.gz").write_bytes(gzip.compress(json.dumps(lines[2]).encode()))
        (folder / "README.md").write_text("About this folder.")
        assert run(rows(100))["rejected"] == {"superseded": 3}
        with pytest.raises(ProjectError, match="one right answer per record"):
            run([{"prompt": row["prompt"], "chosen": "a", "rejected": "b"} for row in rows(100)], format="preference")
        (folder / "c.jsonl.gz.dvc").write_text("outs: []")  # as DVC leaves it beside what it tracks
        assert run(rows(100))["rejected"] == {"superseded": 3}
        Path("elsewhere").mkdir()
        (folder / "d").symlink_to(Path("elsewhere").resolve())
        with pytest.raises(ProjectError, match="a data folder is a link"):
            run(rows(100))
        (folder / "d").unlink()
        (folder / "d.xlsx").write_bytes(b"PK")
        with pytest.raises(ProjectError, match="has an unknown kind") as error:
            run(rows(100))
        assert "d.xlsx" in str(error.value)

    def test_a_frozen_item_is_not_replaced(self) -> None:
        run(rows(100))
        before = TEST.read_bytes()
        self.write("a.jsonl", {"prompt": prompts(TEST)[0], "completion": "corrected"})
        report = run(rows(100))
        assert TEST.read_bytes() == before
        assert report["rejected"] == {"conflicting_label": 1}


class TestContamination:
    def test_a_training_record_that_contains_an_evaluation_item_stops_the_stage(self) -> None:
        item = " ".join(f"{WORDS[n % len(WORDS)]}{n}" for n in range(30))
        data = [
            {"prompt": f"{row['prompt']} " + " ".join(f"w{n}x{k}" for k in range(40)), "completion": "ok"}
            for n, row in enumerate(rows(100))
        ]
        data[50]["prompt"] += f" {item}"
        write_raw([{"prompt": item, "completion": "secret"}], "data/benchmarks/eval.jsonl")
        with pytest.raises(ProjectError, match="1 training records contain an evaluation item") as error:
            run(data, benchmarks=["data/benchmarks/eval.jsonl"])
        assert "line 51: contains item 1 of data/benchmarks/eval.jsonl" in str(error.value)
        report = run(data, benchmarks=["data/benchmarks/eval.jsonl"], contamination="keep")
        assert report["contamination"]["records"] == 1 and report["train"] == 85
        report = run(data, benchmarks=["data/benchmarks/eval.jsonl"], contamination="drop")
        assert report["rejected"] == {"contaminated": 1} and report["train"] == 84

    def test_an_item_inside_an_answer_or_inside_a_short_prompt_is_found(self) -> None:
        data = rows(100)
        data[20]["completion"] = "The exam asks: what is the capital of the country France, today? It is Paris."
        data[50]["prompt"] = "please answer me now: What is the capital of the country France, today? thanks a lot"
        items = [{"prompt": "what is the capital of the country France, today?", "completion": "Paris"}]
        items += [{"prompt": "turn it off", "completion": "off"}]  # too short to be evidence
        data[60]["prompt"] += " turn it off please"
        write_raw(items, "data/benchmarks/eval.jsonl")
        report = run(data, benchmarks=["data/benchmarks/eval.jsonl"], contamination="keep")
        assert report["contamination"]["benchmarks"]["data/benchmarks/eval.jsonl"] == {"items": 2, "found": 1}
        assert report["contamination"]["records"] == 2

    @pytest.mark.parametrize(
        "place", ["thinking", "tool_calls", "system", pytest.param("rejected", marks=many_answers)]
    )
    def test_an_item_is_found_wherever_a_model_would_see_it(self, place: str) -> None:
        item = "what is the capital of the country France, today?"
        data: list[dict[str, Any]] = [
            {
                "messages": [
                    {"role": "user", "content": row["prompt"]},
                    {"role": "assistant", "content": row["completion"]},
                ]
            }
            for row in rows(100)
        ]
        turns = data[40]["messages"]
        if place == "system":
            turns.insert(0, {"role": "system", "content": f"Mind that {item}"})
        elif place == "thinking":
            turns[1]["thinking"] = f"They ask {item} I know."
        elif place == "tool_calls":
            turns[1]["tool_calls"] = [{"function": {"name": "search", "arguments": {"query": f"please {item}"}}}]
        else:
            data = [
                {"prompt": row["prompt"], "chosen": "good", "rejected": f"bad {n}"} for n, row in enumerate(rows(100))
            ]
            data[40]["rejected"] = f"You ask {item} I do not know."
        write_raw([{"prompt": item, "completion": "Paris"}], "data/benchmarks/exam.jsonl")
        form = "preference" if place == "rejected" else "messages"
        given = {"benchmarks": ["data/benchmarks/exam.jsonl"], "test_items": 1, "dev_items": 1, "format": form}
        report = run(data, contamination="keep", **given)
        assert report["contamination"]["benchmarks"]["data/benchmarks/exam.jsonl"]["found"] == 1

    def test_a_benchmark_that_dvc_does_not_see_is_refused(self) -> None:
        write_raw(rows(1), "data/exam.jsonl")
        with pytest.raises(ProjectError, match="is in another folder"):
            run(rows(100), benchmarks=["data/benchmarks/../exam.jsonl"])
