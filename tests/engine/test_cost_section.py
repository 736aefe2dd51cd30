"""The report's sections on total cost of ownership and on the plan."""

from pathlib import Path

import pytest
from finished_project import PARAMS, PRICES, finish_project

from engine.core.artifacts import REPORT_PAGE
from engine.core.interval import Range
from engine.core.io import write_json
from engine.costing.results import FigureSwing
from engine.reporting.charts import tornado_chart
from engine.reporting.report_page.page import crossing, off
from pipeline import cost, report


def page() -> str:
    cost.main()
    report.main()
    return REPORT_PAGE.read_text("utf-8")


def test_the_report_sets_every_route_side_by_side_with_a_tornado(project: Path) -> None:
    finish_project(project)
    text = page()
    section = text.partition("Total cost of ownership</h2>")[2].partition("</section>")[0]
    for wanted in ("few_shot at Small model", "tuned, rented machine", "tuning service", "re-training", "requests"):
        assert wanted in section, wanted
    assert "<svg" in section and "usd per hour" in section and "a price list" in section
    assert "Plan and measurement" not in text, "a project without a plan has no such section"


def test_the_report_says_how_far_off_the_plan_was(project: Path) -> None:
    finish_project(project)
    near, far = {"low": 200, "typical": 372.4, "high": 600}, {"low": 1, "typical": 2, "high": 3}
    write_json(project / "plan.json", {"figures": {"training_seconds": near, "prompt_tokens/tuned": far}})
    section = page().partition("Plan and measurement</h2>")[2].partition("</section>")[0]
    assert "2 of 3 figures are inside" in section and "training usd" in section
    assert "prompt tokens, tuned" in section and "30.0 times" in section and "+0%" in section


def test_the_report_shows_fewer_bits_only_of_the_weights_that_are_served(project: Path) -> None:
    finish_project(project)
    assert "Quantisation</h2>" not in page()
    row = {
        "weights_gib": 1.5,
        "requests_per_second": 3.0,
        "latency_seconds": {"p50": 0.4},
        "score": {"mean": 0.613},
        "difference": {"mean": -0.021, "low": -0.05, "high": 0.01},
    }
    record = {"manifest": {"sha256": "a"}, "metric": "json_match", "widths": {"8": row, "16": row, "4": row}}
    write_json(project / "reports/measured/quantisation.json", record)
    write_json(project / "models/served.json", {"sha256": "a"})
    section = page().partition("Quantisation</h2>")[2].partition("</section>")[0]
    for wanted in ("16 bits", "4 bits", "1.50 GiB", "61.3%", "-2.1 [-5.0, +1.0]"):
        assert wanted in section, wanted
    assert section.index("16 bits<") < section.index("8 bits<") < section.index("4 bits<")
    write_json(project / "models/served.json", {"sha256": "b"})
    assert "Quantisation</h2>" not in page(), "measured on other weights"


def test_a_machine_without_a_price_leaves_its_routes_out(project: Path) -> None:
    finish_project(project, params=PARAMS.replace("hardware: cpu", "hardware: l4"), prices=PRICES)
    section = page().partition("Total cost of ownership</h2>")[2].partition("</section>")[0]
    assert "own machine" in section and "rented machine" not in section and "<svg" not in section


def test_a_price_of_ones_own_without_a_date_is_said_to_be_undated(project: Path) -> None:
    own = PRICES.replace("usd_per_hour: {low: 0.07, typical: 0.09, high: 0.10}", "usd_per_hour: 0.11")
    hosted = "hosted:\n  ours: {usd_per_million_input: 1, usd_per_million_output: 2, source: yours, date: null}\n"
    own = own.replace("source: a price list\n    date: 2026-10-01", "source: yours\n    date: null", 1)
    finish_project(project, prices=own.partition("hosted:")[0] + hosted)
    text = page()
    assert "at $0.11 an hour (yours, undated)" in text and "yours, undated<" in text
    assert "None" not in text.partition("Cost and break-even</h2>")[2].partition("</section>")[0]


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        (None, ""),
        (Range(None, None, None), "never"),
        (Range(0.0, 0.0, 0.0), "the first request"),
        (Range(100.0, 200.0, 300.0), "200 a month [100, 300]"),
        (Range(100.0, None, None), "at least 100 a month, perhaps never"),
    ],
)
def test_where_routes_cross_in_words(volume: Range | None, said: str) -> None:
    assert crossing(volume) == said


def test_how_far_off_in_words() -> None:
    assert (off(0.5), off(1.25), off(7.0), off(None)) == ("-50%", "+25%", "7.0 times", "")


def test_the_tornado_stays_inside_its_frame_and_is_spoken() -> None:
    swings = [
        FigureSwing(figure="usd_per_hour", low=1.0, high=12.0, usd_at_low=900.0, usd_at_high=90000.0),
        FigureSwing(figure="utilisation", low=0.2, high=0.8, usd_at_low=5000.0, usd_at_high=2000.0),
    ]
    chart = tornado_chart(swings)
    rects = [mark.attributes for mark in chart.marks if mark.tag == "rect"]
    bars = [(float(rect["x"]), float(rect["width"])) for rect in rects]
    assert len(bars) == 2 and all(x >= 190 and x + width <= 720 - 150 + 1 for x, width in bars)
    assert bars[0][1] > bars[1][1]
    assert "usd per hour from $900.00 to $90,000.00" in chart.spoken
