"""A real server on the served folder, for as long as it is asked."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.chat.openai_messages import Record, reply_text, request
from engine.chat.tool_calls import answer_text
from engine.core import device
from engine.core.display import model_of
from engine.core.errors import ProjectError
from engine.core.io import sha256_json
from engine.evaluation.results import Scores
from engine.inference.arms import compared
from engine.inference.backend import answer_all
from engine.inference.results import Row
from engine.inference.transformers_backend import Generator
from engine.serving import server
from engine.serving.request_prompt import prompt_of
from engine.settings.serve import ServeParams

START_SECONDS = 300


def served_arm(scores: Scores) -> str:
    """The arm to serve: the one that the verdict ships; if it ships none, the one that it was asked about.

    An endpoint serves itself, and llama.cpp a GGUF file: beside them the best arm of this project's own is tried.
    """
    arm = scores.verdict.ship or scores.verdict.challenger
    return scores.best_local if model_of(arm) else arm


def ask(client: Any, model: str, item: Record, max_tokens: int) -> str:
    """One chat request, decoded as the benchmark was; the answer as it is compared."""
    asked = request(item["messages"][:-1], item.get("tools"), thinking=True)
    response = client.chat.completions.create(model=model, **asked, max_tokens=max_tokens, temperature=0)
    return answer_text(reply_text(response.choices[0].message), item)


def answer_alone(
    folder: Path, arm: str, items: Sequence[Record], evaluated: Mapping[str, Row], settings: ServeParams
) -> dict[str, str]:
    """The model's answers by item, in this process and one prompt at a time, where the prompt is the evaluated one.

    The benchmark is answered in batches. In 16 bits a batch is rounded differently from a single prompt, so that two
    tokens of nearly the same probability can change places. Such a difference is none between server and evaluation.
    """
    generator, prepare = Generator(folder, device.prepare(settings.seed)), prompt_of(arm, settings)
    answers = {}
    for item in items:
        prompt = generator.render(prepare(item["messages"][:-1]).messages, item.get("tools"))
        if sha256_json(prompt) == evaluated[item["id"]].prompt_sha256:
            (answer,) = answer_all(generator, [prompt], settings.evaluate.max_new_tokens, 1)
            answers[item["id"]] = compared(generator, prompt, answer, item)
    return answers


@contextmanager
def running_server(folder: Path, name: str, arm: str | None = None) -> Iterator[tuple[str, str]]:
    """The project's server in a process of its own. Yields its URL and key, and always stops it.

    With ``arm`` it adds that arm's prompt to a request; without, the client's messages are the prompt.

    Raises:
        ProjectError: the server ended, or did not answer in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = secrets.token_urlsafe(24)
    command = [sys.executable, "-m", server.__name__, str(folder), "--name", name, "--port", str(port)]
    command += ["--arm", arm] if arm else []
    process = subprocess.Popen(command, env={**os.environ, "SERVE_API_KEY": key})
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process)
        yield url, key
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once ``/healthz`` answers."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            what = f"the server ended with code {process.returncode}"
            raise ProjectError(what, f"python -m {server.__name__}", "see its message above")
        try:
            direct.open(f"{url}/healthz", timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    fix = f"run `python -m {server.__name__}` by hand to see the reason"
    raise ProjectError(f"the server did not answer within {START_SECONDS} s", url, fix)
