"""The tornado chart: one bar a figure, from the cost at its low end to the cost at its high end."""

from collections.abc import Sequence

from engine.core.display import usd
from engine.costing.results import FigureSwing
from engine.html.svg import WIDTH, Chart, mark
from engine.reporting.charts import ROW, ticks

LEFT, RIGHT, TOP = 190, 150, 8


def tornado_chart(swings: Sequence[FigureSwing]) -> Chart:
    """One bar for each swing."""
    costs = [cost for swing in swings for cost in (swing.usd_at_low, swing.usd_at_high)]
    axis = ticks(min(costs), max(costs))
    height = TOP + ROW * len(swings) + 30
    plot = WIDTH - LEFT - RIGHT

    def place(cost: float) -> float:
        return LEFT + plot * (cost - axis[0]) / (axis[-1] - axis[0])

    parts = []
    for tick in axis:
        parts.append(mark("line", x1=place(tick), x2=place(tick), y1=TOP, y2=height - 26, class_="grid"))
        parts.append(mark("text", f"${tick:,g}", x=place(tick), y=height - 8, class_="tick", text_anchor="middle"))
    for index, swing in enumerate(swings):
        middle = TOP + ROW * (index + 0.5)
        left, right = sorted((swing.usd_at_low, swing.usd_at_high))
        rising = swing.usd_at_high >= swing.usd_at_low
        width = max(1.0, place(right) - place(left))
        parts += [
            mark("text", swing.figure.replace("_", " "), x=LEFT - 12, y=middle + 5, class_="label", text_anchor="end"),
            mark(
                "rect",
                x=place(left),
                y=middle - 11,
                width=width,
                height=22,
                rx=3,
                class_="bar highlight" if rising else "bar",
            ),
            mark("text", f"{swing.low:.3g} to {swing.high:.3g}", x=WIDTH - RIGHT + 12, y=middle + 5, class_="value"),
        ]
    spoken = "; ".join(
        f"{swing.figure.replace('_', ' ')} from {usd(swing.usd_at_low)} to {usd(swing.usd_at_high)}" for swing in swings
    )
    return Chart(height, "Cost over three years with one figure at its ends", spoken, parts)
