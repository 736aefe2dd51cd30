"""Stage `baseline`: what the untouched model scores with a prompt, with examples and with retrieval.

`train` depends on the marker this stage writes, so nothing is tuned that was not measured first.
"""

import sys
from collections.abc import Sequence

from engine.chat.openai_messages import Record
from engine.chat.template_coverage import refuse_dropped
from engine.chat.tool_calls import expected_text
from engine.core.answers import without_extra
from engine.core.artifacts import BASELINE_ANSWERS, BASELINE_RECORD, BENCHMARK, DEV, MEASURED_BASELINE, SHOTS, TEST
from engine.core.device import prepare
from engine.core.display import ENDPOINT, GGUF
from engine.core.errors import ProjectError, run_stage
from engine.core.io import read_json, read_jsonl, write_json, write_jsonl
from engine.core.params import load
from engine.evaluation.metrics import headline, metrics_of, score_items
from engine.inference.arms import answer_items, compared
from engine.inference.backend import Backend, Endpoint, answer_all
from engine.inference.perplexity import add_reference_nll
from engine.inference.policies import base_policies
from engine.inference.prompting import Passages, Policy, read_passages, read_prompt, shot_pool
from engine.inference.results import Answered, BaselineRecord, Measurement, Row, Shots
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


def choose_counts(
    backend: Backend, passages: Passages | None, settings: EvaluateParams
) -> tuple[dict[str, int], dict[str, dict[str, float]]]:
    """How many examples each policy shows to this model, and the dev scores of the numbers tried.

    Chosen on dev: the test items see one number only, so trying more of them cannot flatter an arm. Of equal scores
    the smaller number. Each policy has its own: with passages in the prompt, or a stronger model, another one is best.
    """
    names = ["few_shot", "rag_few_shot"] if passages is not None else ["few_shot"]
    wanted = settings.evaluate.shots[:1] if settings.smoke else settings.evaluate.shots
    most = len(shot_pool(settings.evaluate.shot_selection))
    candidates = sorted({min(count, most) for count in wanted})
    if len(candidates) == 1:
        return dict.fromkeys(names, candidates[0]), {}
    dev, metric = read_jsonl(DEV), settings.evaluate.primary_metric
    tried: dict[str, dict[int, float]] = {name: {} for name in names}
    for count in candidates:
        shown = base_policies(dev, dict.fromkeys(names, count), passages, settings)
        for name in names:
            tried[name][count] = dev_score(backend, dev, shown[name], settings)
            print(f"dev, {name}, {count} examples: {metric} {tried[name][count]:.3f} on {len(dev)} items")
    best = {name: max(candidates, key=lambda count: (scores[count], -count)) for name, scores in tried.items()}
    rounded = {name: {str(count): round(score, 6) for count, score in scores.items()} for name, scores in tried.items()}
    return best, rounded


def check_shots(arm: str, rows: Sequence[Row], count: int) -> None:
    """Check that every item was asked with the arm's number of examples. Raises `ProjectError` otherwise."""
    odd = [row.id for row in rows if row.shots != count]
    if odd:
        what = f"{len(odd)} items of {arm} were not asked with {count} examples, {odd[0]} for one"
        raise ProjectError(what, "results/baseline", "check prompts/ and evaluate.shots, then run `dvc repro baseline`")


def dev_score(backend: Backend, dev: Sequence[Record], policy: Policy, settings: EvaluateParams) -> float:
    """The mean primary metric of a policy on dev items."""
    prompts = [backend.render(policy.ask(item), item.get("tools")) for item in dev]
    answers = answer_all(backend, prompts, settings.evaluate.max_new_tokens, settings.evaluate.batch_size)
    rows = [
        Answered(
            id=item["id"],
            label=item["label"],
            group=item["group"],
            expected=expected_text(item),
            answer=compared(backend, prompt, answer, item),
        )
        for item, prompt, answer in zip(dev, prompts, answers, strict=True)
    ]
    scores = score_items(rows, settings)[settings.evaluate.primary_metric]
    return sum(scores) / len(scores)


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
