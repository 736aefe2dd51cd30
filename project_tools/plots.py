"""The plots of dvc.yaml without a network: ``tunesmith tool plots [REVISION ...]`` writes reports/plots.html.

``dvc plots show`` and ``dvc plots diff`` write a page that loads Vega from a content delivery network. This page holds
the same plots as pictures, of the workspace and of any commits, branches and experiments that are named.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from engine.core.artifacts import PLOTS_PAGE
from engine.core.display import in_order
from engine.core.errors import ProjectError, run_stage
from engine.core.interval import Interval
from engine.core.io import write_text
from engine.html.pages import render
from engine.html.svg import WIDTH, Chart, mark
from engine.reporting.charts import Bar, interval_chart, line_chart
from project_tools.git_revisions import WORKSPACE, read_at

Rows: TypeAlias = list[dict[str, Any]]  # the data of a plot
ARMS, CURVES, CONFUSION = "reports/arms.json", "reports/curves.json", "reports/confusion.json"
LOSSES = {"Loss": "loss", "Loss on dev": "eval_loss"}
LONGEST_NAME = 22  # characters next to a bar
LONGEST_LABEL = 34  # characters next to a row of a matrix


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
    return render("plots.html.j2", (), Path(__file__).parent, revisions=list(arms), charts=charts | losses | matrices)


def pairs(rows: Rows) -> Counter[tuple[str, str]]:
    """How often each label was taken for each."""
    return Counter((row["actual"], row["predicted"]) for row in rows)


def matrix_chart(counts: Mapping[tuple[str, str], int], title: str) -> Chart:
    """Rows are actual labels, columns predicted ones, by the same numbers; a cell shows its share of the row."""
    labels = sorted({label for pair in counts for label in pair})
    totals = {row: sum(counts.get((row, column), 0) for column in labels) for row in labels}
    left, top = 300, 24
    cell = min(32.0, (WIDTH - left - 8) / len(labels))
    parts = []
    for place, row in enumerate(labels):
        y = top + cell * place
        name = row if len(row) <= LONGEST_LABEL else row[: LONGEST_LABEL - 1] + "…"
        middle, baseline = left + cell * (place + 0.5), y + cell / 2 + 4
        parts.append(mark("text", f"{name}  {place + 1}", x=left - 6, y=baseline, class_="tick", text_anchor="end"))
        parts.append(mark("text", str(place + 1), x=middle, y=top - 8, class_="tick", text_anchor="middle"))
        for number, column in enumerate(labels):
            if count := counts.get((row, column), 0):
                told = f"{row} taken for {column}: {count} of {totals[row]}"
                box = {"x": left + cell * number, "y": y, "width": cell - 1, "height": cell - 1}
                share = round(0.15 + 0.85 * count / totals[row], 3)
                tone = "bar highlight" if row == column else "bar"
                parts.append(mark("rect", "", told, **box, class_=tone, style=f"fill-opacity: {share}"))
    right = sum(count for (row, column), count in counts.items() if row == column)
    return Chart(top + cell * len(labels) + 8, title, f"{right} of {sum(counts.values())} labels are right", parts)


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
