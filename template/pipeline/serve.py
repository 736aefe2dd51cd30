"""Stage `serve`: start the real server on the served folder, ask it real questions, compare, stop it."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.chat.openai_messages import Record, reply_text, request
from engine.chat.tool_calls import answer_text
from engine.core import device
from engine.core.artifacts import MEASURED_SERVING, SCORES, SERVING_REPORT, TEST
from engine.core.errors import run_stage
from engine.core.io import read, read_jsonl, sha256_json, write_json
from engine.core.params import load
from engine.evaluation.results import Parity, Scores, ServingReport
from engine.inference.arms import compared, latency
from engine.inference.backend import answer_all
from engine.inference.results import Row, read_arm
from engine.inference.transformers_backend import Generator
from engine.serving import server
from engine.serving.artefact import artefact
from engine.serving.request_prompt import prompt_of
from engine.serving.trial import running_server, served_arm
from engine.settings.serve import ServeParams


def main() -> None:
    from openai import OpenAI

    settings = load(ServeParams)
    arm = served_arm(read(SCORES, Scores, "evaluate"))
    folder = artefact(arm, settings)
    items = read_jsonl(TEST)[: settings.serve.parity_items]
    evaluated = {row.id: row for row in read_arm(arm)}
    answers, seconds = {}, []
    with running_server(folder, arm, arm) as (url, key):
        client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        print(f"serving {[model.id for model in client.models.list()]} at {url}/v1", flush=True)
        for item in items:
            start = time.perf_counter()
            answers[item["id"]] = ask(client, arm, item, settings.evaluate.max_new_tokens)
            seconds.append(time.perf_counter() - start)
    differing = [item for item in items if answers[item["id"]] != evaluated[item["id"]].answer]
    equal, unbatched = len(items) - len(differing), 0
    if differing:
        alone = answer_alone(folder, arm, differing, evaluated, settings)
        unbatched = sum(answers[name] == answer for name, answer in alone.items())
    parity, took = Parity(items=len(items), equal=equal, equal_unbatched=unbatched), latency(seconds)
    report = ServingReport(server=f"python -m {server.__name__}", arm=arm, folder=folder.name, parity=parity)
    write_json(SERVING_REPORT, report)
    write_json(MEASURED_SERVING, {"requests": len(items), "latency_seconds": took})
    print(f"{equal} of {len(items)} served answers equal the evaluated ones; p50 {took.p50:.2f} s")
    if unbatched:
        print(f"{unbatched} more equal what the model answers to the evaluated prompt without a batch")


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


if __name__ == "__main__":
    sys.exit(run_stage(main))
