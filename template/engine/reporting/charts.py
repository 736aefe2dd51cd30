"""The charts of the report."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from engine.core.interval import Interval
from engine.html.svg import WIDTH, Chart, mark

Point: TypeAlias = tuple[float, float]
ROW = 44  # height of one bar with its label


class Bar(NamedTuple):
    """One arm: its name, its score between 0 and 1, and whether to highlight it."""

    name: str
    score: Interval
    highlight: bool


def interval_chart(bars: Sequence[Bar], title: str) -> Chart:
    """Horizontal bars from 0 to 100% with their intervals."""
    left, right, top = 170, 150, 8
    height = top + ROW * len(bars) + 30
    plot = WIDTH - left - right
    grid = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + plot * share
        grid.append(mark("line", x1=x, x2=x, y1=top, y2=height - 26, class_="grid"))
        grid.append(mark("text", f"{share:.0%}", x=x, y=height - 8, class_="tick", text_anchor="middle"))
    marks = []
    for index, bar in enumerate(bars):
        middle = top + ROW * (index + 0.5)
        start, end, mean = (left + plot * value for value in (bar.score.low, bar.score.high, bar.score.mean))
        tone = "bar highlight" if bar.highlight else "bar"
        marks += [
            mark("text", bar.name, x=left - 12, y=middle + 5, class_="label", text_anchor="end"),
            mark("rect", x=left, y=middle - 11, width=max(1.0, mean - left), height=22, rx=3, class_=tone),
            mark("line", x1=start, x2=end, y1=middle, y2=middle, class_="whisker"),
            mark("line", x1=start, x2=start, y1=middle - 6, y2=middle + 6, class_="whisker"),
            mark("line", x1=end, x2=end, y1=middle - 6, y2=middle + 6, class_="whisker"),
            mark("text", _percent(bar.score), x=left + plot + 12, y=middle + 5, class_="value"),
        ]
    spoken = "; ".join(f"{bar.name} {_percent(bar.score)}" for bar in bars)
    return Chart(height, title, spoken, [*grid, *marks])


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
