"""A judge is believed only if it agrees with people in both orders."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from finished_project import PARAMS, finish_project
from msgspec.structs import asdict, replace
from scripted_backend import Scripted

import engine
from engine.core.artifacts import RUBRIC_CALIBRATION
from engine.core.errors import ProjectError
from engine.core.interval import Interval
from engine.core.io import read_json, read_jsonl, write_jsonl
from engine.core.params import load
from engine.evaluation.judge import judging as judge_stage
from engine.evaluation.judge.llm_grader import Graded, grade, parse_grade, qualify_grades, read_labels, weighted_kappas
from engine.evaluation.judge.pairwise_judge import (
    Judgement,
    Pair,
    agreement_interval,
    judge,
    kappas,
    kinship,
    length_adjusted,
    parse,
    preference,
    qualify,
    read_calibration,
)
from engine.evaluation.judge.report import Grading, JudgeReport, Requests
from engine.html.pages import render
from engine.inference.backend import Prompt
from engine.reporting.report_page.page import WORDS
from engine.settings.everything import Everything
from project_tools import label

pytestmark = pytest.mark.usefixtures("project")
PROMPT = "Question: $question\nA: $a\nB: $b"


class Judge(Scripted):
    """It follows a rule about the two texts that its prompt names."""

    named = r"^[AB]: (.*)$"

    def __init__(self, rule: Callable[[str, str], str]) -> None:
        super().__init__(rule.__name__)
        self.rule = rule

    def say(self, prompt: Prompt) -> str:
        first, second = re.findall(self.named, prompt[-1]["content"], re.MULTILINE)
        return self.rule(first, second)


def nearest_to_fifty(a: str, b: str) -> str:
    left, right = abs(int(a) - 50), abs(int(b) - 50)
    return "tie" if left == right else "A" if left < right else "B."


def always_the_first(a: str, b: str) -> str:
    return "A."


def article(a: str, b: str) -> str:
    return "A good question! Both answers have their merits."


def always_a_tie(a: str, b: str) -> str:
    return "tie"


def babble(a: str, b: str) -> str:
    return "I like both answers."


PAIRS = [Pair("which is nearer to fifty?", str(7 * n % 101), str(31 * n % 101)) for n in range(1, 61)]
HUMAN = [{"A": "first", "B.": "second", "tie": "tie"}[nearest_to_fifty(p.first, p.second)] for p in PAIRS]


def judged(rule: Callable[[str, str], str]) -> list[Judgement]:
    return judge(Judge(rule), PROMPT, PAIRS, 8)[0]


def test_a_rule_that_people_follow_too_qualifies() -> None:
    result = qualify(judged(nearest_to_fifty), HUMAN)
    assert result.qualified and result.kappa.mean == 1.0 and result.swap_consistency == 1.0


def test_a_judge_that_likes_what_stands_first_is_withheld() -> None:
    result = qualify(judged(always_the_first), HUMAN)
    assert not result.qualified and result.first_position_rate == 1.0 and result.swap_consistency == 0.0
    assert any("swap" in reason for reason in result.reasons)
    assert all(one.verdict == "tie" for one in judged(always_the_first))


def test_what_cannot_be_parsed_is_an_error_and_no_middle_score() -> None:
    result = qualify(judged(babble), HUMAN)
    assert not result.qualified and result.unparsable == 60 and result.ties == 0
    assert all(one.verdict is None for one in judged(babble))


def test_an_article_is_no_vote() -> None:
    result = qualify(judged(article), HUMAN)
    assert not result.qualified and result.unparsable == 60


def test_a_judge_that_always_says_the_same_does_not_qualify_on_labels_that_do_too() -> None:
    result = qualify(judged(always_a_tie), ["tie"] * 60)
    assert result.agreement == 1.0 and not result.qualified
    assert any("every human judgement says 'tie'" in reason for reason in result.reasons)


def test_too_few_labels_qualify_nobody() -> None:
    result = qualify(judged(nearest_to_fifty)[:20], HUMAN[:20])
    assert not result.qualified and "50 are needed" in result.reasons[0]


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("A", "first"),
        (" b.\n", "second"),
        ("**Tie**", "tie"),
        ("Answer A", None),
        ("A is better.", None),
        ("a tie", None),
        ("Apples", None),
        ("", None),
    ],
)
def test_replies_are_read_strictly(reply: str, choice: str | None) -> None:
    assert parse(reply) == choice


def test_kappa_has_its_textbook_value() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: p_o 0.7, p_e 0.5
    table = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert kappas(np.array([table])) == pytest.approx([0.4])
    assert kappas(np.array([[("y", "y")]])) == [0.0]
    assert agreement_interval([], kappas, 0.05, 0) == Interval(0.0, 0.0, 0.0)
    found = agreement_interval(table, kappas, 0.05, 0)
    assert found.mean == pytest.approx(0.4) and 0.1 < found.low < 0.2 and 0.6 < found.high < 0.7


def test_a_preference_for_length_shows_and_is_taken_out_of_the_win_rate() -> None:
    pairs = [Pair("?", "x" * (20 + n), "x" * (40 - n)) for n in range(20)]  # the first is the longer one in 9 of 20
    longer = [Judgement(*["first" if len(p.first) > len(p.second) else "second"] * 2) for p in pairs]
    assert length_adjusted(longer, pairs)[0] > 1
    much_longer = [Pair(p.question, p.first + "x" * 20, p.second) for p in pairs]  # and so wins nearly every time
    wins = [Judgement(*["first" if len(p.first) > len(p.second) else "second"] * 2) for p in much_longer]
    told = preference(wins, much_longer)
    assert told.win_rate > 0.9 > told.length_adjusted_win_rate
    ties = length_adjusted([Judgement("first", "second")] * 20, pairs)
    assert ties == pytest.approx((0.0, 0.5), abs=1e-4)
    assert length_adjusted([], []) == (0.0, 0.5)


def test_equal_lengths_change_no_win_rate() -> None:
    told = preference([Judgement("first", "first")] * 3 + [Judgement("second", "second")], [Pair("?", "aa", "bb")] * 4)
    assert told.win_rate == told.length_adjusted_win_rate == 0.75


@pytest.mark.parametrize(
    ("judging", "kin"), [("smollm2-135m", True), ("HuggingFaceTB/SmolLM3-3B", True), ("qwen3-8b", False), ("7b", False)]
)
def test_a_judge_of_the_judged_models_family_is_warned_about(judging: str, kin: bool) -> None:
    assert (kinship(judging, "smollm2-135m-instruct") is not None) == kin


def test_a_question_may_hold_the_templates_own_words() -> None:
    (one,), replies = judge(Judge(nearest_to_fifty), PROMPT, [Pair("what is $a?", "50", "1")], 1)
    assert len(replies) == 2
    assert one.verdict == "first"


def test_a_line_that_is_no_judgement_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calibration.jsonl"
    good = {"question": "?", "first": "a", "second": "b", "human": "tie"}
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | {"human": "both"}) + "\n")
    with pytest.raises(ProjectError) as caught:
        read_calibration(path)
    assert caught.value.where.endswith("line 2")


def test_labels_are_asked_blind_kept_and_never_asked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["label"])
    finish_project(tmp_path, params=PARAMS)
    (tmp_path / "evals").mkdir()
    monkeypatch.setattr("sys.stdin", io.StringIO("1\nwhat\n0\n"))
    label.main()
    rows = read_jsonl(Path("evals/judge_calibration.jsonl"))
    assert [row["human"] for row in rows] == ["first", "tie"]
    monkeypatch.setattr("sys.stdin", io.StringIO("2\n"))
    label.main()
    again = read_jsonl(Path("evals/judge_calibration.jsonl"))
    assert len(again) == 3 and len({row["question"] for row in again}) == 3


def test_the_report_tells_the_win_rate_beside_the_one_of_equal_lengths_and_whose_kin_the_judge_is() -> None:
    judgements, replies = judge(Judge(nearest_to_fifty), PROMPT, PAIRS, 8)
    report = JudgeReport(
        **asdict(replace(qualify(judgements, HUMAN), preference=preference(judgements, PAIRS))),
        model="smollm3-3b",
        warning=kinship("smollm3-3b", "smollm2-135m-instruct"),
        effort=Requests(requests=len(replies), prompt_tokens=120, completion_tokens=120),
        rubric=qualify_grades([None] * 60, [1] * 60),
    )
    facts = SimpleNamespace(judge=report, challenger="tuned", incumbent="few_shot")
    told = " ".join(render("reporting/report_page/judge.html.j2", WORDS, facts=facts).split())
    rates = {name: f"{getattr(report.preference, name):.0%}" for name in ("win_rate", "length_adjusted_win_rate")}
    assert f"It wins {rates['win_rate']}; if all answers were equally long, it would win" in told
    assert rates["length_adjusted_win_rate"] in told
    assert (
        "its own family, which models prefer" in told
        and "120 requests: 120 prompt tokens, 120 completion tokens" in told
    )
    assert "Its grades are withheld: every human grade is 1" in told and "60 of 60 replies are not a grade" in told


class Grader(Judge):
    named = r"^(?:Reference answer|Answer to grade): (.*)$"


RUBRIC = (Path(engine.__file__).parents[1] / "prompts/rubric.txt").read_text("utf-8")
GRADED = [Graded("how many?", "50", str(30 + n % 21)) for n in range(60)]


def by_distance(expected: str, answer: str) -> str:
    return str(5 - min(4, abs(int(expected) - int(answer)) // 5)) if answer.isdigit() else "1"


def always_three(expected: str, answer: str) -> str:
    return "3"


def of_five(expected: str, answer: str) -> str:
    return by_distance(expected, answer) + "/5"


HUMAN_GRADES = [int(by_distance(one.expected, one.answer)) for one in GRADED]


def graded_by(rule: Callable[[str, str], str], human: list[int] = HUMAN_GRADES) -> Grading:
    return qualify_grades(grade(Grader(rule), RUBRIC, GRADED, 8)[0], human)


def test_a_grader_that_agrees_with_people_qualifies() -> None:
    assert len(set(HUMAN_GRADES)) == 5
    found = graded_by(by_distance)
    assert found.qualified and found.weighted_kappa.mean == 1.0 and found.bias == 0.0
    off_by_one = graded_by(by_distance, [max(1, value - 1) for value in HUMAN_GRADES])
    assert off_by_one.qualified and off_by_one.agreement < 0.3 and off_by_one.bias > 0.7


def test_a_grader_that_sits_in_the_middle_or_says_more_than_a_grade_is_withheld() -> None:
    found = graded_by(always_three)
    assert not found.qualified and found.weighted_kappa.mean == 0.0
    wordy = graded_by(of_five)
    assert not wordy.qualified and wordy.unparsable == 60 and wordy.grades == {}
    assert any("60 of 60 replies are not a grade" in reason for reason in wordy.reasons)
    few = qualify_grades(HUMAN_GRADES[:20], HUMAN_GRADES[:20])
    assert not few.qualified and "50 are needed" in few.reasons[0]


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [("4", 4), (" **5**.\n", 5), ("(1)", 1), *((odd, None) for odd in ("4/5", "-1", "6", "3.5", "45", "Grade: 4", ""))],
)
def test_grades_are_read_strictly(reply: str, wanted: int | None) -> None:
    assert parse_grade(reply) == wanted


def test_weighted_kappa_is_that_of_its_definition() -> None:
    pairs = [(1, 1), (2, 1), (2, 2), (3, 3), (3, 5), (4, 4), (5, 4), (5, 5), (5, 1), (1, 2)]
    weights = [[(i - j) ** 2 for j in range(1, 6)] for i in range(1, 6)]
    table = [[pairs.count((i, j)) for j in range(1, 6)] for i in range(1, 6)]
    left, right = [sum(row) for row in table], [sum(column) for column in zip(*table, strict=True)]
    places = [(i, j) for i in range(5) for j in range(5)]
    observed = sum(weights[i][j] * table[i][j] for i, j in places)
    expected = sum(weights[i][j] * left[i] * right[j] / len(pairs) for i, j in places)
    assert weighted_kappas(np.array([pairs, pairs[::-1]])) == pytest.approx([1 - observed / expected] * 2)
    assert weighted_kappas(np.array([[(3, 3), (3, 3)]])) == [0.0]


def test_a_line_that_is_no_grade_is_named(tmp_path: Path) -> None:
    good = {"question": "?", "expected": "a", "answer": "b", "human": 1}
    for wrong in (0, 2.5, "4", True, None):
        write_jsonl(tmp_path / "labels.jsonl", [good, good | {"human": wrong}])
        with pytest.raises(ProjectError) as caught:
            read_labels(tmp_path / "labels.jsonl")
        assert caught.value.where.endswith("line 2")


def right_or_wrong(expected: str, answer: str) -> str:
    if expected == answer:
        return "5"
    return "no idea" if "Turn" in expected or "Light" in expected else "1"


def test_grades_are_labelled_and_a_judge_that_qualifies_shows_one_for_every_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["label", "grades"])
    finish_project(tmp_path, params=PARAMS, shares={"zero_shot": 0.0, "few_shot": 0.6, "tuned": 0.9})
    for folder in ("evals", "prompts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "prompts/rubric.txt").write_text(RUBRIC)
    monkeypatch.setattr("sys.stdin", io.StringIO("nine\n5\n"))
    label.main()
    assert [row["human"] for row in read_labels(RUBRIC_CALIBRATION)] == [5]
    rows = [one._asdict() for one in judge_stage.answered_items("few_shot")[:60]]
    people = ({**row, "human": 5 if row["expected"] == row["answer"] else 1} for row in rows)
    write_jsonl(RUBRIC_CALIBRATION, people)
    found, replies = judge_stage.grade_answers(Grader(right_or_wrong), load(Everything))
    assert found.qualified, found.reasons
    means = {arm: one.mean for arm, one in found.arms.items()}
    assert list(means) == ["zero_shot", "few_shot", "tuned"] and means["zero_shot"] is None, "too many were no grade"
    assert found.arms["few_shot"].unparsable > 0 and len(replies) == 60 + 3 * 240
    assert means["few_shot"] < means["tuned"] <= 5 and found.arms["tuned"].low < means["tuned"]
    told = render("reporting/report_page/grades.html.j2", WORDS, rubric=found)
    assert f"{means['tuned']:.2f} [" in told and "withheld" in told
    assert read_json(Path("reports/scores.json"))["primary_metric"] == "json_match", "grades decide nothing"
