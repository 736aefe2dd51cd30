"""The stage as its user sees it: every line accounted for, one message when it cannot go on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_data import (
    BENCHMARK,
    DEV,
    REJECTED,
    ROOT,
    TEST,
    TRAIN,
    WORDS,
    distinct_row,
    many_answers,
    outputs,
    prompts,
    reasons,
    rows,
    run,
    write_raw,
)

from engine.core.errors import ProjectError
from engine.core.io import read_json, read_jsonl
from engine.core.text import casefolded
from engine.data.dedup.shingles import Shingles
from engine.data.split import leaks


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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

    @many_answers
    def test_a_pair_both_ways_round_is_a_contradiction(self) -> None:
        data = [{"prompt": row["prompt"], "chosen": "a", "rejected": "b"} for row in rows(100)]
        data += [{"prompt": row["prompt"], "chosen": "b", "rejected": "a"} for row in rows(5)]
        data += [{"prompt": data[9]["prompt"], "chosen": "a", "rejected": "c"}]
        assert run(data, format="preference")["rejected"] == {"conflicting_label": 5}

    @many_answers
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
        shingles = Shingles.of_texts([casefolded(text) for text in texts])
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
            "import sys; assert not sys.modules.keys() & {'engine.inference.embedder', 'torch'}"
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
        assert "another format" not in caught.value.fix

    def test_compared_answers_in_a_supervised_project_are_named_with_what_reads_them(self) -> None:
        pairs = [{"prompt": f"question {n}", "chosen": "a", "rejected": "b"} for n in range(20)]
        with pytest.raises(ProjectError, match="20 of 20 lines are unusable") as caught:
            run(pairs, format="messages", max_reject_fraction=0.1, group_key=None, label_key=None)
        assert "they look like another format: 20 of the first 20 records are `preference`" in caught.value.fix
        assert "`dataset_format: preference` reads it, for the objectives dpo, orpo and reward" in caught.value.fix

    def test_what_a_policy_leaves_out_names_the_policy(self) -> None:
        with pytest.raises(ProjectError) as caught:
            run([row | {"prompt": {"text": row["prompt"]}} for row in rows(20)])
        assert "field `prompt` is an object, not text (curate.anomalies.not_text)" in str(caught.value)

    def test_a_key_that_no_record_has_is_told_the_fields_they_have_the_closest_first(self) -> None:
        with pytest.raises(ProjectError) as caught:
            run([row | {"customer": "a"} for row in rows(20)], group_key="costumer", label_key="prompts")
        group, label = caught.value.fix.split("; ")
        assert "no record has the field `costumer`: set curate.group_key to one of `customer`, `" in group
        assert "set curate.label_key to one of `prompt`, `" in label and label.endswith(", or to null")

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
            "from engine.core.errors import run_stage; "
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
