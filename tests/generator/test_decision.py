"""The decision tree, and the emitted DECISION.md, which walks the same file."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import jsonschema
import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tunesmith import catalog, decision, package_data
from tunesmith.copier_answers import answers_for
from tunesmith.costs.cost_inputs import of_plan
from tunesmith.costs.estimate import estimates
from tunesmith.costs.estimate_record import record
from tunesmith.decision import advise
from tunesmith.flat_yaml import Document
from tunesmith.planner.plan import plan
from tunesmith.questions import defaults, questions
from tunesmith.render import render
from tunesmith.spec import validate

REPOSITORY = Path(__file__).resolve().parents[2]
CASES = yaml.safe_load((Path(__file__).with_name("decision_cases.yaml")).read_text(encoding="utf-8"))
PLANNED_AWAY = 6  # answers that at most have to give way before a combination is built

ANSWERS = st.fixed_dictionaries(
    {
        **{key: st.booleans() for key in decision.asked_keys() if questions()[key].type == "boolean"},
        "good_examples": st.integers(0, 300),
        "preference_pairs": st.integers(0, 900),
        "monthly_requests": st.integers(0, 3_000_000),
        "approach": st.sampled_from(questions()["approach"].enum),
        "backend": st.sampled_from(questions()["backend"].enum),
        "objective": st.sampled_from(questions()["objective"].enum),
    }
)


def test_the_tree_is_valid_by_its_schema() -> None:
    schema = yaml.safe_load(package_data.schema_file("decision_tree.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(catalog.decision_tree(), schema)


def test_every_branch_leads_to_a_node_or_an_outcome_and_all_are_reached() -> None:
    tree = catalog.decision_tree()
    reached = {tree["root"]}
    for name, node in tree["nodes"].items():
        reached |= {node["yes"], node["no"]}
        assert decision.key_of(name) in questions()
    assert reached == {*tree["nodes"], *tree["outcomes"]}
    assert {outcome["approach"] for outcome in tree["outcomes"].values()} == set(questions()["approach"].enum)


def test_contradictions_and_suggestions_name_answers_that_exist() -> None:
    tree = catalog.decision_tree()
    rules = [rule["when"] for rule in tree["contradictions"]]
    for key, wanted in [pair for rule in rules for pair in rule.items()]:
        assert isinstance(wanted, (bool, dict)) or set(wanted) <= set(questions()[key].enum), key
    for outcome in tree["outcomes"].values():
        assert all(value in questions()[key].enum for key, value in outcome.get("suggests", {}).items())


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_worked_case(case: dict[str, Any]) -> None:
    advice = advise(defaults() | case["answers"])
    assert advice.outcome == case["outcome"]
    about_the_case = [rule for rule in advice.contradictions if rule not in advise(defaults()).contradictions]
    assert bool(about_the_case) >= case.get("contradicts", False)


def test_the_worked_cases_cover_every_leaf_and_both_answers_of_every_question() -> None:
    assert len(CASES) >= 40
    assert {case["outcome"] for case in CASES} == set(catalog.decision_tree()["outcomes"])
    taken = {(step.ask, step.key, step.yes) for case in CASES for step in advise(defaults() | case["answers"]).path}
    nodes = catalog.decision_tree()["nodes"].items()
    assert taken == {(node["ask"], decision.key_of(name), yes) for name, node in nodes for yes in (True, False)}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], set[str]]:
    """Renders a spec and names its stages; outcomes that ask for the same project share it."""
    rendered: dict[str, set[str]] = {}

    def of(answers: dict[str, Any]) -> set[str]:
        key = json.dumps(answers, sort_keys=True)
        if key not in rendered:
            folder = tmp_path_factory.mktemp("outcome")
            spec = validate(Document("case", answers))
            made = plan(spec.catalogue, spec.answers, spec.pins, prices={})
            render(answers_for(spec, made), folder / "project", folder)
            rendered[key] = set(yaml.safe_load((folder / "project" / "dvc.yaml").read_text())["stages"])
        return rendered[key]

    return of


@pytest.mark.parametrize("outcome", catalog.decision_tree()["outcomes"])
def test_every_outcome_ends_in_a_project_that_can_be_generated(
    outcome: str, stages: Callable[[dict[str, Any]], set[str]]
) -> None:
    """What the support matrix refuses it replaces, and what remains is rendered with the stages that it needs."""
    row = catalog.decision_tree()["outcomes"][outcome]
    answers = {**defaults(), "project_name": "case", "approach": row["approach"], **row.get("suggests", {})}
    for _ in range(PLANNED_AWAY):
        if not (refusals := catalog.load().refusals(answers)):
            break
        answers |= refusals[0].instead
    found = stages(answers)
    assert ("train" in found) == (answers["approach"] in ("finetune", "rag_finetune"))
    assert ("index" in found) == (answers["approach"] in ("rag", "rag_finetune"))
    assert {"model", "curate", "baseline", "evaluate", "serve", "cost", "report", "gate"} <= found


def test_contradictory_answers_are_pointed_out() -> None:
    answers = defaults() | {"objective": "dpo", "preference_pairs": 0, "answers_checkable": False}
    said = advise(answers | {"prompt_measured": True}).contradictions
    assert any("preference pairs" in text for text in said) and any("right answer" in text for text in said)
    assert not advise(defaults() | {"approach": "prompting", "prompt_measured": True}).contradictions


@settings(deadline=None, max_examples=100)
@given(answers=ANSWERS)
def test_asking_one_question_after_the_other_ends_at_the_advice(answers: dict[str, Any]) -> None:
    """What the wizard does: only the questions on the path are asked, and each of them matters."""
    known: dict[str, Any] = {}
    while key := decision.next_question(known):
        known[key] = answers[key]
    path = advise(defaults() | answers).path
    assert list(known) == [step.key for step in path], "no path asks the same question twice"
    assert all(questions()[key].applies(defaults() | answers) for key in known)


@pytest.fixture(scope="module")
def page_template() -> jinja2.Template:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(REPOSITORY), undefined=jinja2.StrictUndefined)
    environment.filters["from_yaml"] = yaml.safe_load
    return environment.get_template("template/DECISION.md.jinja")


@settings(deadline=None, max_examples=60, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(answers=ANSWERS)
def test_the_emitted_page_tells_the_same_as_the_command(
    page_template: jinja2.Template, answers: dict[str, Any]
) -> None:
    answers = defaults() | answers
    page = page_template.render(answers)
    advice = advise(answers)
    assert advice.reason in page and f"Ask again {advice.revisit}" in page
    assert ("What is missing:" in page) == bool(advice.missing) and advice.missing in page
    asked = re.findall(r"^\| ([^|]*) \| (yes|no) \| [^|]* \| \*\*[^|]*\*\* ([^|]*) \|$", page, flags=re.MULTILINE)
    outcomes = catalog.decision_tree()["outcomes"]
    assert asked == [
        (step.ask, "yes" if step.yes else "no", outcomes[step.otherwise]["reason"]) for step in advice.path
    ]
    assert ("does not follow the advice" in page) == (not advice.agrees(answers))
    said = page.partition("These answers do not go together:")[2].partition("## The path")[0]
    assert re.findall(r"^- (.*)$", said, flags=re.MULTILINE) == list(advice.contradictions)
    suggested = re.findall(r"would also set `(\w+): (\w+)`", page)
    assert suggested == [(k, v) for k, v in advice.differs(answers).items() if k != "approach"]


def test_the_page_has_the_recorded_day_and_the_costs_that_advise_prints(page_template: jinja2.Template) -> None:
    answers = defaults() | {"prompt_measured": True, "behaviour_gap": True, "good_examples": 500}
    made = plan(catalog.load(), answers, {}, prices={})
    recorded = json.loads(record(made))
    advised = estimates(answers, of_plan(made, catalog.table("prices.yaml")), made)
    assert [row["title"] for row in recorded["costs"]["approaches"]] == [row.title for row in advised]
    assert [row["three_years_usd"]["typical"] for row in recorded["costs"]["approaches"]] == [
        pytest.approx(row.three_years_usd.typical, rel=0.01) for row in advised
    ]
    page = page_template.render(answers | {"plan_estimates": json.dumps(recorded | {"date": "2020-02-29"})})
    assert "| decided on | 2020-02-29 |" in page
    rows = re.findall(r"^\| (.*) \| \S.* \| \S.* \| ([\d,]+) \(.*\) \| (.*) \|$", page, flags=re.MULTILINE)
    assert [title for title, _, _ in rows] == [row.title for row in advised]
    assert [bool(even.startswith("from")) for *_, even in rows] == [bool(row.break_even) for row in advised]
    assert "| peak memory of training |" in page


@pytest.mark.parametrize("model", ["openai:gpt-4o-mini", "house-model"])
def test_no_costs_are_recorded_without_a_listed_price(page_template: jinja2.Template, model: str) -> None:
    """Another machine may not have the optional price package or the user's price file."""
    answers = defaults() | {"hosted_model": model}
    recorded = record(plan(catalog.load(), answers, {}, prices={}))
    assert json.loads(recorded)["costs"] == {}
    assert "in US dollars" not in page_template.render(answers | {"plan_estimates": recorded}).lower()
