"""The stage as its user sees it: every line accounted for, a benchmark that stays, one message when it cannot go on."""

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
from pipeline.files import ProjectError, read_json, read_jsonl
from pipeline.near_duplicates import Shingles, normalise
from pipeline.split import leaks

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
        assert report["duplicates"] == {"exact": 1, "near": 0}
        assert read_jsonl(REJECTED)[0]["detail"] == "same as line 4"

    def test_a_prompt_with_two_answers_keeps_the_first(self) -> None:
        data = [*rows(100), {**distinct_row(7), "completion": "something else"}]
        run(data)
        assert reasons() == [(101, "conflicting_label")]

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
        assert (report["read"], report["kept"], report["blank_lines"]) == (103, 100, 1)
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
        assert report["read"] + report["blank_lines"] == 60 + len(lines)
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
            "curate(curate_settings(label_key='kind'), smoke=False)"
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
        assert len(seen[0]) == 6


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
