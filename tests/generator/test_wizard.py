"""The wizard, driven through a real pseudo-terminal."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
import yaml

from tunesmith import git

Start = Callable[..., pexpect.spawn]
ENTER = "\r"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[pexpect.spawn] = []

    def run(*arguments: str) -> pexpect.spawn:
        settings = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1"}
        terminal = pexpect.spawn(
            sys.executable,
            ["-m", "tunesmith", *arguments],
            cwd=str(tmp_path),
            env=settings,
            encoding="utf-8",
            timeout=60,
            dimensions=(60, 200),
        )
        started.append(terminal)
        return terminal

    yield run
    for terminal in started:
        terminal.close(force=True)


def answer(terminal: pexpect.spawn, prompt: str, keys: str = ENTER) -> None:
    terminal.expect_exact(prompt)
    terminal.send(keys)


def finish(terminal: pexpect.spawn) -> int:
    terminal.expect(pexpect.EOF)
    terminal.close()
    return int(terminal.exitstatus)


def test_the_questions_that_matter_are_asked_and_the_project_is_made(start: Start, tmp_path: Path) -> None:
    terminal = start("new", "smart-home", "--save-spec", "spec.yaml")
    answer(terminal, "Project name:")  # the directory's name is suggested
    answer(terminal, "Description:", "\x15Parses requests" + ENTER)
    answer(terminal, "Code licence:")
    answer(terminal, "Task:")
    answer(terminal, "Answers checkable:", "y")
    answer(terminal, "Prompt measured:", "y")  # whether it was shipped is asked only where it was not measured
    answer(terminal, "Knowledge changes:", "n")
    answer(terminal, "Citations:", "n")
    answer(terminal, "Behaviour gap:", "y")
    answer(terminal, "Good examples (examples):", "\x15many" + ENTER)
    terminal.expect_exact("is not a whole number")
    terminal.send("\x15" + "4000" + ENTER)
    answer(terminal, "Preference pairs")
    answer(terminal, "Data may leave:", "y")
    answer(terminal, "Runs models:", "y")  # the path ends here: latency is asked only where behaviour is right
    answer(terminal, "Requests per month")
    answer(terminal, "Keep these?")  # the figures for the estimate
    terminal.expect_exact("Advice: finetune")
    answer(terminal, "Approach:")
    answer(terminal, "Documents:")
    answer(terminal, "Model:")
    answer(terminal, "Example:", "\x1b[B" + ENTER)  # one down from none
    terminal.expect_exact("Apache-2.0")  # the example's own answers about its data
    answer(terminal, "Keep these?")
    answer(terminal, "Keep these?", "n")  # the routine of training is asked one by one
    for prompt in ("Training backend:", "Objective:", "Method:", "Hardware:"):
        answer(terminal, prompt)
    terminal.expect_exact("json_match")  # the example's metric, not the default
    answer(terminal, "Keep these?")
    answer(terminal, "Serving:")
    answer(terminal, "Keep these?")
    terminal.expect_exact("Summary")
    terminal.expect_exact("adapters of models below half a billion parameters")
    answer(terminal, "Generate the project?", "y")
    assert finish(terminal) == 0
    saved = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    assert (saved["project_name"], saved["description"], saved["good_examples"]) == (
        "smart-home",
        "Parses requests",
        4000,
    )
    assert saved["dataset_format"] == "jsonl" and saved["group_key"] == "template"
    assert git.run("rev-list", "--count", "HEAD", cwd=tmp_path / "smart-home") == "1"


def test_what_is_given_is_not_asked_and_nothing_is_written_without_consent(start: Start, tmp_path: Path) -> None:
    from tunesmith.questions import defaults

    given = {**defaults(), "project_name": "given"}
    settings = [word for key, value in given.items() if key != "seed" for word in ("--set", f"{key}={value}")]
    terminal = start("new", "p", *[word.replace("=True", "=true").replace("=False", "=false") for word in settings])
    answer(terminal, "Seed:")
    answer(terminal, "Generate the project?", "n")
    assert finish(terminal) == 130
    assert not (tmp_path / "p").exists()


def test_ctrl_c_stops_without_a_trace(start: Start, tmp_path: Path) -> None:
    terminal = start("new", "p")
    answer(terminal, "Project name:", "\x03")
    terminal.expect_exact("stopped")
    assert finish(terminal) == 130
    assert not list(tmp_path.iterdir())


def test_ctrl_d_stops_like_ctrl_c(start: Start, tmp_path: Path) -> None:
    terminal = start("new", "p")
    for prompt in ("Project name:", "Description:", "Code licence:", "Task:"):
        answer(terminal, prompt)
    answer(terminal, "Answers checkable:", "\x04")
    terminal.expect_exact("stopped")
    assert finish(terminal) == 130
    assert not list(tmp_path.iterdir())


def test_inside_another_repository_it_asks(start: Start, tmp_path: Path) -> None:
    git.run("init", "--quiet", cwd=tmp_path)
    terminal = start("new", "p", "--defaults")
    answer(terminal, "Make the project a part of that repository?", "y")
    assert finish(terminal) == 0
    assert (tmp_path / "p" / "params.yaml").is_file() and not (tmp_path / "p" / ".git").exists()


def test_advise_asks_only_about_the_use_case(start: Start) -> None:
    terminal = start("advise", "--set", "task_type=chat", "--set", "monthly_requests=10")
    answer(terminal, "Answers checkable:", "y")
    answer(terminal, "Prompt measured:", "y")
    answer(terminal, "Knowledge changes:", "y")
    answer(terminal, "Behaviour gap:", "n")
    answer(terminal, "Citations:", "y")
    terminal.expect_exact("Advice: rag")
    assert finish(terminal) == 0
