"""Every file and folder that one stage writes and another reads, named once. Paths are relative to the project."""

from pathlib import Path

# What the owner writes
PARAMS = Path("params.yaml")
PRICES = Path("prices.yaml")
PLAN = Path("plan.json")  # the estimates of `tunesmith plan`, to compare with what is measured
COPIER_ANSWERS = Path(".copier-answers.yml")
DVC_LOCK = Path("dvc.lock")
CODE = Path("code.json")  # one hash a stage over the code that it runs

PROMPTS = Path("prompts")
FIXED_SHOTS = PROMPTS / "shots.jsonl"
KNOWLEDGE = Path("knowledge")
BENCHMARKS = Path("data/benchmarks")
FEEDBACK_FILES = Path("data/feedback")
ANSWER_SCHEMA = Path("evals/schema.json")
JUDGE_CALIBRATION = Path("evals/judge_calibration.jsonl")
RUBRIC_CALIBRATION = Path("evals/rubric_calibration.jsonl")
LADDER = Path("evals/ladder.yaml")
SUITES = Path("evals/suites")

# Data
TRAIN_RECORDS = Path("data/curated/train.jsonl")
REJECTED_RECORDS = Path("data/curated/rejected.jsonl")
REPAIRED_RECORDS = Path("data/curated/repaired.jsonl")
DEV = Path("data/eval/dev.jsonl")
TEST = Path("data/eval/test.jsonl")
BENCHMARK = Path("data/eval/benchmark.json")
CURATION_WORK = Path("data/.curating")
CURATION_LOGS = Path("data/.curating.datatrove")
FORMATTED = Path("data/formatted")
TRAIN_ROWS = FORMATTED / "train.jsonl"
DEV_ROWS = FORMATTED / "dev.jsonl"
INDEX = Path("data/index")
RETRIEVED = Path("data/retrieved")  # the passages of each record

# Models
MODELS = Path("models")
BASE_MANIFEST = MODELS / "base.json"
TUNED_WEIGHTS = MODELS / "tuned"
SERVED_MANIFEST = MODELS / "served.json"
CHECKPOINTS = Path("checkpoints")  # outside the stage's outs, which DVC deletes before it runs the stage again

# Answers of the arms
RESULTS = Path("results")
BASELINE_ANSWERS = RESULTS / "baseline"
BASELINE_RECORD = RESULTS / "baseline.json"  # model and benchmark that were measured: training waits for it alone
SHOTS = RESULTS / "shots.json"
TUNED_ANSWERS = RESULTS / "tuned"
HARNESS_ANSWERS = RESULTS / "harness"
HARNESS_TASKS = HARNESS_ANSWERS / "tasks"

# Reports
REPORTS = Path("reports")
DATA_REPORT = REPORTS / "data.json"
DATA_PAGE = REPORTS / "data.html"
DATA_CARD = REPORTS / "DATA_CARD.md"
FORMAT_REPORT = REPORTS / "format.json"
FORMAT_PAGE = REPORTS / "format.html"
RETRIEVAL_REPORT = REPORTS / "retrieval.json"
CURVES = REPORTS / "curves.json"
SCORES = REPORTS / "scores.json"
ARMS_PLOT = REPORTS / "arms.json"
CONFUSION_PLOT = REPORTS / "confusion.json"
JUDGE_REPORT = REPORTS / "judge.json"
HARNESS_REPORT = REPORTS / "harness.json"
SERVING_REPORT = REPORTS / "serve.json"
USAGE = REPORTS / "usage.json"
VERDICT = REPORTS / "verdict.json"
REPORT_PAGE = REPORTS / "report.html"
MODEL_CARD = REPORTS / "MODEL_CARD.md"
LADDER_PAGE = REPORTS / "ladder.html"
PLOTS_PAGE = REPORTS / "plots.html"

# Measurements that differ from run to run: git tracks them and DVC does not
MEASURED = REPORTS / "measured"
MEASURED_BASELINE = MEASURED / "baseline.json"
MEASURED_TRAINING = MEASURED / "train.json"
MEASURED_TUNED = MEASURED / "tuned.json"
MEASURED_LATENCY = MEASURED / "latency"
MEASURED_JUDGE = MEASURED / "judge.json"
MEASURED_RETRIEVAL = MEASURED / "retrieval.json"
MEASURED_SERVING = MEASURED / "serve.json"
MEASURED_COST = MEASURED / "cost.json"
MEASURED_CALIBRATION = MEASURED / "calibration.json"
MEASURED_QUANTISATION = MEASURED / "quantisation.json"
MEASURED_LADDER = MEASURED / "ladder.json"
