"""Stage `serve`: start the real server on the served folder, ask it real questions, compare, stop it."""

import sys
import time

from engine.core.artifacts import BASELINE_ANSWERS, MEASURED_SERVING, SCORES, SERVING_REPORT, TEST, TUNED_ANSWERS
from engine.core.display import family
from engine.core.errors import run_stage
from engine.core.io import read_json, read_jsonl, write_json
from engine.core.params import load
from engine.inference.arms import quantile
from engine.serving import server
from engine.serving.artefact import artefact
from engine.serving.trial import answer_alone, ask, running_server, served_arm
from engine.settings.serve import ServeParams


def main() -> None:
    from openai import OpenAI

    settings = load(ServeParams)
    arm = served_arm(read_json(SCORES))
    folder = artefact(arm, settings)
    items = read_jsonl(TEST)[: settings.serve.parity_items]
    results = TUNED_ANSWERS if family(arm) == "tuned" else BASELINE_ANSWERS
    evaluated = {row["id"]: row for row in read_jsonl(results / f"{arm}.jsonl")}
    answers, seconds = {}, []
    with running_server(folder, arm, arm) as (url, key):
        client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        print(f"serving {[model.id for model in client.models.list()]} at {url}/v1", flush=True)
        for item in items:
            start = time.perf_counter()
            answers[item["id"]] = ask(client, arm, item, settings.evaluate.max_new_tokens)
            seconds.append(time.perf_counter() - start)
    differing = [item for item in items if answers[item["id"]] != evaluated[item["id"]]["answer"]]
    equal, unbatched = len(items) - len(differing), 0
    if differing:
        alone = answer_alone(folder, arm, differing, evaluated, settings)
        unbatched = sum(answers[name] == answer for name, answer in alone.items())
    write_json(
        SERVING_REPORT,
        {
            "server": f"python -m {server.__name__}",
            "arm": arm,
            "folder": folder.name,
            "parity": {"items": len(items), "equal": equal, "equal_unbatched": unbatched},
        },
    )
    latency = {"p50": quantile(seconds, 0.5), "p95": quantile(seconds, 0.95), "n": len(seconds)}
    write_json(MEASURED_SERVING, {"requests": len(items), "latency_seconds": latency})
    print(f"{equal} of {len(items)} served answers equal the evaluated ones; p50 {quantile(seconds, 0.5):.2f} s")
    if unbatched:
        print(f"{unbatched} more equal what the model answers to the evaluated prompt without a batch")


if __name__ == "__main__":
    sys.exit(run_stage(main))
