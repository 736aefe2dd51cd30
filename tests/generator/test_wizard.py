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
    answer(terminal, "Task:")
    answer(terminal, "Shipped before:", "n")
    answer(terminal, "Prompt measured:", "y")
    answer(terminal, "Knowledge changes:", "n")
    answer(terminal, "Behaviour gap:", "y")  # citations are asked only where knowledge changes
    answer(terminal, "Good examples (examples):", "\x15many" + ENTER)
    terminal.expect_exact("is not a whole number")
    terminal.send("\x15" + "4000" + ENTER)
    answer(terminal, "Requests a month")
    terminal.expect_exact("Advice: finetune")
    answer(terminal, "Approach:")
    answer(terminal, "Model:")
    answer(terminal, "Example:", "\x1b[B" + ENTER)  # one down from none
    for prompt in (
        "Intents",
        "Data file:",
        "Dataset format:",
        "Group field:",
        "Label field:",
        "Data licence:",
        "Where the data comes",
    ):
        answer(terminal, prompt)
    for prompt in (
        "Instruction that the tuned",
        "Instruction for the prompted",
        "Training backend:",
        "Objective:",
        "Method:",
    ):
        answer(terminal, prompt)
    for prompt in (
        "LoRA rank",
        "Hardware:",
        "Primary metric:",
        "Minimum effect",
        "Test items",
        "Dev items",
        "Shots",
        "Longest answer",
    ):
        answer(terminal, prompt)
    for prompt in ("Serving:", "Tracker:", "DVC remote:", "CI:", "Seed:"):
        answer(terminal, prompt)
    terminal.expect_exact("Summary")
    terminal.expect_exact("adapters of a model below half a billion parameters")
    answer(terminal, "Generate the project?", "y")
    assert finish(terminal) == 0
    saved = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    assert (saved["project_name"], saved["description"], saved["good_examples"]) == (
        "smart-home",
        "Parses requests",
        4000,
    )
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


def test_inside_another_repository_it_asks(start: Start, tmp_path: Path) -> None:
    git.run("init", "--quiet", cwd=tmp_path)
    terminal = start("new", "p", "--defaults")
    answer(terminal, "Make the project a part of that repository?", "y")
    assert finish(terminal) == 0
    assert (tmp_path / "p" / "params.yaml").is_file() and not (tmp_path / "p" / ".git").exists()


def test_advise_asks_only_about_the_use_case(start: Start) -> None:
    terminal = start("advise", "--set", "task_type=chat", "--set", "monthly_requests=10")
    answer(terminal, "Shipped before:", "y")
    answer(terminal, "Knowledge changes:", "y")
    answer(terminal, "Citations:", "y")
    answer(terminal, "Behaviour gap:", "n")
    terminal.expect_exact("Advice: rag")
    assert finish(terminal) == 0
