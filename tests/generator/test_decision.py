"""The decision tree, and the emitted DECISION.md, which walks the same file."""

from pathlib import Path

import jinja2
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith import catalog
from tunesmith.decision import advise
from tunesmith.questions import defaults, questions

REPOSITORY = Path(__file__).resolve().parents[2]

ANSWERS = st.fixed_dictionaries(
    {
        **{
            key: st.booleans()
            for key in ("shipped_before", "prompt_measured", "knowledge_changes", "needs_citations", "behaviour_gap")
        },
        "good_examples": st.integers(0, 300),
        "monthly_requests": st.integers(0, 3_000_000),
        "approach": st.sampled_from(questions()["approach"].enum),
    }
)


def test_every_branch_leads_to_a_node_or_an_outcome() -> None:
    tree = catalog.decision_tree()
    known = {*tree["nodes"], *tree["outcomes"]}
    for name, node in tree["nodes"].items():
        assert {node["yes"], node["no"]} <= known
        assert node.get("key", name) in questions()
    assert {outcome["approach"] for outcome in tree["outcomes"].values()} == set(questions()["approach"].enum)


@pytest.mark.parametrize(
    ("answers", "approach"),
    [
        ({}, "prompting"),
        ({"prompt_measured": True, "behaviour_gap": True, "good_examples": 100}, "finetune"),
        ({"prompt_measured": True, "behaviour_gap": True, "good_examples": 99}, "prompting"),
        ({"shipped_before": True, "knowledge_changes": True}, "rag"),
        (
            {"shipped_before": True, "knowledge_changes": True, "behaviour_gap": True, "good_examples": 500},
            "rag_finetune",
        ),
        ({"shipped_before": True, "monthly_requests": 2_000_000}, "finetune"),
    ],
)
def test_the_answers_lead_to_an_approach(answers: dict[str, object], approach: str) -> None:
    assert advise(defaults() | answers).approach == approach


@pytest.fixture(scope="module")
def page_template() -> jinja2.Template:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(REPOSITORY), undefined=jinja2.StrictUndefined)
    environment.filters["from_yaml"] = yaml.safe_load
    return environment.get_template("template/DECISION.md.jinja")


@settings(deadline=None, max_examples=40)
@given(answers=ANSWERS)
def test_the_emitted_page_tells_the_same_as_the_command(
    page_template: jinja2.Template, answers: dict[str, object]
) -> None:
    page = page_template.render(answers)
    advice = advise(answers)
    assert advice.reason in page
    assert [line.split("**")[1] for line in page.splitlines() if line.startswith("- **")] == [
        step.ask for step in advice.path
    ]
    assert page.count("The other answer would lead to") == len(advice.path)
    assert ("does not follow the advice" in page) == (not advice.agrees(answers))
