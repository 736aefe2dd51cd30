"""The ladder as a page: what each rung scores for its money, and which are not beaten in both."""

from pathlib import Path
from typing import Any

from engine.core.display import usd
from engine.html.pages import render
from engine.html.svg import WIDTH, Chart, mark
from engine.reporting.charts import ticks


def ladder_page(ladder: dict[str, Any]) -> str:
    """The whole page, self-contained."""
    priced = [rung for rung in ladder["rungs"] if rung["usd"] is not None]
    chart = pareto_chart(priced, ladder["bar"]) if priced else None
    return render("ladder.html.j2", (usd,), Path(__file__).parent, ladder=ladder, chart=chart)


def pareto_chart(rungs: list[dict[str, Any]], bar: float) -> Chart:
    """Score from 0 to 100% over dollars; a line joins the rungs that no other beats in both."""
    left, right, top, height = 56, 110, 12, 320
    width, depth = WIDTH - left - right, height - top - 40
    steps = ticks(min(rung["usd"] for rung in rungs), max(rung["usd"] for rung in rungs))

    def x(amount: float) -> float:
        return left + width * (amount - steps[0]) / (steps[-1] - steps[0])

    def y(score: float) -> float:
        return top + depth * (1 - score)

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(mark("line", x1=left, x2=left + width, y1=y(share), y2=y(share), class_="grid"))
        parts.append(mark("text", f"{share:.0%}", x=left - 8, y=y(share) + 4, class_="tick", text_anchor="end"))
    parts += [mark("text", usd(step), x=x(step), y=height - 24, class_="tick", text_anchor="middle") for step in steps]
    parts.append(mark("line", x1=left, x2=left + width, y1=y(bar), y2=y(bar), class_="line line1"))
    best = sorted((rung for rung in rungs if rung["pareto"]), key=lambda rung: float(rung["usd"]))
    path = "M" + "L".join(f"{x(rung['usd']):.1f} {y(rung['score']['mean']):.1f}" for rung in best)
    parts.append(mark("path", d=path, class_="line"))
    for rung in rungs:
        place, score = x(rung["usd"]), rung["score"]
        parts += [
            mark("line", x1=place, x2=place, y1=y(score["low"]), y2=y(score["high"]), class_="whisker"),
            mark("circle", cx=place, cy=y(score["mean"]), r=5, class_="dot" if rung["pareto"] else "dot dot1"),
            mark("text", rung["name"], x=place + 10, y=y(score["mean"]) - 8, class_="value"),
        ]
    spoken = "; ".join(f"{rung['name']} {rung['score']['mean']:.1%} for {usd(rung['usd'])}" for rung in rungs)
    return Chart(height, "Score and cost of each rung", spoken, parts)
