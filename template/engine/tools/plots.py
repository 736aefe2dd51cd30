"""The plots of dvc.yaml without a network: ``python -m engine.tools.plots [REVISION ...]`` writes reports/plots.html.

``dvc plots show`` and ``dvc plots diff`` write a page that loads Vega from a content delivery network. This page holds
the same plots as pictures, of the workspace and of any commits, branches and experiments that are named.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

from engine.core.artifacts import PLOTS_PAGE
from engine.core.display import in_order
from engine.core.errors import ProjectError, run_stage
from engine.core.interval import Interval
from engine.core.io import write_text
from engine.html.pages import render
from engine.html.svg import Chart
from engine.reporting.charts import Bar, interval_chart, line_chart, matrix_chart
from engine.tools.git_revisions import WORKSPACE, read_at

Rows: TypeAlias = list[dict[str, Any]]  # the data of a plot
ARMS, CURVES, CONFUSION = "reports/arms.json", "reports/curves.json", "reports/confusion.json"
LOSSES = {"Loss": "loss", "Loss on dev": "eval_loss"}
LONGEST_NAME = 22  # characters next to a bar


def main() -> None:
    revisions = [WORKSPACE, *sys.argv[1:]]
    arms = {revision: read_at(ARMS, revision) for revision in revisions}
    for revision in [revision for revision, rows in arms.items() if rows is None]:
        raise ProjectError(f"{revision} has no {ARMS}", revision, "run `dvc repro evaluate` there, and commit")
    curves = {revision: rows for revision in revisions if (rows := read_at(CURVES, revision))}
    confused = {revision: rows for revision in revisions if (rows := read_at(CONFUSION, revision))}
    write_text(PLOTS_PAGE, plots_page(arms, curves, confused))
    print(f"wrote {PLOTS_PAGE}: {', '.join(revisions)}")


def plots_page(arms: dict[str, Rows], curves: dict[str, Rows], confused: dict[str, Rows]) -> str:
    """The whole page, self-contained."""
    found = {row["arm"] for rows in arms.values() for row in rows}
    charts = {arm: arm_chart(arm, arms) for arm in in_order(found)}
    losses = {title: line_chart(series(curves, key), title, "step") for title, key in LOSSES.items() if curves}
    matrices = {f"Labels, {revision}": matrix_chart(pairs(rows), revision) for revision, rows in confused.items()}
    return render("tools/plots.html.j2", revisions=list(arms), charts=charts | losses | matrices)


def pairs(rows: Rows) -> Counter[tuple[str, str]]:
    """How often each label was taken for each."""
    return Counter((row["actual"], row["predicted"]) for row in rows)


def arm_chart(arm: str, arms: dict[str, Rows]) -> Chart:
    """An arm's score in every revision that has the arm."""
    bars = [
        Bar(short(revision), Interval(row["score"], row["low"], row["high"]), revision == WORKSPACE)
        for revision, rows in arms.items()
        for row in rows
        if row["arm"] == arm
    ]
    return interval_chart(bars, arm)


def series(curves: dict[str, Rows], key: str) -> dict[str, Sequence[tuple[float, float]]]:
    """The points of one curve in every revision."""
    return {
        short(revision): [(row["step"], row[key]) for row in rows if row.get(key) is not None]
        for revision, rows in curves.items()
    }


def short(revision: str) -> str:
    """A name that fits next to a bar; experiments differ at the end of theirs."""
    return revision if len(revision) <= LONGEST_NAME else "…" + revision[1 - LONGEST_NAME :]


if __name__ == "__main__":
    sys.exit(run_stage(main))
