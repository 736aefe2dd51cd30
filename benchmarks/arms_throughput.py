"""Items a second of the project's arms against lm-eval, on the same items, prompts, model and threads, in one run.

    python benchmarks/arms_throughput.py MODEL_FOLDER [--items 32] [--shots 3]

Runs in the environment of a project with `lm_eval: true`. Both answer few-shot, greedily, with the
same batch size; the exact match of both is printed, and has to be equal.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "template"))

SYSTEM = "Answer with the result only."
BATCH, TOKENS = 16, 8
TASK = """task: sums
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
    options = parser.parse_args()
    train, test = sums(1, options.shots), sums(7, options.items)

    theirs, their_seconds, their_prompts = lm_eval(options.model, train, test, options.shots)
    ours, our_seconds, our_prompts = arms(options.model, train, test)
    print(f"same prompts: {our_prompts == their_prompts}")
    print(f"lm-eval  exact match {theirs:.4f}  {options.items / their_seconds:.2f} items/s")
    print(f"arms     exact match {ours:.4f}  {options.items / our_seconds:.2f} items/s")
    print(f"ratio {their_seconds / our_seconds:.2f}")
    if ours != theirs:
        sys.exit("the scores differ")


def sums(first: int, count: int) -> list[dict[str, str]]:
    """Sums of two numbers below a hundred."""
    pairs = [(first * (n + 3) * 7 % 90 + 1, first * (n + 5) * 11 % 9 + 1) for n in range(count)]
    text = "A box holds {} apples and {} more are put into it. How many apples does the box hold now?"
    return [{"question": text.format(a, b), "answer": str(a + b)} for a, b in pairs]


def record(number: int, row: dict[str, str]) -> dict[str, Any]:
    turns = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
    return {"id": str(number), "label": None, "group": None, "messages": turns}


def arms(model: Path, train: list[dict[str, str]], test: list[dict[str, str]]) -> tuple[float, float, list[str]]:
    """Exact match, seconds and rendered prompts of the project's own generation."""
    from pipeline.generation import Generator
    from pipeline.item_metrics import exact_match
    from pipeline.prompting import conversation
    from pipeline.runtime import prepare

    generator = Generator(model, prepare(0, "fp32"))
    shots = [record(number, row) for number, row in enumerate(train)]
    start = time.perf_counter()
    prompts = [generator.render(conversation(record(n, row), SYSTEM, shots)) for n, row in enumerate(test)]
    answers = {}
    for batch, found in generator.answer(prompts, TOKENS, BATCH):
        answers.update(zip(batch, found, strict=True))
    seconds = time.perf_counter() - start
    right = [exact_match(row["answer"], answers[n].text) for n, row in enumerate(test)]
    return sum(right) / len(right), seconds, [generator.tokenizer.decode(prompt) for prompt in prompts]


def lm_eval(
    model: Path, train: list[dict[str, str]], test: list[dict[str, str]], shots: int
) -> tuple[float, float, list[str]]:
    """The same of lm-eval's Hugging Face backend."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    lm = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=BATCH, max_length=2048)
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("train", train), ("test", test)):
            Path(folder, f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        Path(folder, "sums.yaml").write_text(TASK.format(folder=folder, tokens=TOKENS))
        start = time.perf_counter()
        result = simple_evaluate(
            model=lm,
            tasks=["sums"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            num_fewshot=shots,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
            system_instruction=SYSTEM,
            log_samples=True,
            bootstrap_iters=0,
        )
        seconds = time.perf_counter() - start
    assert result["n-shot"]["sums"] == shots, "a task's own num_fewshot overrides the caller's"
    samples = sorted(result["samples"]["sums"], key=lambda sample: sample["doc_id"])
    prompts = [sample["arguments"][0][0] for sample in samples]
    return result["results"]["sums"]["exact_match,none"], seconds, prompts


if __name__ == "__main__":
    main()
