"""A real server on the served folder, for as long as it is asked."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.core.display import model_of
from engine.core.errors import ProjectError
from engine.evaluation.results import Scores
from engine.serving import server

START_SECONDS = 300


def served_arm(scores: Scores) -> str:
    """The arm to serve: the one that the verdict ships; if it ships none, the one that it was asked about.

    An endpoint serves itself, and llama.cpp a GGUF file: beside them the best arm of this project's own is tried.
    """
    arm = scores.verdict.ship or scores.verdict.challenger
    return scores.best_local if model_of(arm) else arm


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
