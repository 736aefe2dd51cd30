"""Stage `judge`: a model compares the two deciding arms' answers and grades every arm's, if it agrees with people."""

import sys

import msgspec

from engine.core.artifacts import (
    JUDGE_REPORT,
    MEASURED_JUDGE,
)
from engine.core.errors import run_stage
from engine.core.io import write_json
from engine.core.params import load
from engine.evaluation.judge.judging import compare_answers, dollars, grade_answers, judging_model
from engine.evaluation.judge.pairwise_judge import kinship
from engine.evaluation.judge.report import JudgeReport, Requests
from engine.inference.arms import work
from engine.settings.judge import JudgeParams


def main() -> None:
    settings = load(JudgeParams)
    backend = judging_model(settings)
    model = backend.identity.get("model", settings.model.name)
    compared, replies = compare_answers(backend, settings)
    rubric, more = grade_answers(backend, settings)
    effort = work(replies + more)
    report = JudgeReport(
        model=model,
        warning=kinship(model, settings.model.name),
        rubric=rubric,
        effort=Requests(
            requests=effort.items,
            prompt_tokens=effort.prompt_tokens,
            completion_tokens=effort.completion_tokens,
        ),
        **msgspec.structs.asdict(compared),
    )
    write_json(JUDGE_REPORT, report)
    write_json(MEASURED_JUDGE, {"seconds": round(effort.seconds, 3), "usd": dollars(effort, settings)})
    for name, part in (("comparing", compared), ("grading", rubric)):
        print(f"{name}: " + ("qualified" if part.qualified else "withheld: " + "; ".join(part.reasons)))


if __name__ == "__main__":
    sys.exit(run_stage(main))
