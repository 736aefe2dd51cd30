"""What counts as a right answer, and the summary of an arm."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from finished_project import PARAMS, answered_row
from msgspec.structs import replace

from engine.core.errors import ProjectError
from engine.core.params import load
from engine.evaluation.diagnostics import secondary, secondary_of
from engine.evaluation.item_metrics import METRICS, label_of
from engine.evaluation.metrics import OWN, confusion, metrics_of, score_items, summarise
from engine.evaluation.scores import languages, slices
from engine.inference.results import Row
from engine.settings.everything import Everything
from evals.metrics import METRICS as PROJECT_METRICS
from pipeline.evaluate import confusion_rows


@pytest.fixture
def settings(tmp_path: Path) -> Everything:
    (tmp_path / "params.yaml").write_text(PARAMS)
    return load(Everything, tmp_path / "params.yaml")


def items(*pairs: tuple[str, str], labels: list[str | None] | None = None) -> list[Row]:
    labels = labels or [None] * len(pairs)
    return [
        answered_row(id=str(number), expected=expected, answer=answer, label=label)
        for number, ((expected, answer), label) in enumerate(zip(pairs, labels, strict=True))
    ]


@pytest.mark.parametrize(
    ("metric", "expected", "answer", "score"),
    [
        ("exact_match", "Café", "Cafe\u0301.", 1),
        ("exact_match", "yes", ' "Yes!" ', 1),
        ("exact_match", "5", "-5", 0),
        ("exact_match", ".5", "5", 0),
        ("exact_match", '{"a": {}}', '{"a": {', 0),
        ("exact_match", "?", "", 0),
        ("contains", "Paris", "It is Paris, of course.", 1),
        ("contains", "Paris", "Parisian", 0),
        ("contains", "a+b", "so a+b holds", 1),
        ("token_f1", "the cat sat", "a cat sat down", 0.8),
        ("token_f1", "", "", 1),
        ("token_f1", "cat", "", 0),
        ("rouge_l", "the cat sat on the mat", "the cat lay on the mat", 5 / 6),
        ("rouge_l", "кот сидел", "кот сидел", 1),
        ("json_match", '{"a": 1, "b": [1, 2]}', '{"b": [1, 2.0], "a": 1}', 1),
        ("json_match", '{"a": true}', '{"a": 1}', 0),
        ("json_match", '{"a": 1}', '```json\n{"a": 1}\n```', 1),
        ("json_match", '{"a": 1}', '{"a": 1} as asked', 0),
        ("json_match", "[1, 2]", "[2, 1]", 0),
        ("json_match", "not json", "not json", 0),
        ("json_valid", "{}", '{"a": NaN}', 0),
        ("json_valid", "{}", "[" * 100_000, 0),
        (
            "json_field_accuracy",
            '{"i": "on", "s": {"n": "lamp", "r": "hall"}}',
            '{"i": "on", "s": {"n": "lamp"}}',
            2 / 3,
        ),
        ("json_field_accuracy", '{"i": "on"}', '{"i": "on", "extra": 1}', 1),
        ("json_field_accuracy", '{"s": {}}', '{"s": {"n": 1}}', 0),
        ("json_field_accuracy", '{"i": "on"}', "nonsense", 0),
        ("label_accuracy", "Billing", "billing.", 1),
    ],
)
def test_per_item_metric(metric: str, expected: str, answer: str, score: float) -> None:
    assert METRICS[metric](expected, answer) == pytest.approx(score)


def test_a_label_is_the_field_of_a_json_answer_or_the_whole_text() -> None:
    assert label_of('{"intent": "TurnOn", "slots": {}}', "intent") == "turnon"
    assert label_of(" Billing. ", "intent") == "billing"
    assert label_of('{"other": 1}', "intent") == '{"other": 1}'


def test_json_answers_get_json_metrics_and_no_bleu(settings: Everything) -> None:
    rows = items(
        *[('{"intent": "on", "slots": {"n": "lamp"}}', '{"intent": "on", "slots": {}}')] * 10, labels=["on"] * 10
    )
    summary = summarise(rows, settings)
    assert {"json_match", "json_valid", "json_field_accuracy", "label_accuracy", "macro_f1"} <= summary.keys()
    assert not {"bleu", "chrf", "rouge_l", "token_f1"} & summary.keys()
    assert summary["json_match"].mean == 0 and summary["json_match"].high == pytest.approx(0.2775, abs=1e-3)


def test_prose_gets_bleu_and_chrf_as_sacrebleu_computes_them(settings: Everything) -> None:
    import sacrebleu

    pairs = [(f"the cat sat on mat number {n}", f"the cat lay on mat number {n}") for n in range(20)]
    summary = summarise(items(*pairs), settings)
    bleu = sacrebleu.corpus_bleu([a for _, a in pairs], [[e for e, _ in pairs]])
    assert summary["bleu"].mean == pytest.approx(bleu.score / 100, abs=1e-6)
    assert 0 < summary["rouge_l"].low <= summary["rouge_l"].mean <= summary["rouge_l"].high < 1
    assert "chrf" in summary and "json_match" in summary  # the primary metric is always there


def test_answers_that_share_little_with_the_references_have_their_bleu_and_chrf(settings: Everything) -> None:
    """Where some resamples share nothing, sacrebleu's own interval ends with a TypeError."""
    pairs = [(f"the answer is {n}", "" if n else "it is said that the answer is 0") for n in range(12)]
    summary = summarise(items(*pairs), settings)
    for name in ("bleu", "chrf"):
        assert 0 == summary[name].low < summary[name].mean < summary[name].high < 1


def test_scores_of_the_whole_benchmark_are_resampled_by_group(settings: Everything) -> None:
    import sacrebleu

    truth = [f"the cat sat on mat number {n} of {n % 7}" for n in range(60)]
    said = [text if n % 3 else "a dog ran off" for n, text in enumerate(truth)]
    labels = ["on" if n % 3 else "off" for n in range(60)]
    prose = items(*zip(truth, said, strict=True))
    sorts = items(*zip(labels, ["on"] * 60, strict=True), labels=list(labels))
    alone = summarise(prose, settings) | summarise(sorts, settings)
    # Right and wrong by whole groups.
    prose, sorts = ([replace(one, group=f"group {n % 6}") for n, one in enumerate(rows)] for rows in (prose, sorts))
    grouped = summarise(prose, settings) | summarise(sorts, settings)
    for name in ("bleu", "chrf", "macro_f1"):
        assert grouped[name].mean == alone[name].mean
        width, wider = (one[name].high - one[name].low for one in (alone, grouped))
        assert wider > 2 * width > 0, name
    theirs = sacrebleu.metrics.CHRF().corpus_score(said, [truth], n_bootstrap=1000)
    assert (alone["chrf"].high - alone["chrf"].low) / 2 == pytest.approx(theirs._ci / 100, rel=0.1)


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (lambda expected, answer: 1 / len(answer), "ZeroDivisionError"),
        (lambda expected, answer: len(answer) - 1, "the metric returned -1"),
        (lambda expected, answer: math.nan, "the metric returned nan"),
        (lambda expected, answer: None, "TypeError"),
    ],
)
def test_a_projects_own_metric_that_is_none_is_told(
    settings: Everything, monkeypatch: pytest.MonkeyPatch, metric: Any, told: str
) -> None:
    monkeypatch.setitem(PROJECT_METRICS, "own", metric)
    with pytest.raises(ProjectError, match=told) as caught:
        score_items(items(("yes", "")), settings)
    assert caught.value.where == "evals/metrics.py: own, item 0" and "from 0 to 1" in caught.value.fix


def test_a_projects_own_metric_decides_under_a_name_of_its_own(
    settings: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROJECT_METRICS, "same_length", lambda expected, answer: len(expected) == len(answer))
    own = settings.model_copy(
        update={"evaluate": settings.evaluate.model_copy(update={"primary_metric": "same_length"})}
    )
    scores = score_items(items(("yes", "may"), ("yes", "no")), own)
    assert next(iter(scores)) == "same_length" and scores["same_length"] == [1.0, 0.0]
    monkeypatch.setitem(PROJECT_METRICS, "contains", lambda expected, answer: 1.0)
    with pytest.raises(ProjectError, match="contains is the name of a metric that every project has"):
        score_items(items(("yes", "may")), own)


@pytest.mark.parametrize(
    ("text", "told", "place"),
    [
        ("METRICS = {}\ndef f(:\n", "SyntaxError: invalid syntax", "evals/metrics.py, line 2"),
        ("import json\nimport nosuch\n", "ModuleNotFoundError", "evals/metrics.py, line 2"),
        ("", "ImportError: cannot import name 'METRICS'", "evals/metrics.py"),
        ("METRICS = [len]\n", "METRICS is not a dictionary of functions", "evals/metrics.py"),
    ],
)
def test_a_projects_own_metrics_that_cannot_be_read_are_told_with_the_line(
    settings: Everything, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str, place: str
) -> None:
    (tmp_path / OWN).parent.mkdir()
    (tmp_path / OWN).with_name("__init__.py").touch()
    (tmp_path / OWN).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("evals", "evals.metrics"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ProjectError, match=told) as caught:
        metrics_of(settings)
    assert caught.value.where == place


def test_a_misspelt_primary_metric_is_told_the_nearest(settings: Everything) -> None:
    misspelt = settings.evaluate.model_copy(update={"primary_metric": "exact_mach"})
    with pytest.raises(ProjectError) as caught:
        metrics_of(settings.model_copy(update={"evaluate": misspelt}))
    assert "did you mean exact_match?" in caught.value.fix


def test_one_word_answers_get_no_bleu(settings: Everything) -> None:
    assert not {"bleu", "chrf", "rouge_l"} & summarise(items(("yes", "no"), ("no", "no")), settings).keys()


def test_labels_that_only_describe_the_item_are_not_scored(settings: Everything) -> None:
    rows = items(("Paris", "Paris"), ("1945", "1945"), labels=["geography", "history"])
    assert "label_accuracy" not in score_items(rows, settings)


def test_macro_f1_weighs_each_label_the_same(settings: Everything) -> None:
    truth = ["a"] * 8 + ["b"] * 2 + ["c"] * 2
    guess = ["a"] * 8 + ["a", "b"] + ["c", "unheard of"]
    rows = items(*zip(truth, guess, strict=True), labels=list(truth))
    summary = summarise(rows, settings)
    by_hand = (2 * 8 / 17 + 2 * 1 / 3 + 2 * 1 / 3) / 3
    assert summary["macro_f1"].mean == pytest.approx(by_hand, abs=1e-6)
    assert {"actual": "c", "predicted": "(other)"} in confusion(rows)
    assert confusion_rows(rows, "intent") == confusion(rows, "intent")
    described = items(("Paris", "Paris"), labels=["geography"])
    assert confusion_rows(described, "intent") == [], "a label that no answer gives has no confusion"


def test_refusals_and_lengths_are_counted_beside_the_scores(settings: Everything) -> None:
    no = "I'm sorry, but I cannot help with that."
    rows = items(("Paris is it", "Paris"), ("one two three", no), (no, no), ("four", "four five six seven"))
    found = secondary(rows, settings)
    assert found["refusals"].mean == 0.25, "a refusal that the reference gives too is right"
    assert found["length"].mean == (1 + 8 + 8 + 4) / 4
    assert found["length_ratio"].mean == pytest.approx((1 + 8 + 8 + 4) / (3 + 3 + 8 + 1))
    assert found["length_ratio"].low < found["length_ratio"].mean < found["length_ratio"].high
    assert not {"misshapen", "similarity", "reference_perplexity"} & found.keys()
    assert "length_ratio" not in secondary(items(("", "a"), ("b", "b")), settings)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ('{"intent": "off", "slots": {"name": "door"}}', 0),
        ('{"intent": "off", "slots": {}}', 0),
        ('{"intent": "off", "slots": {"level": 7.5}, "tags": ["a", "b"]}', 0),
        ('{"intent": "off"}', 1),
        ('{"intent": "off", "slots": {"colour": "red"}}', 1),
        ('{"intent": "off", "slots": {"level": "7"}}', 1),
        ('{"intent": "off", "slots": {"level": true}}', 1),
        ('{"intent": "off", "slots": {}, "tags": [1]}', 1),
        ('["intent"]', 1),
        ("intent: off", 1),
    ],
)
def test_an_answer_has_the_shape_of_the_references_or_not(settings: Everything, answer: str, wrong: int) -> None:
    references = (
        '{"intent": "on", "slots": {"name": "lamp"}}',
        '{"intent": "on", "slots": {"level": 3}, "tags": ["x"]}',
        '{"intent": "on", "slots": {}}',
    )
    rows = items(*((reference, answer) for reference in references))
    assert secondary(rows, settings)["misshapen"].mean == wrong


SCHEMA = """{"type": "object", "required": ["intent"], "additionalProperties": false,
  "properties": {"intent": {"enum": ["on", "off"]}, "level": {"$ref": "#/$defs/level"}},
  "$defs": {"level": {"type": "integer", "maximum": 9}}}"""


@pytest.fixture
def schema(project: Path) -> Path:
    path = project / "evals/schema.json"
    path.parent.mkdir()
    path.write_text(SCHEMA)
    return path


def test_answers_are_held_against_the_projects_own_schema(settings: Everything, schema: Path) -> None:
    right = '{"intent": "on", "level": 3}'
    answers = (
        ('{"intent": "off"}', 0),
        ('```json\n{"level": 9.0, "intent": "on"}\n```', 0),
        ("{}", 1),
        ('{"intent": "open"}', 1),
        ('{"intent": "on", "level": 10}', 1),
        ('{"intent": "on", "level": true}', 1),
        ('{"intent": "on", "room": 1}', 1),
        ("on", 1),
        ('{"intent": "on"', 1),
    )
    for answer, wrong in answers:
        found = secondary_of({"tuned": items((right, answer))}, settings)["tuned"]
        assert found["schema_failures"].mean == wrong, answer
    both = secondary_of({"tuned": items((right, right), (right, "on"))}, settings)["tuned"]["schema_failures"]
    assert both.mean == 0.5 and 0 < both.low < both.high < 1
    schema.write_text('{"$comment": "no rules yet"}')
    assert "schema_failures" not in secondary_of({"tuned": items((right, right))}, settings)["tuned"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not valid JSON"),
        ('{"type": "text"}', "not a JSON Schema"),
        ('{"properties": {"intent": {"pattern": "["}}}', "not a JSON Schema"),
        ('{"$ref": "#/$defs/none"}', "has no target"),
        ('{"$ref": "https://example.invalid/schema.json"}', "has no target"),
        ('{"$ref": "#"}', "1 of 1 expected answers break the schema"),
        ('{"required": ["room"]}', "'room' is a required property"),
        ('{"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 1, "exclusiveMaximum": 9}', "not a JSON"),
    ],
)
def test_a_schema_that_cannot_be_right_is_refused(settings: Everything, schema: Path, text: str, told: str) -> None:
    schema.write_text(text)
    with pytest.raises(ProjectError, match=told) as caught:
        secondary_of({"tuned": items(('{"intent": "on"}', "on"))}, settings)
    assert caught.value.where.startswith("evals/schema.json") and caught.value.fix


def test_similarity_and_perplexity_are_there_where_they_were_asked_for(settings: Everything) -> None:
    rows = items(("a b", "a b"), ("c d", "e"))
    rows = [replace(one, reference_nll=nll, reference_tokens=3) for one, nll in zip(rows, (2.0, 4.0), strict=True)]

    def same_words(expected: Sequence[str], answers: Sequence[str]) -> list[float]:
        return [float(e == a) for e, a in zip(expected, answers, strict=True)]

    found = secondary(rows, settings, same_words)
    assert found["similarity"].mean == 0.5
    assert found["reference_perplexity"].mean == pytest.approx(math.exp(6 / 6), abs=1e-5)
    rows[1] = replace(rows[1], reference_nll=None)
    assert "reference_perplexity" not in secondary(rows, settings), "an arm whose model gives no likelihoods"


def test_citations_are_held_against_the_documents_that_items_are_known_to_be_of(settings: Everything) -> None:
    given = items(("6", "6"), ("6", "6"), ("8", "six"), ("9", "9"))
    rows = [replace(one, passages=["ant#0", "bee#0"]) for one in given]
    ant = {"id": "ant#0", "source": "ant.md", "text": "An ant has 6 legs."}
    bee = {"id": "bee#0", "source": "bee.md", "text": "So does a bee: 6."}
    wasp = {"id": "wasp#0", "source": "wasp.md", "text": "A wasp has 7."}
    retrieved = {
        "0": {"passages": [ant, bee], "own": ["ant#0"]},  # cites both, one of them right
        "1": {"passages": [wasp, bee], "own": []},  # its own document was not found, another one states the answer
        "2": {"passages": [ant, bee], "own": ["bee#0"]},  # cites nothing
        "3": {"passages": [ant], "own": None},  # nobody knows its document
    }
    found = secondary(rows, settings, retrieved=retrieved)
    assert found["citation_precision"].mean == pytest.approx(1 / 3, abs=1e-6)
    assert found["citation_recall"].mean == pytest.approx(1 / 3, abs=1e-6)
    assert 0 <= found["citation_precision"].low < 1 / 3 < found["citation_precision"].high <= 1
    unknown = {name: found | {"own": None} for name, found in retrieved.items()}
    assert "citation_recall" not in secondary(rows, settings, retrieved=unknown)
    assert "citation_recall" not in secondary(given, settings, retrieved=retrieved), "an arm that retrieves nothing"


def asked(*texts: str) -> list[dict[str, Any]]:
    turns = ([{"role": "user", "content": text}, {"role": "assistant", "content": "x"}] for text in texts)
    return [{"id": str(number), "messages": messages} for number, messages in enumerate(turns)]


def test_scores_are_sliced_by_the_language_of_the_question() -> None:
    english = "Please turn on the light in the kitchen and close the window"
    german = "Bitte schalte das Licht in der Küche ein und schließe das Fenster"
    spoken = languages(asked(english, german, german, "on"))
    assert spoken == {"0": "en", "1": "de", "2": "de"}
    found = slices({"few_shot": [1.0, 0.0, 1.0, 1.0]}, items(*[("x", "x")] * 4), spoken)
    told = [(one.slice, one.items, one.scores["few_shot"]) for one in found if one.by == "language"]
    assert told == [("de", 2, 0.5), ("en", 1, 1.0)]


def test_one_stray_language_among_many_items_is_no_slice() -> None:
    english = "Please turn on the light in the kitchen and close the window"
    assert languages(asked(*[english] * 30, "Bitte schalte das Licht in der Küche ein")) == {}
    assert languages([]) == {}


def test_equal_answers_give_equal_bytes(settings: Everything) -> None:
    rows = items(*[("some expected words", "some other words"), ("a b c", "a b c")] * 30)
    assert msgspec.json.encode(summarise(rows, settings)) == msgspec.json.encode(summarise(rows, settings))
