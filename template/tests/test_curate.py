"""The stage as its user sees it: every line accounted for, a benchmark that stays, one message when it cannot go on."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_data import ROOT, WORDS, curate_settings, distinct_row, rows, write_raw

from pipeline.curate import curate
from pipeline.curation import engine
from pipeline.curation.shingles import Shingles, normalise
from pipeline.curation.split import leaks
from pipeline.files import ProjectError, read_json, read_jsonl
from pipeline.model import STORE
from pipeline.settings import AnomalySettings, PrivateSettings, QualitySettings

EMBEDDER = curate_settings().embedder
TRAIN, REJECTED = Path("data/curated/train.jsonl"), Path("data/curated/rejected.jsonl")
TEST, DEV, BENCHMARK = Path("data/eval/test.jsonl"), Path("data/eval/dev.jsonl"), Path("data/eval/benchmark.json")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(data: bytes | list[dict[str, Any]], *, smoke: bool = False, **changes: Any) -> dict[str, Any]:
    write_raw(data)
    return curate(curate_settings(**changes), smoke=smoke)


def prompts(path: Path) -> list[str]:
    return [row["messages"][-2]["content"] for row in read_jsonl(path)]


def reasons() -> list[tuple[int, str]]:
    return [(row["line"], row["reason"]) for row in read_jsonl(REJECTED)]


def outputs() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*.json*")) if "raw" not in path.parts}


class TestDuplicates:
    def test_the_first_of_equal_records_stays(self) -> None:
        data = rows(100)
        data.insert(50, {"prompt": data[3]["prompt"].upper(), "completion": f"  {data[3]['completion']}"})
        report = run(data)
        assert reasons() == [(51, "exact_duplicate")]
        assert report["duplicates"] == {"exact": 1, "near": 0, "semantic": 0}
        assert read_jsonl(REJECTED)[0]["detail"] == "same as line 4"

    def test_a_prompt_with_two_answers_keeps_the_first(self) -> None:
        data = [*rows(100), {**distinct_row(7), "completion": "something else"}]
        run(data)
        assert reasons() == [(101, "conflicting_label")]

    def test_a_pair_both_ways_round_is_a_contradiction(self) -> None:
        data = [{"prompt": row["prompt"], "chosen": "a", "rejected": "b"} for row in rows(100)]
        data += [{"prompt": row["prompt"], "chosen": "b", "rejected": "a"} for row in rows(5)]
        data += [{"prompt": data[9]["prompt"], "chosen": "a", "rejected": "c"}]
        assert run(data, format="preference")["rejected"] == {"conflicting_label": 5}

    def test_an_answer_both_good_and_bad_is_a_contradiction(self) -> None:
        data = [{**row, "label": True} for row in rows(100)]
        data += [{**rows(1)[0], "label": False}, {**rows(2)[1], "completion": "other", "label": False}]
        assert run(data, format="kto")["rejected"] == {"conflicting_label": 1}

    def test_a_near_duplicate_goes_only_if_its_answer_is_the_same(self) -> None:
        data = rows(100)
        data += [
            {"prompt": "turn on the light of the kitchen", "completion": "on"},
            {"prompt": "turn on the light of the kitchen please", "completion": "on"},
            {"prompt": "turn on the lights of the kitchen", "completion": "off"},
        ]
        report = run(data)
        assert reasons() == [(102, "near_duplicate")]
        assert report["near_duplicate_clusters"]["largest"] == 2


class TestSemanticDuplicates:
    def data(self) -> list[dict[str, str]]:
        data = rows(100)
        data[5] = {"prompt": "How do I reset my password?", "completion": "Press forgot."}
        data[7] = {"prompt": "I forgot my password, how can I change it?", "completion": "Press forgot."}
        data[9] = {"prompt": "What are the steps to reset a password?", "completion": "Ask the admin."}
        return data

    @pytest.mark.skipif(not (STORE / EMBEDDER.replace("==", "-")).exists(), reason="the embedding model is not here")
    def test_go_if_their_answers_are_the_same_and_stay_together_if_not(self) -> None:
        assert run(self.data())["rejected"] == {}
        for path in (TEST, DEV, BENCHMARK):
            path.unlink()
        long = [
            {"prompt": " ".join(WORDS * 9) + f" {end} please", "completion": "x"}  # differs where it is cut
            for end in ("open it for me now and do not close it again", "shut that thing, it lets all of the rain in")
        ]
        report = run([*self.data(), *long], semantic_threshold=0.85, max_chars=9999, near_duplicate_threshold=1.0)
        assert reasons() == [(8, "semantic_duplicate")]
        assert read_jsonl(REJECTED)[0]["detail"] == "line 6 asks the same in other words, same answer"
        assert report["duplicates"]["semantic"] == 1
        assert report["near_duplicate_clusters"]["largest"] == 2  # of the two answers


class TestBoilerplate:
    """Every fourth answer closes with the same sentence; every third is of one class, in two sentences."""

    def data(self) -> list[dict[str, str]]:
        data = rows(120)
        for number, row in enumerate(data):
            if number % 4 == 0:
                row["completion"] += ". I hope this helps ann@example.org!"
            elif number % 3 == 0:
                row["completion"] = "Escalate this ticket. The customer is waiting."
        return data

    def test_is_counted_and_the_sentence_shown(self) -> None:
        report = run(self.data())
        assert report["boilerplate"] == {"closes with 'i hope this helps <EMAIL_1>!'": 30}
        assert report["findings"] == {"boilerplate": 30} and report["kept"] == 120
        assert "i hope this helps &lt;EMAIL_1&gt;!" in Path("reports/data.html").read_text()

    def test_is_left_out_where_its_policy_says_so_and_never_from_a_frozen_benchmark(self) -> None:
        run(self.data())
        before, held = TEST.read_bytes(), TEST.read_text().count("hope") + DEV.read_text().count("hope")
        drop = QualitySettings("report", "report", "report", "report", "drop")
        report = run(self.data() + self.data(), quality=drop)
        assert held > 0 and TEST.read_bytes() == before
        assert report["rejected"]["boilerplate"] == 2 * (30 - held)
        assert "hope" not in TRAIN.read_text()
        notes = [row for row in read_jsonl(REJECTED) if row["reason"] == "boilerplate"]
        assert notes[0]["detail"] == "the answer closes with 'i hope this helps <EMAIL_1>!'"

    def test_only_from_the_share_on_that_is_set(self) -> None:
        assert run(self.data(), boilerplate_share=0.4)["boilerplate"] == {}

    def test_in_every_answer_leaves_too_little(self) -> None:
        data = [{**row, "completion": f"It is {n}. I hope this helps!"} for n, row in enumerate(rows(100))]
        with pytest.raises(ProjectError, match="0 good examples are too few"):
            run(data, quality=QualitySettings(*["drop"] * 5), minimum_records=1)


class TestLabelLimit:
    """Of three labels 120, 40 and 20 records."""

    def data(self) -> list[dict[str, str]]:
        return [{**row, "kind": "a" if n < 120 else "b" if n < 160 else "c"} for n, row in enumerate(rows(180))]

    def trained(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in read_jsonl(TRAIN):
            found.setdefault(row["label"], []).append(row["id"])
        return found

    def test_thins_the_training_records_alone_and_in_the_order_of_their_hashes(self) -> None:
        run(self.data(), label_key="kind")
        whole, held = self.trained(), TEST.read_bytes() + DEV.read_bytes()
        for path in (TEST, DEV, BENCHMARK):  # drawn again, and the same
            path.unlink()
        report = run(self.data(), label_key="kind", max_per_label=30)
        assert self.trained() == {label: sorted(ids)[:30] for label, ids in whole.items()}
        assert TEST.read_bytes() + DEV.read_bytes() == held
        out = sum(max(0, len(ids) - 30) for ids in whole.values())
        assert report["rejected"] == {"label_limit": out} and report["kept"] + out == 180
        details = {row["detail"] for row in read_jsonl(REJECTED)}
        assert f"30 of the {len(whole['a'])} training records of label 'a' stay" in details

    def test_as_a_multiple_of_the_smallest_label(self) -> None:
        run(self.data(), label_key="kind", max_label_ratio=1.5)
        sizes = {label: len(ids) for label, ids in self.trained().items()}
        assert sizes["a"] == sizes["b"] == int(1.5 * sizes["c"]) and sizes["c"] > 10

    def test_a_correction_is_not_thinned_out(self) -> None:
        data = self.data()
        fixed = [{**row, "completion": "corrected"} for row in data[:20]]
        write_raw(fixed, "data/feedback/a.jsonl")
        run(data, label_key="kind", max_per_label=20)
        kept = [row for path in (TRAIN, DEV, TEST) for row in read_jsonl(path)]
        assert sum(row["messages"][-1]["content"] == "corrected" for row in kept) == 20

    def test_without_labels_is_refused(self) -> None:
        with pytest.raises(ProjectError, match="no record has one") as error:
            run(self.data(), max_per_label=30)
        assert "curate.label_key" in str(error.value)


class TestAccounting:
    def test_each_line_is_kept_or_rejected_with_its_reason(self) -> None:
        good = "".join(json.dumps(row) + "\n" for row in rows(100)).encode()
        report = run(good + b'\n{"prompt":"x"}\n{"broken\n' + good[:200].split(b"\n")[0] + b"\n")
        assert (report["read"], report["kept"]) == (103, 100)
        assert report["rejected"] == {"exact_duplicate": 1, "json": 1, "schema": 1}
        offsets = {row["line"]: row["byte_offset"] for row in read_jsonl(REJECTED)}
        raw = Path("data/raw/requests.jsonl").read_bytes()
        assert raw[offsets[103] :].startswith(b'{"broken')

    @settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.one_of(
                st.tuples(
                    st.lists(st.sampled_from(WORDS[:9]), min_size=1, max_size=7).map(" ".join), st.booleans()
                ).map(lambda row: json.dumps({"prompt": row[0], "completion": str(row[1])}).encode()),
                st.sampled_from([b"", b"\r", b"{}", b"[]", b"\xff", b'{"prompt":"p","completion":""}']),
                st.binary(max_size=12).filter(lambda line: b"\n" not in line),
            ),
            max_size=40,
        )
    )
    def test_whatever_the_lines_are(self, lines: list[bytes]) -> None:
        for path in (TEST, DEV, BENCHMARK):
            path.unlink(missing_ok=True)
        data = b"".join(line + b"\n" for line in [json.dumps(row).encode() for row in rows(60)] + lines)
        report = run(data, max_reject_fraction=1.0)
        rejected = read_jsonl(REJECTED)
        assert report["kept"] + len(rejected) == report["read"]
        assert report["read"] == 60 + sum(bool(line.strip(b" \t\r\n")) for line in lines)
        texts = prompts(TEST) + prompts(DEV) + prompts(TRAIN)
        held = report["test"] + report["dev"]
        shingles = Shingles.of_texts([normalise(text) for text in texts])
        assert leaks(shingles, range(held), range(held, len(texts)), 0.7) == 0

    def test_the_report_says_what_a_random_split_would_have_leaked(self) -> None:
        data = [
            {"prompt": distinct_row(n // 2)["prompt"] + " please" * (n % 2), "completion": str(n)} for n in range(200)
        ]
        report = run(data)
        assert report["leakage"]["test_near_train"] == 0
        assert report["leakage"]["random_split_would_leak"] > 0.5

    def test_two_runs_give_the_same_bytes_under_any_hash_seed(self, tmp_path: Path) -> None:
        write_raw([{**row, "kind": f"k{number % 4}"} for number, row in enumerate(rows(120))])
        script = (
            "from raw_data import curate_settings; from pipeline.curate import curate; "
            "curate(curate_settings(label_key='kind'), smoke=False); "
            "import sys; assert not sys.modules.keys() & {'pipeline.embedder', 'torch'}"  # nothing is embedded
        )
        seen = []
        for seed in ("1", "2"):
            for path in outputs():
                Path(path).unlink()
            environment = os.environ | {
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
            }
            subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)
            seen.append(outputs())
        assert seen[0] == seen[1]
        assert len(seen[0]) == 7


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
        assert "new sizes apply when curate.benchmark_version is raised" in capsys.readouterr().out
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
        report = run(data, private=PrivateSettings(*["redact"] * 7), near_duplicate_threshold=0.9)
        assert report["rejected"]["benchmark_leak"] == 15
        assert not held & {row["line"] for row in read_jsonl(TRAIN)}

    def test_whose_record_is_lost_is_not_drawn_again(self) -> None:
        run(rows(100))
        BENCHMARK.unlink()
        with pytest.raises(ProjectError, match="not the record of how they were drawn") as error:
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


class TestSmoke:
    def test_keeps_a_few_rows_of_each_part(self) -> None:
        run(rows(200), smoke=True, test_items=20, dev_items=10)
        assert [len(prompts(path)) for path in (TRAIN, DEV, TEST)] == [64, 8, 8]
        assert read_json(BENCHMARK)["smoke"] is True

    def test_in_place_gives_way_to_the_full_benchmark_again(self) -> None:
        run(rows(200), test_items=20)
        before = TEST.read_bytes()
        run(rows(200), test_items=20, smoke=True)
        assert TEST.read_bytes() != before
        run(rows(200), test_items=20)
        assert TEST.read_bytes() == before

    def test_in_place_cannot_replace_the_benchmark_by_another_one(self) -> None:
        run(rows(200), test_items=20)
        run(rows(200), test_items=20, smoke=True)
        with pytest.raises(ProjectError, match="smoke run replaced the frozen benchmark") as error:
            run(rows(300)[100:], test_items=20)
        assert "git checkout" in str(error.value)


class TestBadInput:
    def test_too_many_bad_lines_stop_the_stage_and_are_listed(self) -> None:
        with pytest.raises(ProjectError) as error:
            run(b'{"prompt":"p"}\n' * 3 + "".join(json.dumps(row) + "\n" for row in rows(20)).encode())
        message = str(error.value)
        assert "3 of 23 lines are unusable, 13.0%" in message
        assert "line 1: schema: no field `completion`" in message
        assert "curate.format" in message
        assert len(read_jsonl(REJECTED)) == 3
        assert not TRAIN.exists() and not BENCHMARK.exists()

    def test_duplicates_are_no_fault(self) -> None:
        assert run(rows(100) * 3)["rejected"] == {"exact_duplicate": 200}

    def test_nothing_usable_at_all(self) -> None:
        with pytest.raises(ProjectError, match="1 of 1 lines are unusable"):
            run(b"{}\n", max_reject_fraction=1.0)

    def test_records_without_an_answer_are_not_taken_for_another_format(self) -> None:
        silent = [{"messages": [{"role": "user", "content": f"question {n}"}]} for n in range(20)]
        with pytest.raises(ProjectError, match="no assistant turn") as caught:
            run(silent, format="messages", max_reject_fraction=0.1, group_key=None, label_key=None)
        assert "another format" not in caught.value.mend

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            pytest.param(None, "the data file is missing", id="missing"),
            pytest.param(b"", "the data file is empty", id="empty"),
            pytest.param(b'{"prompt": "caf\xe9", "completion": "b"}\n' * 9, "is not UTF-8", id="latin-1"),
            pytest.param(b'{"messages": [{"role": "user", "content": "Q"}]}\n', "no field `prompt`", id="other format"),
        ],
    )
    def test_is_one_message_and_an_exit_code(self, data: bytes | None, message: str, tmp_path: Path) -> None:
        if data is not None:
            write_raw(data)
        script = (
            "import sys; from raw_data import curate_settings; from pipeline.curate import curate; "
            "from pipeline.files import run_stage; "
            "sys.exit(run_stage(lambda: curate(curate_settings(), smoke=False)))"
        )
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        done = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not TRAIN.exists()


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
        monkeypatch.setattr("os.cpu_count", lambda: 1)
        monkeypatch.setattr("pipeline.curation.store.OPEN_FILES", 3)
        for n in range(300):
            self.write(f"{n:04}.jsonl", {"prompt": rows(400)[n]["prompt"], "completion": "corrected"})
        assert run(rows(400))["rejected"] == {"superseded": 300}
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
        with pytest.raises(ProjectError, match="one right answer each"):
            run([{"prompt": row["prompt"], "chosen": "a", "rejected": "b"} for row in rows(100)], format="preference")
        (folder / "d.xlsx").write_bytes(b"PK")
        with pytest.raises(ProjectError, match="of no known kind") as error:
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

    def test_a_benchmark_that_dvc_does_not_see_is_refused(self) -> None:
        write_raw(rows(1), "data/exam.jsonl")
        with pytest.raises(ProjectError, match="lies elsewhere"):
            run(rows(100), benchmarks=["data/benchmarks/../exam.jsonl"])


class TestParts:
    def test_a_policy_that_stops_names_file_and_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pipeline.curation.engine.PIECE_BYTES", 4000)
        stop = AnomalySettings(*["error"] * 8)
        with pytest.raises(ProjectError, match="a record has an anomaly") as error:
            run([*rows(150), {"prompt": 1, "completion": "x"}], anomalies=stop)
        assert "data/raw/requests.jsonl, line 151; curate.anomalies.not_text" in str(error.value)

    def test_many_parts_in_many_processes_give_the_same_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = rows(300) + rows(20)
        data[5]["prompt"] += " cafÃ©"
        write_raw(b"".join(json.dumps(row).encode() + b"\n" for row in data) + b"{broken\n")
        seen = []
        for size in (1 << 20, 4000):
            for path in outputs():
                Path(path).unlink()
            monkeypatch.setattr("pipeline.curation.engine.PIECE_BYTES", size)
            curate(curate_settings(), smoke=False)
            seen.append(outputs())
        assert seen[0] == seen[1]

    def test_a_stopped_run_goes_on_with_the_parts_that_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pipeline.curation.engine.PIECE_BYTES", 4000)
        monkeypatch.setattr("os.cpu_count", lambda: 1)
        write_raw(rows(300))
        parts = engine.read_parts(curate_settings())
        assert len(parts.folders) > 3
        (parts.folders[2] / "done.json").unlink()  # as if it had been killed there
        built: list[Path] = []
        original = engine.build_part

        def counted(folder: Path, *arguments: Any) -> Any:
            built.append(folder)
            return original(folder, *arguments)

        monkeypatch.setattr(engine, "build_part", counted)
        assert curate(curate_settings(), smoke=False)["read"] == 300
        assert built == [parts.folders[2]]
        assert not engine.WORK.exists()


class TestReports:
    def test_the_page_shows_reasons_and_no_private_text(self) -> None:
        data = rows(100)
        data[3] = {"prompt": "my address is someone@example.org, please note", "completion": "noted"}
        run(b"".join(json.dumps(row).encode() + b"\n" for row in data) + b'{"x": <script>\n')
        page, card = Path("reports/data.html").read_text(), Path("reports/DATA_CARD.md").read_text()
        assert "someone@example.org" not in page + card
        assert "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")
        assert "json" in page and "100 kept + 1 left out = 101 read" in page
        assert "email 1" in card

    @pytest.mark.parametrize(
        "line",
        [
            {"prompt": "list", "completion": "\n".join(["bob.private@example.org"] * 6)},
            {"prompt": "ask", "completion": "As an AI assistant I ask b.o.b.private@example.org, not you"},
            b'{"prompt":"x","bob.private@example.org":1,"bob.private@example.org":2}',
            {"prompt": [{"role": "bob.private@example.org " + "x" * 9999, "content": "Q"}], "completion": "A"},
        ],
    )
    def test_what_is_said_of_a_record_quotes_nothing_private(self, line: Any) -> None:
        quality = QualitySettings("drop", "drop", "drop", "drop")
        raw = line if isinstance(line, bytes) else json.dumps(line).encode()
        run("".join(json.dumps(row) + "\n" for row in rows(100)).encode() + raw + b"\n", quality=quality)
        (note,) = read_jsonl(REJECTED)
        assert len(note["detail"]) <= 200 and "EMAIL" in note["detail"]
        for path in (*Path("reports").iterdir(), REJECTED):
            assert "private@" not in path.read_text() and "@example" not in path.read_text()

    def test_the_length_bias_of_pairs_is_reported(self) -> None:
        data = [
            {"prompt": row["prompt"], "chosen": "a long good answer" if n < 75 else "good", "rejected": "bad one"}
            for n, row in enumerate(rows(100))
        ]
        found = run(data, format="preference")["preference"]
        assert (found["pairs"], found["chosen_longer"], found["rejected_longer"]) == (100, 0.75, 0.25)
        assert (found["chosen_mean_characters"], found["rejected_mean_characters"]) == (14.5, 7.0)
        assert "the longer one in 75.0%" in Path("reports/data.html").read_text()

    def test_languages_and_diversity_are_always_reported(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["the", "weather", "is", "nice", "and", "we", "go", "for", "a", "walk", "in", "the", "park"]
        data = [{"prompt": " ".join([*words, str(n), str(n * 7)]), "completion": str(n)} for n in range(100)]
        report = run(data, near_duplicate_threshold_long=1.0, contamination="keep")
        assert report["languages"] == {"en": report["train"]}
        assert report["diversity"]["distinct_1"] < 0.2 and report["diversity"]["prompts"] == report["train"]
        assert "100 of the first 100 records are `jsonl` (`prompt` in 100" in capsys.readouterr().out

    def test_source_and_licence_are_on_the_page(self) -> None:
        Path(".copier-answers.yml").write_text("data_source: our tickets\nlicence: internal\n")
        run(rows(100))
        assert "Source: our tickets. Licence: internal." in Path("reports/data.html").read_text()

    def test_too_few_examples_are_refused_with_the_reason(self) -> None:
        with pytest.raises(ProjectError, match="100 good examples are too few") as error:
            run(rows(100), minimum_records=200)
        assert "collect more examples first" in str(error.value)

    def test_data_in_another_format_are_recognised_in_the_error(self) -> None:
        with pytest.raises(ProjectError) as error:
            run([{"instruction": row["prompt"], "input": "now", "output": "x"} for row in rows(60)], format="messages")
        assert "60 of the first 60 records are `alpaca`" in str(error.value)
