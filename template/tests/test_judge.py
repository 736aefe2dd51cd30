"""A judge is believed only if it agrees with people in both orders."""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from xml.etree.ElementTree import tostring

import pytest
from finished_project import PARAMS, finish_project

from pipeline import backends, label
from pipeline.backends import Answer, Prompt
from pipeline.comparisons import judged as judged_section
from pipeline.files import ProjectError, read_jsonl
from pipeline.judging import (
    Judgement,
    Pair,
    judge,
    kappa,
    kinship,
    length_adjusted,
    parse,
    preference,
    qualify,
    read_calibration,
)

PROMPT = "Question: $question\nA: $a\nB: $b"


class Judge:
    """A backend that follows a rule."""

    def __init__(self, rule: Callable[[str, str], str]) -> None:
        self.rule = rule
        self.identity = {"model": rule.__name__}

    def render(self, messages: Sequence[dict[str, str]]) -> Prompt:
        return messages[-1]["content"]

    def text(self, prompt: Prompt) -> str:
        return str(prompt)

    def answer(
        self, prompts: Sequence[Prompt], max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[Sequence[int], list[Answer]]]:
        for place, prompt in enumerate(prompts):
            a, b = re.findall(r"^[AB]: (.*)$", prompt, re.MULTILINE)
            yield [place], [Answer(self.rule(a, b), 1, 1, "stop", 0.1)]


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


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "ANSWERS", tmp_path / "answers")


def judged(rule: Callable[[str, str], str]) -> list[Judgement]:
    return judge(Judge(rule), PROMPT, PAIRS, 8)[0]


def test_a_rule_that_people_follow_too_qualifies() -> None:
    result = qualify(judged(nearest_to_fifty), HUMAN)
    assert result["qualified"] and result["kappa"]["mean"] == 1.0 and result["swap_consistency"] == 1.0


def test_a_judge_that_likes_what_stands_first_is_withheld() -> None:
    result = qualify(judged(always_the_first), HUMAN)
    assert not result["qualified"] and result["first_position_rate"] == 1.0 and result["swap_consistency"] == 0.0
    assert any("swap" in reason for reason in result["reasons"])
    assert all(one.verdict == "tie" for one in judged(always_the_first))


def test_what_cannot_be_parsed_is_an_error_and_no_middle_score() -> None:
    result = qualify(judged(babble), HUMAN)
    assert not result["qualified"] and result["unparsable"] == 60 and result["ties"] == 0
    assert all(one.verdict is None for one in judged(babble))


def test_an_article_is_no_vote() -> None:
    result = qualify(judged(article), HUMAN)
    assert not result["qualified"] and result["unparsable"] == 60


def test_a_judge_that_always_says_the_same_does_not_qualify_on_labels_that_do_too() -> None:
    result = qualify(judged(always_a_tie), ["tie"] * 60)
    assert result["agreement"] == 1.0 and not result["qualified"]
    assert any("every human judgement says 'tie'" in reason for reason in result["reasons"])


def test_too_few_labels_qualify_nobody() -> None:
    result = qualify(judged(nearest_to_fifty)[:20], HUMAN[:20])
    assert not result["qualified"] and "50 are needed" in result["reasons"][0]


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
    assert kappa(table) == pytest.approx(0.4)
    assert kappa([("y", "y")]) == 0.0 and kappa([]) == 0.0


def test_a_preference_for_length_shows_and_is_taken_out_of_the_win_rate() -> None:
    pairs = [Pair("?", "x" * (20 + n), "x" * (40 - n)) for n in range(20)]  # the first is the longer one in 9 of 20
    longer = [Judgement(*["first" if len(p.first) > len(p.second) else "second"] * 2) for p in pairs]
    assert length_adjusted(longer, pairs)[0] > 1
    much_longer = [Pair(p.question, p.first + "x" * 20, p.second) for p in pairs]  # and so wins nearly every time
    wins = [Judgement(*["first" if len(p.first) > len(p.second) else "second"] * 2) for p in much_longer]
    told = preference(wins, much_longer)
    assert told["win_rate"] > 0.9 > told["length_adjusted_win_rate"]
    ties = length_adjusted([Judgement("first", "second")] * 20, pairs)
    assert ties == pytest.approx((0.0, 0.5), abs=1e-4)
    assert length_adjusted([], []) == (0.0, 0.5)


def test_equal_lengths_change_no_win_rate() -> None:
    told = preference([Judgement("first", "first")] * 3 + [Judgement("second", "second")], [Pair("?", "aa", "bb")] * 4)
    assert told["win_rate"] == told["length_adjusted_win_rate"] == 0.75


@pytest.mark.parametrize(
    ("judging", "kin"), [("smollm2-135m", True), ("HuggingFaceTB/SmolLM3-3B", True), ("qwen3-8b", False), ("7b", False)]
)
def test_a_judge_of_the_judged_models_family_is_warned_about(judging: str, kin: bool) -> None:
    assert (kinship(judging, "smollm2-135m-instruct") is not None) == kin


def test_a_question_may_hold_the_templates_own_words() -> None:
    (one,), effort = judge(Judge(nearest_to_fifty), PROMPT, [Pair("what is $a?", "50", "1")], 1)
    assert effort == (2, 2, 2, pytest.approx(0.2)) and effort.plus(effort).requests == 4
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
    judgements, effort = judge(Judge(nearest_to_fifty), PROMPT, PAIRS, 8)
    report = qualify(judgements, HUMAN) | {
        "model": "smollm3-3b",
        "warning": kinship("smollm3-3b", "smollm2-135m-instruct"),
        "preference": preference(judgements, PAIRS),
        "effort": effort._asdict(),
    }
    told = tostring(judged_section(SimpleNamespace(judge=report, challenger="tuned", incumbent="few_shot")), "unicode")
    rates = {name: f"{report['preference'][name]:.0%}" for name in ("win_rate", "length_adjusted_win_rate")}
    assert f"It wins {rates['win_rate']}; were all answers equally long, it would win" in told
    assert rates["length_adjusted_win_rate"] in told
    assert "models prefer their own" in told and "120 requests: 120 prompt tokens, 120 completion tokens" in told
