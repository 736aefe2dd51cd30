"""Stage `tuned`: the tuned model, as it will be served, answers the frozen items."""

import sys
from pathlib import Path

from pipeline.baseline import TEST, headline
from pipeline.export import describe, served_model
from pipeline.files import read_jsonl, run_stage, write_json, write_jsonl
from pipeline.inference.arms import answer_items
from pipeline.inference.generation import Generator
from pipeline.inference.perplexity import add_reference_nll
from pipeline.inference.prompting import Policy, read_passages, read_prompt
from pipeline.runtime import prepare
from pipeline.settings import Settings, load

RESULTS = Path("results/tuned")
SERVED = Path("models/served.json")
MEASURED = Path("reports/measured/tuned.json")


def main() -> None:
    settings = load()
    # Loaded as it is served: on this machine's own number type, from the merged weights.
    device = prepare(settings.seed)
    folder = served_model(settings, prepare(settings.seed, settings.train.compute_dtype))
    generator, items = Generator(folder, device), read_jsonl(TEST)
    measured = {}
    for arm, policy in policies(settings).items():
        rows, measured[arm] = answer_items(arm, generator, items, policy, settings.evaluate, RESULTS)
        if settings.evaluate.perplexity:
            rows = add_reference_nll(rows, generator, items, policy)
        write_jsonl(RESULTS / f"{arm}.jsonl", rows)
        print(f"{arm}: {headline(rows, settings)}")
    write_json(MEASURED, measured)
    write_json(SERVED, describe(folder))


def policies(settings: Settings) -> dict[str, Policy]:
    """The system prompt that was trained with; where the project retrieves, also with passages."""
    system = read_prompt("system")
    found = {"tuned": Policy(system)}
    if settings.retrieves:
        found["tuned_rag"] = Policy(system, {}, read_passages("test"))
    return found


if __name__ == "__main__":
    sys.exit(run_stage(main))
