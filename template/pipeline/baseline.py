"""Stage `baseline`: what the untouched model scores with a prompt, with examples and with retrieval.

`train` depends on the marker this stage writes, so nothing is tuned that was not measured first.
"""

import sys

from engine.chat.template_coverage import refuse_dropped
from engine.core.answers import without_extra
from engine.core.artifacts import BASELINE_ANSWERS, BASELINE_RECORD, BENCHMARK, MEASURED_BASELINE, SHOTS, TEST
from engine.core.device import prepare
from engine.core.display import ENDPOINT, GGUF
from engine.core.errors import run_stage
from engine.core.io import read_json, read_jsonl, write_json, write_jsonl
from engine.core.params import load
from engine.evaluation.metrics import headline, metrics_of
from engine.evaluation.shots import check_shots, choose_counts
from engine.inference.arms import answer_items
from engine.inference.backend import Backend, Endpoint
from engine.inference.perplexity import add_reference_nll
from engine.inference.policies import base_policies
from engine.inference.prompting import Policy, read_passages, read_prompt
from engine.inference.results import BaselineRecord, Measurement, Shots
from engine.inference.transformers_backend import Generator
from engine.models.base import base_model, base_sha256
from engine.settings.evaluate import EvaluateParams
from engine.settings.inference import GgufSettings
from engine.settings.model import ModelParams


class Settings(EvaluateParams, ModelParams):
    """What this stage reads of params.yaml."""


def main() -> None:
    settings = load(Settings)
    metrics_of(settings)  # an error in the project's own metrics is reported before any answer
    items = read_jsonl(TEST)
    device = prepare(settings.seed)
    generator = Generator(base_model(settings), device)
    asking = Policy(read_prompt(settings.evaluate.prompt))
    whole = [item | {"messages": [*asking.ask(item), item["messages"][-1]]} for item in items]
    refuse_dropped(whole, generator.template, str(TEST))
    backends: dict[str, Backend] = {"": generator}
    if settings.evaluate.endpoint:
        backends[ENDPOINT] = Endpoint(settings.evaluate.endpoint)
    if settings.evaluate.gguf:
        backends[GGUF] = gguf_model(settings.evaluate.gguf, device.threads)
    passages = read_passages("train", "dev", "test") if settings.retrieves else None
    measured: dict[str, Measurement] = {}
    shots: dict[str, int] = {}
    tried: dict[str, dict[str, float]] = {}
    for prefix, backend in backends.items():
        counts, found = choose_counts(backend, passages, settings)
        shots |= {prefix + name: count for name, count in counts.items()}
        tried |= {prefix + name: scores for name, scores in found.items()}
        for name, policy in base_policies(items, counts, passages, settings).items():
            arm = prefix + name
            rows, measured[arm] = answer_items(arm, backend, items, policy, settings.evaluate, BASELINE_ANSWERS)
            check_shots(arm, rows, counts.get(name, 0))
            if settings.evaluate.perplexity and isinstance(backend, Generator):
                rows = add_reference_nll(rows, backend, items, policy)
            write_jsonl(BASELINE_ANSWERS / f"{arm}.jsonl", rows)
            print(f"{arm}: {headline(rows, settings)}")
    write_json(MEASURED_BASELINE, measured)
    write_json(SHOTS, Shots(shots=shots, tried_on_dev=tried))
    record = BaselineRecord(base_sha256=base_sha256(), benchmark_sha256=read_json(BENCHMARK)["sha256"])
    write_json(BASELINE_RECORD, record)


def gguf_model(settings: GgufSettings, threads: int) -> Backend:
    """The model in a GGUF file. Raises `ProjectError` if this project was generated without llama.cpp's backend."""
    try:
        from engine.inference.llama_cpp_backend import GgufModel  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise without_extra("llama", "params.yaml: evaluate.gguf") from None
    model: Backend = GgufModel(settings, threads)
    return model


if __name__ == "__main__":
    sys.exit(run_stage(main))
