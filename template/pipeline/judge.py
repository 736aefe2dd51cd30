"""Stage `judge`: a model compares the two deciding arms' answers and grades every arm's, if it agrees with people."""

import sys

from engine.core.artifacts import (
    JUDGE_REPORT,
    MEASURED_JUDGE,
)
from engine.core.errors import run_stage
from engine.core.io import write_json
from engine.core.params import load
from engine.evaluation.judge.judging import compare_answers, dollars, grade_answers, judging_model
from engine.evaluation.judge.pairwise_judge import kinship
from engine.settings.judge import JudgeParams


def main() -> None:
    settings = load(JudgeParams)
    backend = judging_model(settings)
    model = backend.identity.get("model", settings.model.name)
    compared, effort = compare_answers(backend, settings)
    rubric, more = grade_answers(backend, settings)
    report = {"model": model, "warning": kinship(model, settings.model.name), **compared, "rubric": rubric}
    effort = effort.plus(more)
    used = effort._asdict()
    seconds = used.pop("seconds")
    write_json(JUDGE_REPORT, report | {"effort": used})
    write_json(MEASURED_JUDGE, {"seconds": round(seconds, 3), "usd": dollars(effort, settings)})
    for name, part in (("comparing", compared), ("grading", rubric)):
        print(f"{name}: " + ("qualified" if part["qualified"] else "withheld: " + "; ".join(part["reasons"])))


if __name__ == "__main__":
    sys.exit(run_stage(main))
