"""Where a chart's canvas is, which ranges it shows, and its ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tui_gpt.workbench.drawing.decimation import Point, Range, Span, column_of, extremes, thin, visible
from tui_gpt.workbench.drawing.formatting import width_of
from tui_gpt.workbench.drawing.plot_model import Curve, Plot
from tui_gpt.workbench.drawing.ranges import robust_range, round_range, ticks, time_ticks
from tui_gpt.workbench.drawing.sheet import position

NEAR = 0.35  # of the range: how far outside it a level may be and still be drawn as a line
RANGE_COLUMNS = 200  # that a y range is found from

LIMIT = 1e280  # larger numbers overflow in the arithmetic of ranges and ticks; no metric has them


def _bounded(plot: Plot) -> Plot:
    """Return `plot` without numbers too large, or on a logarithmic axis too small, to reckon with."""
    least = 1 / LIMIT if plot.is_log else -LIMIT

    def fits(x: float, *ys: float) -> bool:
        return -LIMIT < x < LIMIT and all(least < y < LIMIT for y in ys)

    curves = [
        replace(
            curve,
            points=[point for point in curve.points if fits(*point)],
            spans=[span for span in curve.spans if fits(span[0], span[2]) and abs(span[1]) < LIMIT],
        )
        for curve in plot.curves
    ]
    levels = [level for level in plot.levels if fits(0.0, level.y)]
    return replace(plot, curves=tuple(curves), levels=tuple(levels))


@dataclass
class Shown:
    """What is within the ranges of a curve. `line` reaches to the borders; `points` are those inside."""

    curve: Curve
    line: list[Point]
    points: list[Point]
    spans: list[Span]


class Layout:
    """The geometry of one drawing. `has_data` says whether there is anything to draw; the rest is set only then."""

    def __init__(self, plot: Plot, width: int, height: int) -> None:
        plot = _bounded(plot)
        self.is_log = plot.is_log
        least = 0.0 if plot.is_log else -math.inf
        xs = [x for curve in plot.curves for x, y in curve.points if least < y < math.inf and x - x == 0]
        xs += [x for curve in plot.curves for x, _, high in curve.spans if least < high < math.inf and x - x == 0]
        self.has_data = bool(xs)
        if not xs:
            return
        low, high = plot.x_range or (min(xs), max(xs))
        if not high - low > max(1e-12 * max(abs(low), abs(high)), 1e-290):
            low, high = low - 0.5 - abs(low) / 1e6, low + 0.5 + abs(low) / 1e6
        self.x_range = low, high
        self.shown = [self._shown(curve, 2 * width) for curve in plot.curves]
        bottom, top = plot.y_range or self._y_range(plot)
        self.y_range = self.scaled(bottom), self.scaled(top)
        has_x_ticks = not plot.is_compact and height >= 5 and width >= 16
        self.lines = height - has_x_ticks
        values = ticks(bottom, top, max(2, min(6, self.lines // 3)), is_log=plot.is_log)
        if plot.is_compact:
            values = [bottom, top]
        labels = plot.y_format(values) if width >= 20 and self.lines >= 3 else []
        gutter = max(map(width_of, labels), default=-1)
        if gutter > width // 3:
            labels, gutter = [], -1
        self.y_ticks = [(self.scaled(y), label.rjust(gutter)) for y, label in zip(values, labels, strict=False)]
        self.left = gutter + 1  # the axis takes one
        self.columns = width - self.left
        self.data_end = max((x for x in xs if low <= x <= high), default=high)
        if not plot.is_compact and self.columns >= 40:
            self._make_room(plot, self.data_end)
        self.x_ticks: list[tuple[float, str]] = []
        if has_x_ticks:
            find = time_ticks if plot.x_is_time else ticks
            found = find(low, high, max(2, min(8, self.columns // 11)))
            self.x_ticks = [(x, plot.x_format(x)) for x in found if low <= x <= high + (high - low) * 1e-9]

    def can_show(self, x: float, y: float) -> bool:
        return math.isfinite(x) and math.isfinite(y) and (y > 0 or not self.is_log)

    def scaled(self, y: float) -> float:
        """Return y as plotext gets it. With ticks of one's own it scales values to logarithms, but not the limits."""
        return math.log10(y) if self.is_log else y

    def column(self, x: float) -> int:
        """Return the column of x, the nearest one where it is outside."""
        return self.left + min(self.columns - 1, max(0, int(position(x, self.x_range, self.columns))))

    def row(self, y: float) -> int:
        """Return the row of y, which may be above or below the canvas."""
        if not math.isfinite(y) or (self.is_log and y <= 0):
            return self.lines
        low, high = self.y_range
        return math.floor(min(1e6, max(-1e6, position(self.scaled(y), (high, low), self.lines))))

    def _make_room(self, plot: Plot, data_end: float) -> None:
        """Extend x by sixteenths until the labels fit beside the ends of the curves."""
        longest = max((width_of(curve.label) for curve in plot.curves if curve.label), default=0)
        room = min(longest + 3, self.columns // 4)
        low, high = self.x_range
        needed = low + (data_end - low) * self.columns / (self.columns - room)
        if longest and needed > high:
            sixteenth = (high - low) / 16
            self.x_range = low, high + math.ceil((needed - high) / sixteenth - 1e-9) * sixteenth

    def _shown(self, curve: Curve, columns: int) -> Shown:
        left, right = self.x_range
        line = thin(visible(curve.points, self.x_range, is_log=self.is_log), self.x_range, columns)
        points = curve.points if curve.style == "points" else line
        inside = [(x, y) for x, y in points if left <= x <= right and self.can_show(x, y)]
        return Shown(curve, line, inside, extremes(curve.spans, self.x_range, columns, is_log=self.is_log))

    def _y_range(self, plot: Plot) -> Range:
        columns: dict[int, tuple[float, float, float]] = {}
        for shown in self.shown:
            points = [(x, y, y, y) for x, y in shown.points]
            for x, low, middle, high in points + [(x, low, low, high) for x, low, high in shown.spans]:
                column = column_of(x, self.x_range, RANGE_COLUMNS)
                known = columns.get(column)
                columns[column] = (
                    (min(known[0], low), max(known[1], middle), max(known[2], high)) if known else (low, middle, high)
                )
        if self.is_log:
            columns = {column: tuple(map(math.log10, values)) for column, values in columns.items()}  # type: ignore
        if not columns:
            return (0.1, 1.0) if self.is_log else (0.0, 1.0)
        low, high = robust_range([columns[column] for column in sorted(columns)])
        for level in plot.levels:
            if self.can_show(0.0, level.y):
                y = self.scaled(level.y)
                reach = NEAR * (high - low)
                low, high = (min(low, y) if y >= low - reach else low), (max(high, y) if y <= high + reach else high)
        if self.is_log:
            low, high = 10**low, 10**high
        return round_range(low, high, is_log=self.is_log, from_zero=plot.from_zero)
