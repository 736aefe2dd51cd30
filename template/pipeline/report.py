"""Stage `report`: everything that was measured, as one page that works offline, a model card and a verdict file."""

import sys

from engine.core.artifacts import MODEL_CARD, REPORT_PAGE, VERDICT
from engine.core.errors import run_stage
from engine.core.io import write_json, write_text
from engine.core.params import load
from engine.reporting.inputs import read_facts
from engine.reporting.model_card import model_card
from engine.reporting.report_page.page import page
from engine.reporting.verdict_file import verdict
from engine.settings.report import ReportParams


def main() -> None:
    facts = read_facts(load(ReportParams))
    write_text(REPORT_PAGE, page(facts))
    write_text(MODEL_CARD, model_card(facts))
    write_json(VERDICT, verdict(facts.scores, facts.cost))
    print(f"wrote {REPORT_PAGE}, {MODEL_CARD} and {VERDICT}")


if __name__ == "__main__":
    sys.exit(run_stage(main))
