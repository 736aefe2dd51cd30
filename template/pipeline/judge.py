"""Stage `judge`: a model judges the challenger's answers against the incumbent's, if it agrees with people."""

import sys
from pathlib import Path
from typing import Any

from pipeline.backends import Backend, Endpoint
from pipeline.baseline import RESULTS, TEST
from pipeline.cost import as_dict, read_price, usd_per_1000
from pipeline.evaluate import SCORES, TUNED
from pipeline.files import read_json, read_jsonl, run_stage, write_json
from pipeline.generation import Generator
from pipeline.judging import CALIBRATION, Effort, Pair, judge, kinship, preference, qualify, read_calibration
from pipeline.model import base_model
from pipeline.prompting import read_prompt
from pipeline.runtime import prepare
from pipeline.settings import Settings, load
from pipeline.wording import ENDPOINT, family

REPORT = Path("reports/judge.json")
MEASURED = Path("reports/measured/judge.json")


def main() -> None:
    settings = load()
    backend, prompt = judging_model(settings), read_prompt("judge")
    rows = read_calibration()[: settings.curate.dev_items if settings.smoke else None]
    pairs = [Pair(row["question"], row["first"], row["second"]) for row in rows]
    judgements, effort = judge(backend, prompt, pairs, settings.evaluate.batch_size)
    model = backend.identity.get("model", settings.model.name)
    report: dict[str, Any] = {
        "model": model,
        "warning": kinship(model, settings.model.name),
        "calibration": str(CALIBRATION),
        **qualify(judgements, [row["human"] for row in rows], alpha=settings.evaluate.alpha, seed=settings.seed),
    }
    if report["qualified"]:
        verdict = read_json(SCORES)["verdict"]
        pairs = answered_pairs(verdict["challenger"], verdict["best_baseline"])
        judgements, more = judge(backend, prompt, pairs, settings.evaluate.batch_size)
        report["preference"], effort = preference(judgements, pairs), effort.plus(more)
    used = effort._asdict()
    seconds = used.pop("seconds")
    write_json(REPORT, report | {"effort": used})
    write_json(MEASURED, {"seconds": round(seconds, 3), "usd": dollars(effort, settings)})
    print("qualified" if report["qualified"] else "withheld: " + "; ".join(report["reasons"]))


def dollars(effort: Effort, settings: Settings) -> dict[str, float | None] | None:
    """What judging cost: an endpoint's tokens as `cost.hosted_model`, or this machine's time; None: unknown."""
    if not effort.requests:
        return None
    arm = f"{ENDPOINT}judge" if settings.judge.endpoint else "judge"
    price = read_price(settings.cost.hardware)["usd_per_hour"]
    per_1000 = usd_per_1000(arm, effort._asdict() | {"items": effort.requests}, price, settings.cost)
    return as_dict(per_1000 and per_1000.times(effort.requests / 1000))


def judging_model(settings: Settings) -> Backend:
    """The endpoint named in params.yaml, or the untouched base model."""
    if settings.judge.endpoint:
        return Endpoint(settings.judge.endpoint)
    return Generator(base_model(settings), prepare(settings.seed))


def answered_pairs(first: str, second: str) -> list[Pair]:
    """Both arms' answers to every test item."""
    asked = {row["id"]: row["messages"][-2]["content"] for row in read_jsonl(TEST)}
    rows = (read_jsonl((TUNED if family(arm) == "tuned" else RESULTS) / f"{arm}.jsonl") for arm in (first, second))
    return [Pair(asked[a["id"]], a["answer"], b["answer"]) for a, b in zip(*rows, strict=True)]


if __name__ == "__main__":
    sys.exit(run_stage(main))
