"""The ladder as a page: what each rung scores for its money, and which are not beaten in both."""

from typing import Any
from xml.etree.ElementTree import Element

from engine.core.display import percent, usd
from engine.core.interval import Interval
from engine.html.elements import Node, document, h, table
from engine.reporting.charts import WIDTH, svg, ticks


def ladder_page(ladder: dict[str, Any]) -> str:
    """The whole page, self-contained."""
    cells: list[list[Node]] = [
        [
            rung["name"] + (" *" if rung["pareto"] else ""),
            percent(Interval(**rung["score"])),
            "" if rung["trained_parameters"] is None else f"{rung['trained_parameters']:,}",
            dollars(rung["usd"]),
            dollars(rung["usd_per_point"]),
            rung["experiment"],
        ]
        for rung in ladder["rungs"]
    ]
    header = ["Rung", ladder["metric"], "Trained parameters", "$ in the first month", "$ a point", "Experiment"]
    caption = "Training once, and a month of requests. * No other rung is better and cheaper."
    priced = [rung for rung in ladder["rungs"] if rung["usd"] is not None]
    chart = pareto_chart(priced, ladder["bar"]) if priced else None
    body = (
        h("header", h("h1", "The smallest that meets the bar"), h("p", ladder["conclusion"])),
        h("figure", chart, h("figcaption", f"{ladder['metric']} against $; dashed: the bar"))
        if chart is not None
        else None,
        table(header, cells, caption),
    )
    return document("Ladder", *body)


def dollars(amount: float | None) -> str:
    """An amount, or that it is not known."""
    return "unknown" if amount is None else usd(amount)


def pareto_chart(rungs: list[dict[str, Any]], bar: float) -> Element:
    """Score from 0 to 100% over dollars; a line joins the rungs that no other beats in both."""
    left, right, top, height = 56, 110, 12, 320
    width, depth = WIDTH - left - right, height - top - 40
    marks = ticks(min(rung["usd"] for rung in rungs), max(rung["usd"] for rung in rungs))

    def x(amount: float) -> float:
        return left + width * (amount - marks[0]) / (marks[-1] - marks[0])

    def y(score: float) -> float:
        return top + depth * (1 - score)

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(h("line", x1=left, x2=left + width, y1=y(share), y2=y(share), class_="grid"))
        parts.append(h("text", f"{share:.0%}", x=left - 8, y=y(share) + 4, class_="tick", text_anchor="end"))
    parts += [h("text", usd(mark), x=x(mark), y=height - 24, class_="tick", text_anchor="middle") for mark in marks]
    parts.append(h("line", x1=left, x2=left + width, y1=y(bar), y2=y(bar), class_="line line1"))
    best = sorted((rung for rung in rungs if rung["pareto"]), key=lambda rung: float(rung["usd"]))
    path = "M" + "L".join(f"{x(rung['usd']):.1f} {y(rung['score']['mean']):.1f}" for rung in best)
    parts.append(h("path", d=path, class_="line"))
    for rung in rungs:
        place, score = x(rung["usd"]), rung["score"]
        parts += [
            h("line", x1=place, x2=place, y1=y(score["low"]), y2=y(score["high"]), class_="whisker"),
            h("circle", cx=place, cy=y(score["mean"]), r=5, class_="dot" if rung["pareto"] else "dot dot1"),
            h("text", rung["name"], x=place + 10, y=y(score["mean"]) - 8, class_="value"),
        ]
    spoken = "; ".join(f"{rung['name']} {rung['score']['mean']:.1%} for {usd(rung['usd'])}" for rung in rungs)
    return svg(height, "Score and cost of each rung", spoken, parts)
