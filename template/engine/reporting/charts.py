"""The charts of the report."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from engine.core.display import usd
from engine.core.interval import Interval
from engine.costing.results import FigureSwing
from engine.html.svg import WIDTH, Chart, mark

Point: TypeAlias = tuple[float, float]
ROW = 44  # height of one bar with its label


class Bar(NamedTuple):
    """One arm: its name, its score between 0 and 1, and whether to highlight it."""

    name: str
    score: Interval
    highlight: bool


class BarMark(NamedTuple):
    """A horizontal bar: what is written at its left and right, where it begins and ends, and what is drawn over it."""

    label: str
    value: str
    start: float
    end: float
    highlight: bool
    whisker: tuple[float, float] | None = None


def bars_chart(bars: Sequence[BarMark], axis: Mapping[float, str], title: str, spoken: str, left: int) -> Chart:
    """Horizontal bars over an axis, which names its ticks from the lowest to the highest; labels are ``left`` wide."""
    right, top = 150, 8
    height = top + ROW * len(bars) + 30
    lowest, highest = min(axis), max(axis)

    def place(value: float) -> float:
        return left + (WIDTH - left - right) * (value - lowest) / (highest - lowest)

    marks = []
    for tick, name in axis.items():
        marks.append(mark("line", x1=place(tick), x2=place(tick), y1=top, y2=height - 26, class_="grid"))
        marks.append(mark("text", name, x=place(tick), y=height - 8, class_="tick", text_anchor="middle"))
    for index, bar in enumerate(bars):
        middle, start, end = top + ROW * (index + 0.5), place(bar.start), place(bar.end)
        tone = "bar highlight" if bar.highlight else "bar"
        marks.append(mark("text", bar.label, x=left - 12, y=middle + 5, class_="label", text_anchor="end"))
        marks.append(mark("rect", x=start, y=middle - 11, width=max(1.0, end - start), height=22, rx=3, class_=tone))
        if bar.whisker:
            low, high = map(place, bar.whisker)
            for x1, x2, reach in ((low, high, 0), (low, low, 6), (high, high, 6)):
                marks.append(mark("line", x1=x1, x2=x2, y1=middle - reach, y2=middle + reach, class_="whisker"))
        marks.append(mark("text", bar.value, x=WIDTH - right + 12, y=middle + 5, class_="value"))
    return Chart(height, title, spoken, marks)


def interval_chart(bars: Sequence[Bar], title: str) -> Chart:
    """Horizontal bars from 0 to 100% with their intervals."""
    shown = [
        BarMark(name, _percent(score), 0, score.mean, highlight, (score.low, score.high))
        for name, score, highlight in bars
    ]
    spoken = "; ".join(f"{bar.label} {bar.value}" for bar in shown)
    axis = {share: f"{share:.0%}" for share in (0, 0.25, 0.5, 0.75, 1)}
    return bars_chart(shown, axis, title, spoken, left=170)


def tornado_chart(swings: Sequence[FigureSwing]) -> Chart:
    """One bar for each figure, from the cost at its low end to the cost at its high end."""
    shown = []
    for swing in swings:
        start, end = sorted((swing.usd_at_low, swing.usd_at_high))
        name, ends = swing.figure.replace("_", " "), f"{swing.low:.3g} to {swing.high:.3g}"
        shown.append(BarMark(name, ends, start, end, swing.usd_at_high >= swing.usd_at_low))
    costs = [cost for bar in shown for cost in (bar.start, bar.end)]
    axis = {tick: f"${tick:,g}" for tick in ticks(min(costs), max(costs))}
    spoken = "; ".join(
        f"{bar.label} from {usd(swing.usd_at_low)} to {usd(swing.usd_at_high)}"
        for bar, swing in zip(shown, swings, strict=True)
    )
    return bars_chart(shown, axis, "Cost over three years with one figure at its ends", spoken, left=190)


def line_chart(series: Mapping[str, Sequence[Point]], title: str, x_name: str) -> Chart | None:
    """Lines over a common x axis, each named at its end; None without any. Points that are not finite are left out."""
    lines = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return None
    left, right, top, height = 56, 110, 12, 280
    everything = [point for points in lines.values() for point in points]
    x_ticks, y_ticks = (ticks(min(axis), max(axis)) for axis in zip(*everything, strict=True))
    plot_width, plot_height = WIDTH - left - right, height - top - 40

    def place(point: Point) -> Point:
        x = (point[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        y = (point[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + plot_width * x, top + plot_height * (1 - y)

    parts = []
    for tick in y_ticks:
        _, y = place((x_ticks[0], tick))
        parts.append(mark("line", x1=left, x2=left + plot_width, y1=y, y2=y, class_="grid"))
        parts.append(mark("text", f"{tick:g}", x=left - 8, y=y + 4, class_="tick", text_anchor="end"))
    for tick in x_ticks:
        x, _ = place((tick, y_ticks[0]))
        parts.append(mark("text", f"{tick:g}", x=x, y=height - 24, class_="tick", text_anchor="middle"))
    parts.append(mark("text", x_name, x=left + plot_width / 2, y=height - 6, class_="tick", text_anchor="middle"))
    for index, (name, points) in enumerate(lines.items()):
        placed = [place(point) for point in points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
        parts.append(mark("path", d=path, class_=f"line line{index}"))
        parts += [mark("circle", cx=x, cy=y, r=3, class_=f"dot dot{index}") for x, y in placed if len(placed) <= 40]
        label_y = placed[-1][1] + 4 + 16 * index * (abs(placed[-1][1] - place(next(iter(lines.values()))[-1])[1]) < 14)
        parts.append(mark("text", name, x=left + plot_width + 10, y=label_y, class_=f"value text{index}"))
    spoken = "; ".join(f"{name} from {points[0][1]:.3g} to {points[-1][1]:.3g}" for name, points in lines.items())
    return Chart(height, title, spoken, parts)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers (1, 2 or 5 times a power of ten apart) that enclose both ends."""
    if high <= low:
        low, high = low - 0.5, low + 0.5
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _percent(score: Interval) -> str:
    return f"{100 * score.mean:.1f}%  [{100 * score.low:.1f}, {100 * score.high:.1f}]"
