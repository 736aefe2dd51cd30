"""An OpenAI-compatible server: ``python -m engine.serving.server [FOLDER] [--arm A] [--port N]``.

A client sends the question alone; the server adds the arm's system prompt, examples and passages, and names the
passages as ``citations``. It answers one request at a time, binds loopback, and asks for a key (``SERVE_API_KEY``)
anywhere else. For many users, put the same folder behind an engine that batches.
"""

import argparse
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from engine.chat.openai_messages import Message, spoken_calls
from engine.chat.tool_call_parsers import Tools, read_calls
from engine.chat.tool_calls import tool_list, whole_answer, without_thinking
from engine.core import device
from engine.core.artifacts import SERVING_REPORT
from engine.core.errors import ProjectError, run_stage
from engine.core.io import read
from engine.core.params import load
from engine.evaluation.results import ServingReport
from engine.inference.prompting import citations
from engine.inference.transformers_backend import Generator
from engine.serving.artefact import artefact
from engine.serving.request_prompt import Prepare, Prepared, prompt_of
from engine.settings.serve import ServeParams

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
MAX_NEW_TOKENS = 4096


class Function(BaseModel):
    name: str
    arguments: str  # JSON


class ToolCall(BaseModel):
    id: str | None = None
    type: Literal["function"] = "function"
    function: Function


class ChatMessage(BaseModel):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    def turn(self) -> Message:
        """The message as a canonical turn."""
        fields = self.model_dump(exclude_none=True, exclude={"reasoning_content"})
        return {"content": ""} | fields | ({"thinking": self.reasoning_content} if self.reasoning_content else {})


class ChatRequest(BaseModel):
    """The part of OpenAI's chat request that this server honours; any other field is refused, never ignored."""

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] = 256
    temperature: Annotated[float, Field(ge=0, le=0)] = 0  # answers are greedy, as on the benchmark
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["auto"] = "auto"
    stream: bool = False
    user: str | None = None


def create_app(generator: Generator, name: str, api_key: str | None, prepare: Prepare | None = None) -> FastAPI:
    """The application over a loaded model. With ``api_key``, every route but ``/healthz`` asks for it.

    ``prepare`` turns a client's messages into the prompt; without it they are the prompt.
    """
    app = FastAPI(title=name, docs_url=None, redoc_url=None, openapi_url=None)
    one_at_a_time = threading.Lock()

    def authorise(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if api_key and not secrets.compare_digest(given.encode(), api_key.encode()):
            raise HTTPException(401, "missing or wrong API key")

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models", dependencies=[Depends(authorise)])
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "local"}]}

    @app.post("/v1/chat/completions", dependencies=[Depends(authorise)], response_model=None)
    def chat(request: ChatRequest) -> dict[str, Any] | StreamingResponse:
        if request.model != name:
            raise HTTPException(404, f"this server serves {name!r}, not {request.model!r}")
        messages = [message.turn() for message in request.messages]
        prepared = prepare(messages) if prepare else Prepared(messages, [])
        tools = json.dumps(request.tools) if request.tools else None
        try:
            prompt = generator.render(prepared.messages, tools)
        except ProjectError as error:
            raise HTTPException(422, error.what) from None
        with one_at_a_time:
            _, (answer,) = next(generator.answer([prompt], request.max_tokens, batch_size=1))
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": name}
        said = whole_answer(generator.text(prompt), answer.text)
        message, finish = reply(said, tool_list(tools), answer.finish)
        if request.stream:
            return StreamingResponse(_events(head, message, finish), media_type="text/event-stream")
        return {
            **head,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
                "total_tokens": len(prompt) + (answer.completion_tokens or 0),
            },
            **({"citations": citations(said, prepared.passages)} if prepared.passages else {}),
        }

    return app


def reply(text: str, tools: Tools | None, finish: str) -> tuple[dict[str, Any], str]:
    """An answer as the protocol's message, with the calls in it if there are ``tools``; and why it ended."""
    said, calls = read_calls(without_thinking(text), tools) if tools else (text, [])
    if not calls:
        return {"role": "assistant", "content": text}, finish
    return {"role": "assistant", "content": said or None, "tool_calls": spoken_calls(calls)}, "tool_calls"


def _events(head: dict[str, Any], message: dict[str, Any], finish: str) -> Iterator[str]:
    """A finished answer as server-sent events, for clients that only stream."""
    calls = [{"index": place} | call for place, call in enumerate(message.get("tool_calls", ()))]
    for delta, reason in ((message | ({"tool_calls": calls} if calls else {}), None), ({}, finish)):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = head | {"object": "chat.completion.chunk", "choices": [choice]}
        yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    yield "data: [DONE]\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a Hugging Face folder (default: the arm's own model)")
    parser.add_argument("--name", help="model name for clients (default: the arm)")
    parser.add_argument(
        "--arm", help="the arm whose prompts are used (default without a folder: the arm that stage serve tested)"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    sys.exit(run_stage(lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """Load the model and answer until stopped.

    Raises:
        ProjectError: others could reach the server without a key, or there is no model to serve.
    """
    import uvicorn

    api_key = os.environ.get("SERVE_API_KEY")
    if options.host not in LOOPBACK and not api_key:
        raise ProjectError("a server on a public address needs a key", f"--host {options.host}", "set SERVE_API_KEY")
    folder, arm = options.folder, options.arm
    if folder is None:
        arm = arm or read(SERVING_REPORT, ServingReport, "serve").arm
        folder = artefact(arm, load(ServeParams))
        print(f"serving {folder} as {arm} at http://{options.host}:{options.port}/v1", flush=True)
    generator = Generator(folder, device.prepare(seed=0))
    prepare = prompt_of(arm, load(ServeParams)) if arm else None
    app = create_app(generator, options.name or arm or "tuned", api_key, prepare)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
