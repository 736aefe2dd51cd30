"""Stage `tuned`: the tuned model, as it will be served, answers the frozen items."""

import sys

from engine.core.artifacts import MEASURED_TUNED, SERVED_MANIFEST, TEST, TUNED_ANSWERS
from engine.core.device import prepare
from engine.core.errors import run_stage
from engine.core.io import read_jsonl, write_json, write_jsonl
from engine.core.params import load
from engine.evaluation.metrics import headline
from engine.inference.arms import answer_items
from engine.inference.perplexity import add_reference_nll
from engine.inference.policies import tuned_policies
from engine.inference.transformers_backend import Generator
from engine.models.merge_adapter import describe, served_model
from engine.settings.evaluate import EvaluateParams
from engine.settings.train import TrainParams


class Settings(EvaluateParams, TrainParams):
    """What this stage reads of params.yaml."""


def main() -> None:
    settings = load(Settings)
    # Loaded as it is served: on this machine's own number type, from the merged weights.
    device = prepare(settings.seed)
    folder = served_model(settings, settings.train, prepare(settings.seed, settings.train.compute_dtype))
    generator, items = Generator(folder, device), read_jsonl(TEST)
    measured = {}
    for arm, policy in tuned_policies(settings).items():
        rows, measured[arm] = answer_items(arm, generator, items, policy, settings.evaluate, TUNED_ANSWERS)
        if settings.evaluate.perplexity:
            rows = add_reference_nll(rows, generator, items, policy)
        write_jsonl(TUNED_ANSWERS / f"{arm}.jsonl", rows)
        print(f"{arm}: {headline(rows, settings)}")
    write_json(MEASURED_TUNED, measured)
    write_json(SERVED_MANIFEST, describe(folder))


if __name__ == "__main__":
    sys.exit(run_stage(main))
