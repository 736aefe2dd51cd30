"""What the data report says, and what it must not say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from raw_data import REJECTED, ROOT, many_answers, positional, rows, run

from engine.core.errors import ProjectError
from engine.core.io import read_jsonl
from engine.settings.curate import PrivateSettings, QualitySettings

needs_presidio = pytest.mark.skipif(
    not (ROOT / "engine/data/check/presidio.py").exists() or importlib.util.find_spec("presidio_analyzer") is None,
    reason="Presidio is not installed, or the project is generated without it",
)
DVC = [sys.executable, "-m", "dvc"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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

    def test_a_quotation_shows_no_half_of_what_is_private(self) -> None:
        """What is cut in two is found by no pattern."""
        card = "4111111111111111"
        data = rows(100)
        data[3]["prompt"] += f" cafÃ©{card} and so on"
        data[5]["completion"] = "word " * 60 + f"{card},"
        run(data, quality=positional(QualitySettings, "report", "report", "drop", "report"))
        assert [row["reason"] for row in read_jsonl(REJECTED)] == ["cut_answer"]
        repaired = Path("data/curated/repaired.jsonl")
        assert "'Ã©' was 'é'" in repaired.read_text()
        assert not [path for path in (*Path("reports").iterdir(), REJECTED, repaired) if "1111" in path.read_text()]

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
        quality = positional(QualitySettings, "drop", "drop", "drop", "drop")
        raw = line if isinstance(line, bytes) else json.dumps(line).encode()
        run("".join(json.dumps(row) + "\n" for row in rows(100)).encode() + raw + b"\n", quality=quality)
        (note,) = read_jsonl(REJECTED)
        assert len(note["detail"]) <= 200 and "EMAIL" in note["detail"]
        for path in (*Path("reports").iterdir(), REJECTED):
            assert "private@" not in path.read_text() and "@example" not in path.read_text()

    @needs_presidio
    def test_what_the_chosen_engine_finds_is_quoted_nowhere(self) -> None:
        number, quality = "BB1388568", positional(QualitySettings, "drop", "report", "report", "drop", "report")
        data = rows(100)
        data[3]["completion"] = f"I'm sorry, but I cannot ask DEA {number} now."
        data[5]["completion"] = f"ask DEA {number}\n" * 6
        data += [{"prompt": f"DEA {number}"}, {"prompt": "x", "completion": "y", f"k {number}": 1}]
        for row in data[10:40]:
            row["completion"] += f". Ask the doctor, DEA {number}, first!"
        raw = "".join(json.dumps(row) + "\n" for row in data).replace('"y", ', f'"y", "k {number}": 2, ')
        for private in ("report", "redact"):
            settings = positional(PrivateSettings, *[private] * 8)
            run(raw.encode(), quality=quality, private=settings, pii_engine="presidio")
            texts = {path: path.read_text() for path in (*Path("reports").iterdir(), REJECTED)}
            assert "IDENTIFIER" in texts[REJECTED] and "identifier" in texts[Path("reports/data.html")]
            assert not [path for path, text in texts.items() if number.lower() in text.lower()]

    @many_answers
    def test_the_length_bias_of_pairs_is_reported(self) -> None:
        data = [
            {"prompt": row["prompt"], "chosen": "a long good answer" if n < 75 else "good", "rejected": "bad one"}
            for n, row in enumerate(rows(100))
        ]
        found = run(data, format="preference")["preference"]
        assert (found["pairs"], found["chosen_longer"], found["rejected_longer"]) == (100, 0.75, 0.25)
        assert (found["chosen_mean_characters"], found["rejected_mean_characters"]) == (14.5, 7.0)
        assert "the longer one in 75.0%" in Path("reports/data.html").read_text()

    @many_answers
    def test_the_balance_of_judged_answers_is_reported(self) -> None:
        report = run([{**row, "label": n % 4 > 0} for n, row in enumerate(rows(100))], format="kto")
        assert report["desirable"] == {"good": 75, "bad": 25, "share": 0.75}
        assert "75 answers are good ones, 75.0%, and 25 are not." in Path("reports/data.html").read_text()

    def test_languages_and_diversity_are_always_reported(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["the", "weather", "is", "nice", "and", "we", "go", "for", "a", "walk", "in", "the", "park"]
        data = [{"prompt": " ".join([*words, str(n), str(n * 7)]), "completion": str(n)} for n in range(100)]
        report = run(data, near_duplicate_threshold_long=1.0, contamination="keep")
        assert report["languages"] == {"en": report["train"]}
        assert report["diversity"]["distinct_1"] < 0.2 and report["diversity"]["prompts"] == report["train"]
        assert "100 of the first 100 records are `jsonl` (`prompt` in 100" in capsys.readouterr().out

    def test_lengths_and_clusters_are_in_page_card_and_metrics(self) -> None:
        data = [{**row, "completion": " ".join(["word"] * (7 if n < 90 else 40))} for n, row in enumerate(rows(100))]
        data += [{"prompt": f"{data[3]['prompt']} please", "completion": "other"}]
        report = run(data)
        assert report["prompt_words"]["median"] == 5 and report["prompt_words"]["longest"] in (5, 6)
        assert report["answer_words"]["median"] == 7 and report["answer_words"]["p95"] == 40
        page, card = Path("reports/data.html").read_text(), Path("reports/DATA_CARD.md").read_text()
        assert "answers: median 7 words, P95 40" in page
        assert "answers 7 and 40" in card and "100 clusters of near duplicates, the largest of 2 records" in card

    def test_dvc_says_what_changed_between_two_versions_of_the_data(self) -> None:
        metrics = {"stages": {"curate": {"cmd": "true", "metrics": [{"reports/data.json": {"cache": False}}]}}}
        Path("dvc.yaml").write_text(json.dumps(metrics))
        labelled = [{**row, "kind": f"k{n % 2}"} for n, row in enumerate(rows(100))]
        run(labelled, label_key="kind")
        me = ["git", "-c", "user.name=T", "-c", "user.email=t@e.invalid", "-c", "commit.gpgsign=false"]
        for command in (["git", "init", "-q"], [*DVC, "init", "-q"], ["git", "add", "-A"], [*me, "commit", "-qm", "1"]):
            subprocess.run(command, check=True)
        more = [{**row, "kind": "k2"} for row in rows(110)[100:]]
        run([*labelled, *labelled[:5], *more], label_key="kind")
        said = subprocess.run([*DVC, "metrics", "diff", "--json"], check=True, capture_output=True, text=True).stdout
        changed = {
            name: (values["old"], values["new"]) for name, values in json.loads(said)["reports/data.json"].items()
        }
        assert changed["read"] == (100, 115) and changed["train"] == (85, 95)
        assert changed["rejected.exact_duplicate"] == (None, 5) and changed["labels.k2"] == (None, 10)
        assert "test" not in changed and "labels.k0" not in changed

    def test_source_and_licence_are_on_the_page(self) -> None:
        Path(".copier-answers.yml").write_text("data_source: our tickets\nlicence: internal\n")
        run(rows(100))
        assert "Source: our tickets. Licence: internal." in Path("reports/data.html").read_text()

    def test_too_few_examples_are_refused_with_the_reason(self) -> None:
        data = [*rows(100), *rows(30), {**rows(1)[0], "completion": "other"}]
        with pytest.raises(ProjectError, match="100 good examples of 131 are too few") as error:
            run(data, minimum_records=200)
        assert "left out: exact_duplicate 30, conflicting_label 1" in str(error.value)
        assert "collect more examples first" in str(error.value)
        assert len(read_jsonl(REJECTED)) == 31

    def test_too_few_for_the_benchmark_are_refused_with_what_became_of_the_rest(self) -> None:
        with pytest.raises(ProjectError, match="100 good examples of 130 are too few to hold 40 out for test") as error:
            run([*rows(100), *rows(30)], minimum_records=50, test_items=40, dev_items=20)
        assert "left out: exact_duplicate 30" in str(error.value)
        assert "at least 200 good examples" in str(error.value)
        assert len(read_jsonl(REJECTED)) == 30

    def test_data_in_another_format_are_recognised_in_the_error(self) -> None:
        with pytest.raises(ProjectError) as error:
            run([{"instruction": row["prompt"], "input": "now", "output": "x"} for row in rows(60)], format="messages")
        assert "60 of the first 60 records are `alpaca`" in str(error.value)
