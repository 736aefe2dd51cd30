"""Stage `serve`: start the real server on the served folder, ask it real questions, compare, stop it."""

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
from typing import Any

from pipeline.baseline import RESULTS, TEST
from pipeline.evaluate import SCORES, TUNED
from pipeline.files import ProjectError, read_json, read_jsonl, run_stage, write_json
from pipeline.inference.arms import quantile
from pipeline.inference.calls import answer_text
from pipeline.inference.prompting import Record
from pipeline.inference.protocol import reply_text, request
from pipeline.model import base_model
from pipeline.runtime import prepare
from pipeline.settings import Settings, load
from pipeline.wording import best_local, family, model_of

SERVED = Path("reports/serve.json")
MEASURED = Path("reports/measured/serve.json")
START_SECONDS = 300


def main() -> None:
    from openai import OpenAI

    settings = load()
    arm = served_arm(read_json(SCORES))
    folder = artefact(arm, settings)
    items = read_jsonl(TEST)[: settings.serve.parity_items]
    results = TUNED if family(arm) == "tuned" else RESULTS
    evaluated = {row["id"]: row["answer"] for row in read_jsonl(results / f"{arm}.jsonl")}
    answers, seconds = {}, []
    with running_server(folder, arm, arm) as (url, key):
        client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        print(f"serving {[model.id for model in client.models.list()]} at {url}/v1", flush=True)
        for item in items:
            start = time.perf_counter()
            answers[item["id"]] = ask(client, arm, item, settings.evaluate.max_new_tokens)
            seconds.append(time.perf_counter() - start)
    equal = sum(answers[item["id"]] == evaluated[item["id"]] for item in items)
    write_json(
        SERVED,
        {
            "server": "python -m pipeline.server",
            "arm": arm,
            "folder": folder.name,
            "parity": {"items": len(items), "equal": equal},
        },
    )
    latency = {"p50": quantile(seconds, 0.5), "p95": quantile(seconds, 0.95), "n": len(seconds)}
    write_json(MEASURED, {"requests": len(items), "latency_seconds": latency})
    print(f"{equal} of {len(items)} served answers equal the evaluated ones; p50 {quantile(seconds, 0.5):.2f} s")


def artefact(arm: str, settings: Settings) -> Path:
    """The folder to serve: the tuned model as it was evaluated, or the untouched base model."""
    if family(arm) != "tuned":
        return base_model(settings)
    # Only an arm that was trained gets here: a project without training has no such module.
    from pipeline.export import served_model  # type: ignore[import-not-found,unused-ignore]

    folder: Path = served_model(settings, prepare(settings.seed, settings.train.compute_dtype))
    return folder


def served_arm(scores: dict[str, Any]) -> str:
    """The arm to serve: the one that the verdict ships; if it ships none, the one that it was asked about.

    An endpoint serves itself, and llama.cpp a GGUF file: beside them the best arm of this project's own is tried.
    """
    arm: str = scores["verdict"]["ship"] or scores["verdict"]["challenger"]
    return best_local(scores) if model_of(arm) else arm


def ask(client: Any, model: str, item: Record, max_tokens: int) -> str:
    """One chat request, decoded as the benchmark was; the answer as it is compared."""
    asked = request(item["messages"][:-1], item.get("tools"), thinking=True)
    response = client.chat.completions.create(model=model, **asked, max_tokens=max_tokens, temperature=0)
    return answer_text(reply_text(response.choices[0].message), item)


@contextmanager
def running_server(folder: Path, name: str, arm: str | None = None) -> Iterator[tuple[str, str]]:
    """The project's server in a process of its own. Yields its URL and key; stops it whatever happens.

    With ``arm`` it adds that arm's prompt to a request; without, the client's messages are the prompt.

    Raises:
        ProjectError: the server ended, or did not answer in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    from pipeline import server  # which imports this module

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
            raise ProjectError(
                f"the server ended with code {process.returncode}", "python -m pipeline.server", "its message is above"
            )
        try:
            direct.open(f"{url}/healthz", timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    raise ProjectError(
        f"the server did not answer within {START_SECONDS} s", url, "run `python -m pipeline.server` by hand to see why"
    )


if __name__ == "__main__":
    sys.exit(run_stage(main))
