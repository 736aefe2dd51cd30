"""Every arm asks with the tools and is scored by its calls: in this process, over the protocol, on the own server."""

import json
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from finished_project import PARAMS, finish_project
from openai import OpenAI
from scripted_backend import KNOBS, Scripted
from test_backends import running
from tool_records import ASK, CALL, ONE, RESULT, SAID, TOOLS, record, template

from engine.core.errors import ProjectError
from engine.core.io import sha256_json
from engine.evaluation.item_metrics import exact_match, json_field_accuracy, json_match
from engine.inference.arms import answer_items
from engine.inference.backend import Answer, Endpoint, Prompt
from engine.inference.perplexity import reference
from engine.inference.prompting import Policy
from engine.inference.transformers_backend import Generator
from engine.serving.server import create_app
from engine.settings.inference import EndpointSettings
from pipeline.baseline import dev_score
from pipeline.serve import ask

pytestmark = pytest.mark.usefixtures("project")
HERMES = f"Let me see.\n<tool_call>\n{json.dumps(ONE)}\n</tool_call>"
WRITTEN_OUT = "<function=weather>\n<parameter=city>\nKöln\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>"
SHOT = record(ASK, CALL, RESULT, SAID)
REQUESTS: list[dict[str, Any]] = []


class Caller(BaseHTTPRequestHandler):
    """A server that keeps what it is asked, calls a tool where it is given some, and talks where not."""

    def do_POST(self) -> None:
        REQUESTS.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        function = {"name": ONE["name"], "arguments": json.dumps(ONE["arguments"])}
        called = {"content": None, "tool_calls": [{"id": "a", "type": "function", "function": function}]}
        message = {"role": "assistant"} | (called if "tools" in REQUESTS[-1] else {"content": " <think>\n</think>No. "})
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        data = json.dumps(body | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Silence."""


def test_an_endpoint_is_asked_with_the_tools_and_its_calls_are_read() -> None:
    REQUESTS.clear()
    item = record(ASK, CALL | {"thinking": "Hm."}, RESULT, SAID, ASK, CALL)
    other = item | {"id": "y", "messages": [ASK, SAID]}
    del (plain := dict(other, id="z"))["tools"]
    with running(Caller) as address:
        endpoint = Endpoint(EndpointSettings(base_url=address, model="m", concurrency=1))
        policy = Policy("Be brief.", {"x": [SHOT]})
        rows, _ = answer_items("endpoint_few_shot", endpoint, [item, other, plain], policy, KNOBS, Path())
    assert [exact_match(row.expected, row.answer) for row in rows] == [1, 0, 0]
    assert rows[0].answer == '[{"arguments":{"city":"Köln","days":2},"name":"weather"}]' == rows[1].answer
    assert rows[2].answer == "No."
    asked = REQUESTS[0]
    assert asked["tools"] == json.loads(TOOLS) and "tools" not in REQUESTS[2]
    roles = ["system", "user", "assistant", "tool", "assistant", "user", "assistant", "tool", "assistant", "user"]
    assert [turn["role"] for turn in asked["messages"]] == roles
    assert not [turn for turn in asked["messages"] if "thinking" in turn]
    called = [turn for turn in asked["messages"] if "tool_calls" in turn]
    results = [turn for turn in asked["messages"] if turn["role"] == "tool"]
    ids = [turn["tool_calls"][0]["id"] for turn in called]
    assert ids == [turn["tool_call_id"] for turn in results] and len(set(ids)) == 2
    assert [json.loads(turn["tool_calls"][0]["function"]["arguments"]) for turn in called] == [ONE["arguments"]] * 2
    shown = [json.loads(line)["prompt"] for line in Path("prompts/endpoint_few_shot.jsonl").read_text().splitlines()]
    assert '"name": "timer"' in shown[0] and "Köln" in shown[0] and "timer" not in shown[2]


class Telling(Generator):
    """A generator that renders as it does, and answers what it is told to."""

    def __init__(self, name: str, said: str) -> None:
        self.said, self.folder, self.tokenizer = said, Path("model"), template(name).tokenizer
        self.asked: list[str] = []

    @property
    def identity(self) -> dict[str, Any]:
        return {"said": self.said}

    def answer(
        self, prompts: Sequence[Prompt], max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[Sequence[int], list[Answer]]]:
        for place, prompt in enumerate(prompts):
            self.asked.append(self.text(prompt))
            yield [place], [Answer(self.said, len(prompt), 1, "stop", 0.1)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("qwen2_5", HERMES),
        ("qwen3", f"<think>\nHm.\n</think>\n\n{HERMES}"),
        ("qwen3_5_think", f"Hm.\n</think>\n\n<tool_call>\n{WRITTEN_OUT}\n</tool_call>"),
        ("llama3_1", '{"name": "weather", "parameters": {"days": 2, "city": "Köln"}}'),
    ],
)
def test_a_right_call_scores_in_every_templates_words(name: str, said: str) -> None:
    model, item = Telling(name, said), record(ASK, CALL)
    policy = Policy("Be brief.", {"x": [SHOT]})
    (row,), _ = answer_items("few_shot", model, [item], policy, KNOBS, Path())
    for metric in (exact_match, json_match, json_field_accuracy):
        assert metric(row.expected, row.answer) == 1
    assert '"name": "timer"' in model.asked[0] and "blue" in model.asked[0] and "Köln" in model.asked[0]
    item["tools"] = TOOLS.replace("timer", "clock")
    other, _ = answer_items("few_shot", model, [item], policy, KNOBS, Path())
    assert other[0].prompt_sha256 != row.prompt_sha256 and '"name": "clock"' in model.asked[-1], "asked anew"


def test_a_prompt_is_tried_on_dev_by_its_calls(project: Path) -> None:
    settings = finish_project(project, params=PARAMS.replace("label_key: intent", "label_key: null"))
    assert settings.evaluate.primary_metric == "json_match"
    right = dev_score(Telling("qwen2_5", HERMES), [record(ASK, CALL)], Policy(""), settings)
    wrong = dev_score(Telling("qwen2_5", "It rains."), [record(ASK, CALL)], Policy(""), settings)
    assert (right, wrong) == (1, 0)


def test_the_reference_of_a_call_is_what_the_template_writes() -> None:
    model, item = Telling("qwen3", "x"), record(ASK, CALL | {"thinking": "Hm."})
    text = model.text(reference(model, item, Policy("Be brief.")))
    assert text.startswith("<think>\nHm.\n</think>") and text.endswith("</tool_call>") and "Köln" in text
    assert model.text(reference(model, record(ASK, SAID), Policy(""))) == "It is blue."


def test_a_client_gets_the_answers_that_were_evaluated() -> None:
    thought = record(ASK, CALL | {"thinking": "The weather."}, RESULT, SAID)
    for said, item in ((HERMES, record(ASK, CALL)), ("<think>\n</think>\n\nIt is blue.", thought)):
        model = Telling("qwen3", said)
        (row,), _ = answer_items("tuned", model, [item], Policy(""), KNOBS, Path())
        client = OpenAI(
            base_url="http://testserver/v1", api_key="x", http_client=TestClient(create_app(model, "m", None))
        )
        assert ask(client, "m", item, 8) == row.answer == row.expected
        assert len(set(model.asked)) == 1, "one prompt, thinking and all"


def test_a_wrong_call_is_wrong_by_as_much_as_it_differs() -> None:
    wrong = HERMES.replace("Köln", "Bonn").replace("\\u00f6", "o")
    model = Telling("qwen2_5", wrong.replace("Koln", "Bonn"))
    (row,), _ = answer_items("zero_shot", model, [record(ASK, CALL)], Policy(""), KNOBS, Path())
    assert exact_match(row.expected, row.answer) == 0
    assert json_field_accuracy(row.expected, row.answer) == pytest.approx(2 / 3)


def test_tools_that_a_template_does_not_read_are_refused_and_never_left_out() -> None:
    model = Telling("qwen2_5", "x")
    model.tokenizer.chat_template = model.tokenizer.chat_template.replace("tools", "utensils")
    with pytest.raises(ProjectError, match="does not render which tools"):
        model.render([ASK], TOOLS)


def post(model: Generator, **request: Any) -> Any:
    return TestClient(create_app(model, "m", None)).post("/v1/chat/completions", json={"model": "m"} | request)


def test_the_server_takes_tools_and_answers_with_calls() -> None:
    model, item = Telling("qwen3", f"<think>\nHm.\n</think>\n\n{HERMES}"), record(ASK, CALL, RESULT, SAID, ASK, CALL)
    spoken = json.loads(json.dumps(item["messages"][:-1]))
    spoken[1] |= {"content": None}
    (choice,) = post(model, messages=spoken, tools=json.loads(TOOLS)).json()["choices"]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] == "Let me see."
    function = choice["message"]["tool_calls"][0]["function"]
    assert function["name"] == "weather" and json.loads(function["arguments"]) == ONE["arguments"]
    evaluated = model.render(item["messages"][:-1], TOOLS)
    assert model.asked == [model.text(evaluated)], "the prompt of the benchmark"
    streamed = post(model, messages=[ASK], tools=json.loads(TOOLS), stream=True).text
    first = json.loads(streamed.splitlines()[0].removeprefix("data: "))
    assert first["choices"][0]["delta"]["tool_calls"][0]["index"] == 0 and '"finish_reason": "tool_calls"' in streamed


def test_the_server_says_what_was_thought_before_a_call_back_to_the_template() -> None:
    model = Telling("qwen3", "No.")
    thought = {"role": "assistant", "content": "", "tool_calls": CALL["tool_calls"], "reasoning_content": "The sky."}
    (choice,) = post(model, messages=[ASK, thought, RESULT], tools=json.loads(TOOLS)).json()["choices"]
    assert choice["message"] == {"role": "assistant", "content": "No."} and choice["finish_reason"] == "stop"
    assert "<think>\nThe sky.\n</think>" in model.asked[0]


def test_what_the_server_cannot_say_is_refused() -> None:
    model = Telling("llama3_1", "No.")
    two = CALL | {"tool_calls": CALL["tool_calls"] * 2}
    answered = post(model, messages=[ASK, two, RESULT])
    assert answered.status_code == 422 and "single tool-calls" in answered.json()["detail"]
    assert post(model, messages=[ASK], tools=json.loads(TOOLS), tool_choice="required").status_code == 422


def test_a_scripted_answer_without_tools_is_no_call() -> None:
    class Quoting(Scripted):
        def say(self, prompt: Prompt) -> str:
            return HERMES

    (row,), _ = answer_items("zero_shot", Quoting("q"), [record(ASK, SAID, tools=None)], Policy(""), KNOBS, Path())
    assert row.answer == HERMES and row.prompt_sha256 == sha256_json([ASK])
