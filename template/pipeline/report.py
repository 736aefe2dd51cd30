"""Stage `report`: everything that was measured, as one page that works offline, a model card and a verdict file."""

import sys
from typing import Any

from pipeline.files import run_stage, write_json, write_text
from pipeline.reporting.facts import REPORTS, Facts, read_facts
from pipeline.reporting.model_card import model_card
from pipeline.reporting.page import page
from pipeline.settings import load

PAGE = REPORTS / "report.html"
CARD = REPORTS / "MODEL_CARD.md"
VERDICT = REPORTS / "verdict.json"


def main() -> None:
    facts = read_facts(load())
    write_text(PAGE, page(facts))
    write_text(CARD, model_card(facts))
    write_json(VERDICT, verdict(facts))
    print(f"wrote {PAGE}, {CARD} and {VERDICT}")


def verdict(facts: Facts) -> dict[str, Any]:
    """The decision for programs: what `gate`, CI and `tunesmith` read."""
    primary = facts.scores["primary_metric"]
    return {
        **facts.scores["verdict"],
        "smoke": facts.scores["smoke"],
        "primary_metric": primary,
        "arms": {arm: metrics[primary] for arm, metrics in facts.scores["arms"].items()},
        "cost": {
            "usd_per_1000_requests": {arm: cost["usd_per_1000_requests"] for arm, cost in facts.cost["arms"].items()},
            "training_usd": facts.cost["training"]["usd"] if facts.cost["training"] else None,
            "break_even": facts.cost["break_even"],
        },
        "report": str(PAGE),
    }


if __name__ == "__main__":
    sys.exit(run_stage(main))
