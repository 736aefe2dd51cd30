"""Items a second of the project's arms against lm-eval, on the same items, prompts, model and threads, in one run.

    python benchmarks/arms_throughput.py MODEL_FOLDER [--items 32] [--shots 3] [--rounds 3]

Runs in the environment of a project with `lm_eval: true`. Both answer few-shot, greedily, with the
same batch size, in turns; medians are printed, of seconds and of processor seconds, which other work on the machine
disturbs less. The prompts and the exact match of both have to be equal.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "template"))

SYSTEM = "Answer with the result only."
BATCH, TOKENS = 16, 8
TASK = """task: counts
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}}}
test_split: test
fewshot_split: train
fewshot_config: {{sampler: first_n}}
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["<|im_end|>"], do_sample: false, max_gen_toks: {tokens}}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}}
metadata: {{version: 1.0}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--shots", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    train, test = counts(1, options.shots), counts(7, options.items)

    theirs, ours = [], []
    for _ in range(options.rounds):
        theirs.append(lm_eval(options.model, train, test, options.shots))
        ours.append(arms(options.model, train, test))
    print(f"same prompts: {theirs[0].prompts == ours[0].prompts}")
    for name, runs in (("lm-eval", theirs), ("arms", ours)):
        shown = f"{options.items / median(runs, 'seconds'):.2f} items/s, {median(runs, 'processor'):.1f} processor s"
        print(f"{name:<8} exact match {runs[0].exact_match:.4f}  {shown}")
    ratios = {unit: median(theirs, unit) / median(ours, unit) for unit in ("seconds", "processor")}
    print(f"ratio {ratios['seconds']:.2f}, of processor seconds {ratios['processor']:.2f}")
    if theirs[0].prompts != ours[0].prompts or {run.exact_match for run in theirs + ours} != {ours[0].exact_match}:
        sys.exit("the prompts or the scores differ")


class Run(NamedTuple):
    exact_match: float
    seconds: float
    processor: float  # seconds, summed over threads
    prompts: list[str]


def median(runs: list[Run], unit: str) -> float:
    return statistics.median(getattr(run, unit) for run in runs)


def counts(first: int, count: int) -> list[dict[str, str]]:
    """The larger of two numbers: a small model gets many right and some wrong, so that equal scores mean much."""
    pairs = [(first * (n + 3) * 7 % 90 + 1, first * (n + 5) * 11 % 90 + 1) for n in range(count)]
    text = "A box holds {} apples, another {} apples. How many apples are in the box with more?"
    return [{"question": text.format(a, b), "answer": str(max(a, b))} for a, b in pairs]


def record(number: int, row: dict[str, str]) -> dict[str, Any]:
    turns = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
    return {"id": str(number), "label": None, "group": None, "messages": turns}


def arms(model: Path, train: list[dict[str, str]], test: list[dict[str, str]]) -> Run:
    """The project's own generation, without its cache of answers."""
    from engine.core.device import prepare
    from engine.evaluation.item_metrics import exact_match
    from engine.inference.prompting import conversation
    from engine.inference.transformers_backend import Generator

    generator = Generator(model, prepare(0, "fp32"))
    shots = [record(number, row) for number, row in enumerate(train)]
    start, processor = time.perf_counter(), time.process_time()
    prompts = [generator.render(conversation(record(n, row), SYSTEM, shots)) for n, row in enumerate(test)]
    answers = {}
    for batch, found in generator.answer(prompts, TOKENS, BATCH):
        answers.update(zip(batch, found, strict=True))
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    right = [exact_match(row["answer"], answers[n].text) for n, row in enumerate(test)]
    return Run(sum(right) / len(right), seconds, processor, [generator.tokenizer.decode(prompt) for prompt in prompts])


def lm_eval(model: Path, train: list[dict[str, str]], test: list[dict[str, str]], shots: int) -> Run:
    """The same by lm-eval's Hugging Face backend."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    lm = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=BATCH, max_length=2048)
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("train", train), ("test", test)):
            Path(folder, f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        Path(folder, "counts.yaml").write_text(TASK.format(folder=folder, tokens=TOKENS))
        start, processor = time.perf_counter(), time.process_time()
        result = simple_evaluate(
            model=lm,
            tasks=["counts"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            num_fewshot=shots,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
            system_instruction=SYSTEM,
            log_samples=True,
            bootstrap_iters=0,
        )
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
    assert result["n-shot"]["counts"] == shots, "a task's own num_fewshot overrides the caller's"
    samples = sorted(result["samples"]["counts"], key=lambda sample: sample["doc_id"])
    prompts = [sample["arguments"][0][0] for sample in samples]
    return Run(result["results"]["counts"]["exact_match,none"], seconds, processor, prompts)


if __name__ == "__main__":
    main()
