"""What is left out on demand: duplicates in other words, boilerplate, too many records of a label."""

from pathlib import Path

import pytest
from raw_data import BENCHMARK, DEV, REJECTED, ROOT, TEST, TRAIN, WORDS, positional, reasons, rows, run, write_raw

from engine.core.errors import ProjectError
from engine.core.io import read_jsonl
from engine.core.params import EMBEDDER
from engine.models.store import STORE
from engine.settings.curate import QualitySettings

needs_embedder = pytest.mark.skipif(
    not (ROOT / "engine/data/dedup/semantic_dedup.py").exists() or not (STORE / EMBEDDER.replace("==", "-")).exists(),
    reason="the extra `embeddings`, or the embedding model, is not here",
)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestSemanticDuplicates:
    def data(self) -> list[dict[str, str]]:
        data = rows(100)
        data[5] = {"prompt": "How do I reset my password?", "completion": "Press forgot."}
        data[7] = {"prompt": "I forgot my password, how can I change it?", "completion": "Press forgot."}
        data[9] = {"prompt": "What are the steps to reset a password?", "completion": "Ask the admin."}
        return data

    @needs_embedder
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
        assert read_jsonl(REJECTED)[0]["detail"] == "line 6 is a paraphrase, same answer"
        assert report["duplicates"]["semantic"] == 1
        assert report["near_duplicate_clusters"]["largest"] == 2  # of the two answers

    ASKED = (
        "How do I reset my password?",
        "Which city is the capital of France?",
        "What will the weather be tomorrow?",
    )
    AGAIN = (
        "I forgot my password, how can I change it?",
        "What is the capital of France?",
        "Tell me tomorrow's weather",
    )

    def labelled(self, prompts: tuple[str, ...]) -> list[dict[str, str]]:
        return [{"prompt": prompt, "completion": prompt[:9], "kind": "odd", "doc": prompt} for prompt in prompts]

    @needs_embedder
    @pytest.mark.parametrize("frozen", [True, False])
    def test_of_a_benchmark_item_are_not_trained_on(self, frozen: bool) -> None:
        """One of three records with the rare label is held out; the others come with groups that tear them apart."""
        data = [{**row, "kind": "plain", "doc": str(n)} for n, row in enumerate(rows(100))] + self.labelled(self.ASKED)
        again = self.labelled(self.AGAIN)
        run(data if frozen else data + again, label_key="kind", group_key="doc")
        held = {row["group"] for path in (TEST, DEV) for row in read_jsonl(path) if row["label"] == "odd"}
        leaked = [other for pair in zip(self.ASKED, self.AGAIN, strict=True) for other in pair if set(pair) & held]
        leaked = [prompt for prompt in leaked if prompt not in held]
        assert held and leaked
        assert set(leaked) <= {row["group"] for row in read_jsonl(TRAIN)} or frozen
        if not frozen:
            for path in (TEST, DEV, BENCHMARK):
                path.unlink()
        report = run(data + again, label_key="kind", group_key="doc", semantic_threshold=0.85)
        notes = {(data + again)[row["line"] - 1]["prompt"]: row for row in read_jsonl(REJECTED)}
        for prompt in leaked:
            assert notes[prompt]["reason"] == "benchmark_leak"
            assert notes[prompt]["detail"] == "paraphrases a benchmark item"
        assert report["leakage"]["reworded"] >= len(leaked)
        assert len(leaked) < 3 and report["train"] > 50

    @needs_embedder
    def test_none_where_every_prompt_is_too_long_for_the_model(self) -> None:
        data = [{**row, "prompt": " ".join(f"{word}{n}" for word in WORDS * 6)} for n, row in enumerate(rows(9))]
        write_raw([{"prompt": self.AGAIN[0], "completion": "x"}], "data/benchmarks/exam.jsonl")
        given = {"benchmarks": ["data/benchmarks/exam.jsonl"], "test_items": 1, "dev_items": 1, "max_chars": 9999}
        report = run(data, semantic_threshold=0.85, **given)
        assert report["kept"] == 9 and report["contamination"]["records"] == 0

    @needs_embedder
    def test_of_items_of_a_foreign_benchmark_are_contamination(self) -> None:
        data = [*rows(100), *self.labelled(self.ASKED)]
        write_raw([{"prompt": prompt, "completion": "x"} for prompt in self.AGAIN], "data/benchmarks/exam.jsonl")
        given = {"benchmarks": ["data/benchmarks/exam.jsonl"], "test_items": 5, "dev_items": 1}
        assert run(data, **given)["contamination"]["records"] == 0
        with pytest.raises(ProjectError, match="training records contain an evaluation item") as error:
            run(data, semantic_threshold=0.85, **given)
        assert "paraphrases item 1 of data/benchmarks/exam.jsonl" in str(error.value)
        report = run(data, semantic_threshold=0.85, contamination="drop", **given)
        trained = {row["messages"][0]["content"] for row in read_jsonl(TRAIN)}
        assert not trained & set(self.ASKED) and report["rejected"]["contaminated"] >= 1


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
        drop = positional(QualitySettings, "report", "report", "report", "report", "drop")
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
        with pytest.raises(ProjectError, match=r"0 good examples of 100 are too few.*left out: boilerplate 100"):
            run(data, quality=positional(QualitySettings, *["drop"] * 5), minimum_records=1)


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
        with pytest.raises(ProjectError, match="no record has a label") as error:
            run(self.data(), max_per_label=30)
        assert "curate.label_key" in str(error.value)
