"""The ladder: which rung is the smallest that will do, and which none beats in both score and cost."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from engine.core.errors import ProjectError
from engine.core.interval import Interval
from project_tools.ladder import Rung, conclusion, read_ladder, rows, written
from project_tools.ladder_page import ladder_page


def rung(name: str, low: float, mean: float, usd: float | None) -> Rung:
    return Rung(name, f"ladder-{name}-0", "tuned", Interval(mean, low, mean + 0.1), 1000, usd)


RUNGS = [
    rung("small", 0.2, 0.3, 1.0),
    rung("middle", 0.45, 0.5, 3.0),
    rung("odd", 0.41, 0.45, 4.0),
    rung("large", 0.6, 0.7, 9.0),
]


def test_the_smallest_rung_that_is_shown_to_reach_the_bar() -> None:
    assert conclusion(RUNGS, 0.4).startswith("middle is the smallest")
    assert conclusion(RUNGS, 0.25).startswith("middle"), "small's score is above, but not beyond chance"
    assert conclusion(RUNGS, 0.9).startswith("No rung is shown to reach 90%; the best is large")


def test_a_rung_that_another_beats_in_both_is_not_on_the_front() -> None:
    found = {row["name"]: row for row in rows(RUNGS)}
    assert [name for name, row in found.items() if row["pareto"]] == ["small", "middle", "large"]
    assert found["middle"]["usd_per_point"] == pytest.approx(0.06)
    assert not any(row["pareto"] for row in rows([rung("unpriced", 0.2, 0.3, None)]))


def test_the_page_shows_every_rung_and_marks_the_front() -> None:
    found = rows([*RUNGS, rung("unpriced", 0.2, 0.3, None)])
    html = ladder_page({"bar": 0.4, "conclusion": conclusion(RUNGS, 0.4), "metric": "json_match", "rungs": found})
    circles: list[str] = []

    class Circles(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            if tag == "circle":
                circles.append(str(dict(attributes)["class"]))

    Circles().feed(html)
    assert sorted(circles) == ["dot", "dot", "dot", "dot dot1"]
    assert "middle *" in html and "odd *" not in html and "unknown" in html and "<script" not in html


def test_values_are_written_as_dvc_reads_them() -> None:
    assert [written(value) for value in (4, 1e-3, True, None, ["q_proj"], "lora")] == [
        "4", "0.001", "true", "null", '["q_proj"]', "lora",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["bar: 2\nrungs: {a: {}}", "bar: 0.4", "bar: 0.4\nrungs: {}", "bar: [", "rang: 1"])
def test_a_ladder_that_is_none_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProjectError, match=r"ladder\.yaml not found"):
        read_ladder()
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals/ladder.yaml").write_text(text)
    with pytest.raises(ProjectError, match=r"rungs|less than or equal to 1|not valid YAML|`rang`"):
        read_ladder()
