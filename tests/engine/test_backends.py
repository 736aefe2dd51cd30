"""Backends: a real server over HTTP, and the cache of answers."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scripted_backend import KNOBS, Scripted, record

import engine
from engine.core.errors import ProjectError
from engine.inference.answer_cache import answer_cache
from engine.inference.arms import answer_items
from engine.inference.backend import Endpoint, Prompt, answer_all
from engine.inference.prompting import Policy
from engine.settings.inference import EndpointSettings

pytestmark = pytest.mark.usefixtures("project")


class Echo(BaseHTTPRequestHandler):
    """A server that speaks the protocol and repeats the question; without the right key it refuses."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        allowed = self.headers["Authorization"] == "Bearer secret"
        message = {"role": "assistant", "content": request["messages"][-1]["content"].upper()}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
        }
        data = json.dumps(body if allowed else {"error": {"message": "wrong key"}}).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Silence."""


class Reasoner(Echo):
    """A server as hosted reasoning models are: no limit but one on the completion, no temperature, no usage; slow."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(0.05)
        refused = [name for name in ("max_tokens", "temperature") if name in request]
        message = {"role": "assistant", "content": str(request.get("max_completion_tokens"))}
        body: dict[str, Any] = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        if refused:
            body = {"error": {"message": f"Unsupported parameter: '{refused[0]}' is not supported with this model."}}
        data = json.dumps(body).encode()
        self.send_response(400 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


@pytest.fixture
def url() -> Iterator[str]:
    with running(Echo) as address:
        yield address


def test_an_endpoint_is_an_arm_like_any_other(url: str) -> None:
    endpoint = Endpoint(EndpointSettings(base_url=url, model="echo", concurrency=3), api_key="secret")
    items = [record(number) for number in range(8)]
    rows, measured = answer_items("endpoint_zero_shot", endpoint, items, Policy("Be loud."), KNOBS, Path())
    assert [row.answer for row in rows] == [f"ASK {number}" for number in range(8)]
    assert measured.prompt_tokens == 56 and measured.items == 8 and measured.seconds > 0
    lines = Path("reports/measured/latency/endpoint_zero_shot.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 8
    shown = Path("prompts/endpoint_zero_shot.jsonl").read_text("utf-8").splitlines()
    assert json.loads(shown[3]) == {"id": "3", "prompt": "system: Be loud.\n\nuser: ask 3"}


def test_requests_under_way_together_are_not_counted_one_after_the_other() -> None:
    with running(Reasoner) as address:
        endpoint = Endpoint(EndpointSettings(base_url=address, model="reasoner", concurrency=8))
        start = time.perf_counter()
        _, measured = answer_items("endpoint", endpoint, [record(n) for n in range(16)], Policy(""), KNOBS, Path())
        took = time.perf_counter() - start
    lines = Path("reports/measured/latency/endpoint.jsonl").read_text("utf-8").splitlines()
    requests = sum(json.loads(line)["seconds"] for line in lines)
    assert measured.seconds <= took and measured.seconds < requests


def test_a_model_that_refuses_temperature_is_asked_as_it_wants_and_that_is_recorded() -> None:
    with running(Reasoner) as address:
        endpoint = Endpoint(EndpointSettings(base_url=address, model="reasoner", concurrency=2))
        rows, measured = answer_items("endpoint", endpoint, [record(n) for n in range(4)], Policy(""), KNOBS, Path())
    assert [row.answer for row in rows] == ["8"] * 4
    assert {row.decoding for row in rows} == {"the server's own"}
    assert rows[0].prompt_tokens is None and measured.completion_tokens is None


def test_a_revision_keeps_the_answers_of_two_models_of_one_name_apart() -> None:
    first, second = (
        Endpoint(EndpointSettings(base_url="http://x/v1", model="m", concurrency=1, revision=name))
        for name in (None, "2026-11")
    )
    assert first.identity != second.identity and "revision" not in first.identity


def test_a_refusal_of_the_endpoint_is_told(url: str) -> None:
    endpoint = Endpoint(EndpointSettings(base_url=url, model="echo", concurrency=1), api_key="wrong")
    with pytest.raises(ProjectError, match="401") as caught:
        answer_all(endpoint, [endpoint.render([{"role": "user", "content": "x"}])], 8, 1)
    assert "ENDPOINT_API_KEY" in caught.value.fix


class Counting(Scripted):
    """It keeps what it is asked, and is interrupted after so many prompts."""

    def __init__(self, name: str = "a", fail_after: int = 99) -> None:
        super().__init__(name)
        self.asked: list[Prompt] = []
        self.fail_after = fail_after

    def say(self, prompt: Prompt) -> str:
        if len(self.asked) == self.fail_after:
            raise KeyboardInterrupt
        self.asked.append(prompt)
        return f"answer {prompt}"


def test_a_second_time_nothing_is_computed() -> None:
    first, again = Counting(), Counting()
    prompts = [[1], [2], [3]]
    assert answer_all(first, prompts, 8, 4) == answer_all(again, prompts, 8, 4)
    assert len(first.asked) == 3 and again.asked == []


def test_another_model_prompt_or_decoding_is_computed_anew() -> None:
    answer_all(Counting(), [[1]], 8, 4)
    for backend, prompt, tokens in ((Counting("b"), [1], 8), (Counting(), [2], 8), (Counting(), [1], 9)):
        answer_all(backend, [prompt], tokens, 4)
        assert len(backend.asked) == 1


def test_an_interrupted_arm_continues_where_it_stopped() -> None:
    prompts = [[number] for number in range(6)]
    with pytest.raises(KeyboardInterrupt):
        answer_all(Counting(fail_after=4), prompts, 8, 4)
    rest = Counting()
    assert [answer.text for answer in answer_all(rest, prompts, 8, 4)] == [f"answer {p}" for p in prompts]
    assert rest.asked == [[4], [5]]


WRITER = """
import sys
from pathlib import Path
from engine.inference import answer_cache
answer_cache.ANSWERS = Path(sys.argv[1])
sys.stdin.readline()
for key in map(str, range(int(sys.argv[2]), 300, 2)):  # opened anew for each answer, as for a single request
    with answer_cache.answer_cache({"name": "a"}) as cache:
        cache.add({key: {"text": key * 50}, "common": {"text": "by either"}})
print("written")
"""


def writer(folder: Path, first: int) -> "subprocess.Popen[str]":
    """A process that waits for a line and then writes every second answer."""
    command = [sys.executable, "-c", WRITER, str(folder), str(first)]
    pipe, root = subprocess.PIPE, Path(engine.__file__).parents[1]
    return subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_two_processes_that_write_at_once_lose_nothing(project: Path) -> None:
    writers = [writer(project / "answers", first) for first in (0, 1)]
    for process in writers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120) for process in writers] == [("written\n", "")] * 2
    with answer_cache({"name": "a"}) as cache:
        expected = {str(key): {"text": str(key) * 50} for key in range(300)} | {"common": {"text": "by either"}}
        assert cache.get([*expected, "never written"]) == expected


def test_a_killed_process_leaves_what_it_wrote(project: Path) -> None:
    process = writer(project / "answers", 0)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    with answer_cache({"name": "a"}) as cache:
        while not cache.get(["2"]):
            assert process.poll() is None
    process.kill()
    process.communicate()
    with answer_cache({"name": "a"}) as cache:
        assert cache.get(["0", "2"]) == {"0": {"text": "0" * 50}, "2": {"text": "2" * 50}}
        cache.add({"1": {"text": "after"}})
        assert cache.get(["1"]) == {"1": {"text": "after"}}


@pytest.mark.parametrize("damage", ["no database", "a changed answer", "lost pages"])
def test_a_corrupt_cache_is_an_error_and_never_an_answer(project: Path, damage: str) -> None:
    prompts = [[number] for number in range(400)]
    answers = answer_all(Counting(fail_after=400), prompts, 8, 4)
    path = project / "answers" / "answers.sqlite"
    content = path.read_bytes()
    damaged = {
        "no database": b"not a database " * 500,
        "a changed answer": content.replace(b"answer [7]", b"answer [8]"),
        "lost pages": content[: len(content) // 2],
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(ProjectError, match="the cache of answers is corrupt") as caught:
        answer_all(Counting(), prompts, 8, 4)
    assert caught.value.where == str(path) and f"delete {path.parent}" in caught.value.fix
    shutil.rmtree(path.parent)
    assert answer_all(Counting(fail_after=400), prompts, 8, 4) == answers


def test_a_cache_that_cannot_be_opened_is_told(project: Path) -> None:
    path = project / "answers" / "answers.sqlite"
    path.mkdir(parents=True)
    with pytest.raises(ProjectError, match="cannot be used: unable to open") as caught:
        answer_all(Counting(), [[1]], 8, 4)
    assert caught.value.where == str(path)
