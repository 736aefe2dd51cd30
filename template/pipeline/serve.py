"""Stage `serve`: start the real server on the served folder, ask it real questions, compare, stop it."""

import sys
import time

from engine.core.artifacts import MEASURED_SERVING, SCORES, SERVING_REPORT, TEST
from engine.core.errors import run_stage
from engine.core.io import read, read_jsonl, write_json
from engine.core.params import load
from engine.evaluation.results import Parity, Scores, ServingReport
from engine.inference.arms import latency
from engine.inference.results import read_arm
from engine.serving import server
from engine.serving.artefact import artefact
from engine.serving.trial import answer_alone, ask, running_server, served_arm
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


if __name__ == "__main__":
    sys.exit(run_stage(main))
