"""Curves as a matrix of cells: braille dots, quadrant blocks or ASCII, with ticks, labels, levels and marks.

A curve is rasterised as one integer of bits for each column of dots, so that a vertical run of any length costs one
operation: a redraw at 200×60 takes 3 ms (25 with plotext, whose output had to be parsed back into cells). Two things
keep most cells still while a run goes on: the x range is fixed or doubles, and the y range moves in round steps.
Values that are not finite, or not positive on a log axis, are left out here and marked where they began.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from tui_gpt.workbench.canvas import Row, Span
from tui_gpt.workbench.text import short

Points = Sequence[tuple[float, float]]

DOTS = {"braille": (2, 4), "block": (2, 2), "ascii": (1, 1)}  # dots of a cell: across, down
FINENESS = {glyphs: across for glyphs, (across, _) in DOTS.items()}
_LEFT, _RIGHT = (0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)  # braille's dots, downwards
_QUADRANTS = " ▘▖▌▝▀▞▛▗▚▄▙▐▜▟█"  # by bits: upper left, lower left, upper right, lower right


@dataclass
class Curve:
    """One line: points in order of x, drawn in `role`."""

    points: Points
    role: str
    marker: str = ""  # another than the glyph set's, for terminals without colour


@dataclass
class Plot:
    """What to draw: curves from back to front, level lines, and x positions of values that are no numbers."""

    curves: list[Curve] = field(default_factory=list)
    levels: list[tuple[float, str]] = field(default_factory=list)
    breaks: list[float] = field(default_factory=list)
    x_max: float = 1.0
    log_y: bool = False
    y_from_zero: bool = False
    x_label: Callable[[float], str] = short
    y_label: Callable[[float], str] = short


def doubling(value: float, start: float = 64.0) -> float:
    """The least `start` × 2ⁿ that is no less than `value`: a range that seldom moves."""
    while start < value:
        start *= 2
    return start


def envelope(points: Sequence[tuple[float, float, float]], x_max: float, columns: int) -> list[tuple[float, float]]:
    """(x, low, high) points as one line with at most a low and a high for each of `columns`."""
    if len(points) <= columns:
        return [(x, value) for x, low, high in points for value in ((low,) if low == high else (low, high))]
    lows, highs = [math.inf] * (columns + 1), [-math.inf] * (columns + 1)
    scale = columns / x_max if x_max > 0 else 0.0
    for x, low, high in points:
        column = min(columns, max(0, int(x * scale)))
        lows[column], highs[column] = min(lows[column], low), max(highs[column], high)
    out: list[tuple[float, float]] = []
    for column, (low, high) in enumerate(zip(lows, highs, strict=True)):
        if low <= high:
            x = (column + 0.5) / scale
            out += [(x, low)] if low == high else [(x, low), (x, high)]
    return out


def thin(points: Points, x_max: float, columns: int) -> Points:
    """The last point of each of `columns`."""
    if len(points) <= columns:
        return points
    scale = columns / x_max if x_max > 0 else 0.0
    last = {min(columns, int(x * scale)): (x, y) for x, y in points}
    return [last[column] for column in sorted(last)]


def y_range(values: Sequence[float], *, log: bool, from_zero: bool = False) -> tuple[float, float]:
    """Round bounds around `values`: they move only when data crosses them."""
    low, high = min(values), max(values)
    if log:
        return _log_floor(low), _log_ceil(high)
    if from_zero:
        low = min(0.0, low)
    if low == high:
        low, high = (
            (low - abs(low) * 0.1 - 0.05, high + abs(high) * 0.1 + 0.05) if not from_zero else (low, high or 1.0)
        )
    step = nice_step((high - low) / 4)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


_LOG_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)


def _log_floor(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in _LOG_STEPS if step * power <= value * (1 + 1e-9)) if value >= power else power


def _log_ceil(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return min((step * power for step in (*_LOG_STEPS, 10.0) if step * power >= value * (1 - 1e-9)), default=10 * power)


def nice_step(raw: float) -> float:
    """The least of 1, 2, 2.5 or 5 × 10ⁿ that is no less than `raw`."""
    if raw <= 0 or not math.isfinite(raw):
        return 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next((step * power for step in (1, 2, 2.5, 5) if step * power >= raw * (1 - 1e-9)), 10 * power)


def draw(plot: Plot, width: int, height: int, glyphs: str = "braille") -> list[Row]:
    """`height` rows of `width` cells: the curves, y labels at the left, x labels in the last row."""
    usable = [_usable(curve.points, plot.log_y) for curve in plot.curves]
    values = [y for points in usable for _, y in points]
    if not values:
        return []
    levels = [(level, role) for level, role in plot.levels if math.isfinite(level) and (level > 0 or not plot.log_y)]
    low, high = y_range([*values, *(level for level, _ in levels)], log=plot.log_y, from_zero=plot.y_from_zero)
    rows_high = height - 1
    if rows_high < 1 or width < 12:
        return []
    scale = math.log10 if plot.log_y else float
    bottom, top = scale(low), scale(high)
    if bottom == top:
        bottom, top = bottom - 0.5, top + 0.5

    def y_of(value: float) -> int:
        return min(rows_high - 1, int(rows_high * (top - scale(value)) / (top - bottom)))

    ticks = _ticks(low, high, rows_high, log=plot.log_y)
    labels: dict[int, str] = {}
    for tick in ticks:
        labels.setdefault(y_of(tick), plot.y_label(tick))
    gutter = max(len(label) for label in labels.values()) + 1
    inner = width - gutter - 1
    if inner < 4:
        return []
    cells: list[list[Span]] = [[(" ", "text")] * inner for _ in range(rows_high)]
    for level, role in levels:
        y = y_of(level)
        if 0 <= y < rows_high:
            cells[y] = [("┄", role)] * inner
    across, down = DOTS[glyphs]
    x_scale = (inner * across - 1) / plot.x_max if plot.x_max > 0 else 0.0
    y_scale = (rows_high * down - 1) / (top - bottom)
    drawn: list[int] = [0] * (inner * across)
    for curve, points in zip(plot.curves, usable, strict=True):
        dots = [(x * x_scale, (top - scale(y)) * y_scale) for x, y in points]
        columns = rasterise(dots, inner * across, rows_high * down)
        drawn = [before | now for before, now in zip(drawn, columns, strict=True)]
        _lay(cells, columns, drawn, glyphs, curve)
    for x in plot.breaks:
        column = min(inner - 1, max(0, int(x / plot.x_max * inner))) if plot.x_max > 0 else 0
        cells[0][column] = ("✗", "bad")
    rows: list[Row] = []
    for y, line in enumerate(cells):
        label = labels.get(y, "")
        axis = "┤" if label else "│"
        rows.append(_joined([(label.rjust(gutter), "dim"), (axis, "faint"), *line]))
    rows.append(_x_axis(plot, gutter, inner))
    return rows


def _usable(points: Points, log: bool) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log)]


def _ticks(low: float, high: float, rows: int, *, log: bool) -> list[float]:
    wanted = max(2, min(6, rows // 3 + 1))
    if log:
        ticks = [low]
        decade = 10.0 ** math.floor(math.log10(low))
        for factor in range(200):
            value = decade * (1, 2, 5)[factor % 3] * 10 ** (factor // 3)
            if low < value < high:
                ticks.append(value)
            if value >= high:
                break
        ticks.append(high)
        while len(ticks) > wanted + 1:
            ticks = [ticks[0], *ticks[2:-1:2], ticks[-1]]
        return ticks
    step = nice_step((high - low) / wanted)
    first = math.ceil(low / step - 1e-9)
    return [(first + index) * step for index in range(wanted + 2) if (first + index) * step <= high + step * 1e-6]


def rasterise(dots: Points, width: int, height: int) -> list[int]:
    """A line through `dots` (x to the right, y downwards) as `width` columns of bits, bit y set for a dot in row y."""
    columns = [0] * width
    if len(dots) == 1:
        _fill(columns, dots[0][0], dots[0][1], dots[0][1], height)
    for (x0, y0), (x1, y1) in pairwise(dots):
        first, last = round(x0), round(x1)
        if first >= last:
            _fill(columns, x0, y0, y1, height)
            continue
        slope = (y1 - y0) / (x1 - x0)
        for column in range(max(0, first), min(width - 1, last) + 1):  # what the line crosses between column borders
            begin = y0 if column == first else y0 + (column - 0.5 - x0) * slope
            end = y1 if column == last else y0 + (column + 0.5 - x0) * slope
            _fill(columns, column, begin, end, height)
    return columns


def _fill(columns: list[int], x: float, y0: float, y1: float, height: int) -> None:
    column = round(x)
    low, high = round(min(y0, y1)), round(max(y0, y1))
    low, high = max(0, low), min(height - 1, high)
    if 0 <= column < len(columns) and low <= high:
        columns[column] |= (1 << (high + 1)) - (1 << low)


def _lay(cells: list[list[Span]], own: list[int], drawn: list[int], glyphs: str, curve: Curve) -> None:
    """Put the cells that a curve touches on `cells`, in its role, with the dots of what lies behind it."""
    across, down = DOTS[glyphs]
    mask = (1 << down) - 1
    for x in range(len(own) // across):
        touched = own[x * across] | own[x * across + across - 1]
        y = 0
        while touched:
            if touched & mask:
                left = drawn[x * across] >> (y * down) & mask
                right = drawn[x * across + across - 1] >> (y * down) & mask
                cells[y][x] = (curve.marker or _glyph(left, right, glyphs), curve.role)
            touched >>= down
            y += 1


@lru_cache(1024)
def _glyph(left: int, right: int, glyphs: str) -> str:
    if glyphs == "ascii":
        return "*"
    if glyphs == "block":
        return _QUADRANTS[left | right << 2]
    return chr(
        0x2800
        + sum(_LEFT[bit] for bit in range(4) if left >> bit & 1)
        + sum(_RIGHT[bit] for bit in range(4) if right >> bit & 1)
    )


def _x_axis(plot: Plot, gutter: int, inner: int) -> Row:
    step = nice_step(plot.x_max / max(2, min(8, inner // 12)))
    line = [" "] * (gutter + 1 + inner)
    taken = -1
    value = 0.0
    while value <= plot.x_max * (1 + 1e-9):
        label = plot.x_label(value)
        centre = gutter + 1 + round(value / plot.x_max * (inner - 1)) if plot.x_max > 0 else gutter + 1
        start = min(max(gutter, centre - len(label) // 2), len(line) - len(label))
        if start > taken:
            line[start : start + len(label)] = label
            taken = start + len(label) + 1
        value += step
    return (("".join(line), "dim"),)


def _joined(spans: list[Span]) -> Row:
    """Neighbours of one role as one span."""
    out: list[Span] = []
    text: list[str] = []
    role = ""
    for char, its in spans:
        if its != role and text:
            out.append(("".join(text), role))
            text = []
        text.append(char)
        role = its
    if text:
        out.append(("".join(text), role))
    return tuple(out)
