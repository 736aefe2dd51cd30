"""The approaches beside fine-tuning: each runs every stage to its end, on a tiny random model, and nothing twice."""

import re
import shlex
import time

import pytest

from .conftest import Generate, Project

APPROACHES = {
    "prompting": ({"zero_shot", "few_shot"}, ("judge=true",)),
    "rag": ({"zero_shot", "few_shot", "rag", "rag_few_shot"}, ()),
    "rag_finetune": (
        {"zero_shot", "few_shot", "rag", "rag_few_shot", "tuned", "tuned_rag"},
        ("max_length=1024", "lm_eval=true"),
    ),
}


@pytest.mark.parametrize("approach", APPROACHES)
def test_an_approach_runs_to_its_verdict(generate: Generate, project: Project, approach: str) -> None:
    arms, changes = APPROACHES[approach]
    made = generate(f"approach={approach}", *changes, example="facts")
    made.edit("params.yaml", "smoke: false", "smoke: true")
    made.run("dvc", "repro")
    verdict = made.read("reports/verdict.json")
    assert verdict["arms"].keys() == arms and verdict["decision"] == "INSUFFICIENT EVIDENCE"
    parity = made.read("reports/serve.json")["parity"]
    assert parity["items"] == parity["equal"] + parity["equal_unbatched"] == 8
    if approach == "prompting":
        judged = made.read("reports/judge.json")
        assert not judged["qualified"] and not judged["rubric"]["qualified"], "nobody labelled"
    if approach == "rag_finetune":
        opinions = made.read("reports/harness.json")["domain"]
        assert opinions.keys() == arms and all(one["same_prompts"] == 8 for one in opinions.values())
    made.git("add", "-A")
    made.git("commit", "-qm", "Run every stage")
    assert "Data and pipelines are up to date." in made.run("dvc", "repro").stdout
    assert made.git("status", "--porcelain") == ""
    if approach == "prompting":
        sweep_as_the_readme_says(made)


def sweep_as_the_readme_says(made: Project) -> None:
    """The README's sweep over the choice of examples is queued whole; one of its experiments runs and is shown."""
    readme = (made.path / "README.md").read_text("utf-8")
    (sweep,) = re.findall(r"`(dvc exp run --queue -S \"evaluate.shot_selection=[^`]*)`", readme)
    made.run(*shlex.split(sweep))
    tasks = re.findall(r"^([0-9a-f]{7,}) .*Queued", made.run("dvc", "queue", "status").stdout, re.MULTILINE)
    assert len(tasks) == 3
    made.run("dvc", "queue", "remove", *tasks[:2])
    made.run("dvc", "queue", "start")
    patience = time.monotonic() + 300
    while re.search("Queued|Running", status := made.run("dvc", "queue", "status").stdout):
        assert time.monotonic() < patience, status
        time.sleep(2)
    assert "Success" in status, status
    shown = made.run("dvc", "exp", "show", "--only-changed", "--csv").stdout
    assert "evaluate.shot_selection" in shown and "nearest" in shown and "Success" in shown
