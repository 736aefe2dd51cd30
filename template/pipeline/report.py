"""Stage `report`: everything that was measured, as one page that works offline, a model card and a verdict file."""

import sys

import msgspec

from engine.core.artifacts import MODEL_CARD, REPORT_PAGE, VERDICT
from engine.core.errors import run_stage
from engine.core.io import write_json, write_text
from engine.core.params import load
from engine.costing.results import CostReport
from engine.evaluation.results import Scores
from engine.reporting.inputs import read_facts
from engine.reporting.model_card import model_card
from engine.reporting.report_page.page import page
from engine.reporting.verdict_file import CostInBrief, VerdictFile
from engine.settings.report import ReportParams


def main() -> None:
    facts = read_facts(load(ReportParams))
    write_text(REPORT_PAGE, page(facts))
    write_text(MODEL_CARD, model_card(facts))
    write_json(VERDICT, verdict(facts.scores, facts.cost))
    print(f"wrote {REPORT_PAGE}, {MODEL_CARD} and {VERDICT}")


def verdict(scores: Scores, cost: CostReport) -> VerdictFile:
    """The decision for programs, with the scores and the costs that it rests on."""
    return VerdictFile(
        **msgspec.structs.asdict(scores.verdict),
        smoke=scores.smoke,
        primary_metric=scores.primary_metric,
        arms=scores.primary,
        cost=CostInBrief(
            usd_per_1000_requests={arm: priced.usd_per_1000_requests for arm, priced in cost.arms.items()},
            training_usd=cost.training.usd if cost.training else None,
            break_even=cost.break_even,
        ),
        report=str(REPORT_PAGE),
    )


if __name__ == "__main__":
    sys.exit(run_stage(main))
