"""Draw a plot into rows of text in roles: the curves by plotext, labels and marks laid over them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.cells import split_graphemes

from tui_gpt.workbench.drawing import sheet
from tui_gpt.workbench.drawing.decimation import Point, Range, extremes, runs_outside, thin, value_at, visible, zigzag
from tui_gpt.workbench.drawing.formatting import cut, format_short, width_of
from tui_gpt.workbench.drawing.plot_model import Curve, Mark, Plot
from tui_gpt.workbench.drawing.ranges import robust_range, round_range, ticks
from tui_gpt.workbench.drawing.sanitizing import to_ascii
from tui_gpt.workbench.drawing.sheet import Axis, Signal

Place = tuple[int, int]  # row, column

LINES = {"braille": ("braille", 2), "block": ("hd", 2), "ascii": ("*", 1)}  # plotext's marker, and its dots in a cell
POINTS = {"braille": "◆", "block": "◆", "ascii": "o"}
BANDS = {"braille": "░", "block": "░", "ascii": "."}
ASCII_MARKS = str.maketrans("▲▼★▴↻✗⚑┈", "^v@^>xP-")
BLANK = frozenset({"text"})
SOFT = frozenset({"text", "band", "floor"})  # roles that a label may cover
LIMIT = 1e280  # larger numbers overflow in the arithmetic of ranges and ticks; no metric has them
RANGE_COLUMNS = 200  # that a y range is found from
NEAR = 0.35  # of the range: how far outside it a level may be and still be drawn as a line
NEAR_END = 12  # columns: labels of curves that end so close to each other are aligned
MAX_CUTS = 3  # labels for what is cut off
CUT_SLACK = 0.1  # of the height: what reaches no farther beyond the edge needs no label


@dataclass
class Drawing:
    """Rows of (text, role), and where x values are in them. No rows when there is nothing that can be drawn."""

    rows: list[list[tuple[str, str]]]
    left: int = 0  # the first column of the canvas
    columns: int = 1
    lines: int = 1  # rows of the canvas
    x_range: Range = (0.0, 1.0)
    data_end: float = 0.0  # x of the last point that is shown

    def column_of(self, x: float) -> int | None:
        """Return the column of `x`, None when it is outside."""
        if not self.x_range[0] <= x <= self.x_range[1]:
            return None
        return self.left + min(self.columns - 1, int(sheet.position(x, self.x_range, self.columns)))

    def x_at(self, column: int) -> float:
        """Return the x value in the middle of `column`."""
        value = sheet.value_at(column - self.left, self.x_range, self.columns)
        return min(self.x_range[1], max(self.x_range[0], value))


def render(plot: Plot, width: int, height: int, glyphs: str = "braille", *, has_color: bool = True) -> Drawing:
    """Draw `plot` into `height` rows of `width` cells with the glyphs `braille`, `block` or `ascii`."""
    plot = _drawable(plot)
    xs = [x for curve in plot.curves for x, *_ in (*curve.points, *curve.spans)]
    if not xs or width < 1 or height < 1:
        return Drawing([])
    picture = _Picture(plot, xs, width, height, glyphs)
    shows_letters = glyphs == "ascii" or not has_color
    if shows_letters and glyphs != "ascii":
        picture.put_letters()
    if not plot.is_compact and picture.columns >= 24 and picture.lines >= 4:
        picture.put_marks(mark for mark in plot.marks if mark.place == "at")
        picture.put_ends(with_letters=shows_letters)
        picture.put_levels()
        picture.put_cuts()
        picture.put_marks(mark for mark in plot.marks if mark.place != "at")
    return Drawing(picture.rows(), picture.left, picture.columns, picture.lines, picture.x_range, picture.data_end)


def _drawable(plot: Plot) -> Plot:
    """Return `plot` without numbers that cannot be drawn, y as logarithms where its axis is logarithmic."""
    least = 1 / LIMIT if plot.is_log else -LIMIT
    scaled = math.log10 if plot.is_log else float
    curves = [
        replace(
            curve,
            points=[(x, scaled(y)) for x, y in curve.points if -LIMIT < x < LIMIT and least < y < LIMIT],
            spans=[
                (x, scaled(low if low > least else high), scaled(high))
                for x, low, high in curve.spans
                if -LIMIT < x < LIMIT and least < high < LIMIT
            ],
        )
        for curve in plot.curves
    ]
    levels = [replace(level, y=scaled(level.y)) for level in plot.levels if least < level.y < LIMIT]
    marks = [
        replace(mark, y=scaled(mark.y) if least < mark.y < LIMIT else math.nan)
        for mark in plot.marks
        if -LIMIT < mark.x < LIMIT
    ]
    return replace(plot, curves=tuple(curves), levels=tuple(levels), marks=tuple(marks))


class _Picture:
    """The cells of a drawing. Labels and marks are put on them where there is room."""

    def __init__(self, plot: Plot, xs: Sequence[float], width: int, height: int, glyphs: str) -> None:
        low, high = plot.x_range or (min(xs), max(xs))
        if not high - low > max(1e-12 * max(abs(low), abs(high)), 1e-290):
            low, high = low - 0.5 - abs(low) / 1e6, low + 0.5 + abs(low) / 1e6
        self.plot, self.glyphs, self.x_range = plot, glyphs, (low, high)
        self.data_end = max((x for x in xs if low <= x <= high), default=high)
        self.curves = [self._reduced(curve, width) for curve in plot.curves]
        has_x_ticks = not plot.is_compact and height >= 5 and width >= 16
        self.lines = height - has_x_ticks
        bottom, top = self._y_range()
        values = [bottom, top]
        if not plot.is_compact:
            values = ticks(bottom, top, max(2, min(6, self.lines // 3)), is_log=plot.is_log)
        labels = plot.y_format(values) if width >= 20 and self.lines >= 3 else []
        gutter = max(map(width_of, labels), default=-1)
        if gutter > width // 3:
            labels, gutter = [], -1
        scaled = math.log10 if plot.is_log else float
        self.y_range = scaled(bottom), scaled(top)
        y_ticks = [(scaled(y), label.rjust(gutter)) for y, label in zip(values, labels, strict=False)]
        self.left = gutter + 1  # the axis takes one
        self.columns = width - self.left
        if not plot.is_compact and self.columns >= 40:
            self._make_room()
        x_ticks = []
        if has_x_ticks:
            found = ticks(low, high, max(2, min(8, self.columns // 11)), is_time=plot.x_is_time)
            x_ticks = [(x, plot.x_format(x)) for x in found if low <= x <= high + (high - low) * 1e-9]
        axes = Axis(self.x_range, x_ticks), Axis(self.y_range, y_ticks)
        levels = [(level.y, level.role) for level in plot.levels if self.y_range[0] <= level.y <= self.y_range[1]]
        self.cells = sheet.draw(width, height, *axes, levels, self._signals())

    def _reduced(self, curve: Curve, width: int) -> Curve:
        """Return what is within the range of x, no more of it than can be seen."""
        if curve.style == "points":
            points = [point for point in curve.points if self.x_range[0] <= point[0] <= self.x_range[1]]
        else:
            dots = width * LINES[self.glyphs][1]
            points = thin(visible(curve.points, self.x_range), self.x_range, dots)
        return replace(curve, points=points, spans=extremes(curve.spans, self.x_range, width))

    def _y_range(self) -> Range:
        """Return the range of values to show, with the levels near to them."""
        is_log, (left, right) = self.plot.is_log, self.x_range
        scale = RANGE_COLUMNS / (right - left)
        columns = defaultdict(list)
        for curve in self.curves:
            values = [(x, y, y, y) for x, y in curve.points] + [(x, low, low, high) for x, low, high in curve.spans]
            for x, *values_there in values:
                columns[min(RANGE_COLUMNS - 1, int((x - left) * scale))].append(values_there)
        if not columns:
            return (0.1, 1.0) if is_log else (0.0, 1.0)
        found = [tuple(zip(*columns[column], strict=True)) for column in sorted(columns)]
        low, high = robust_range([(min(lows), max(middles), max(highs)) for lows, middles, highs in found])
        for level in self.plot.levels:
            if low - NEAR * (high - low) <= level.y <= high + NEAR * (high - low):
                low, high = min(low, level.y), max(high, level.y)
        if is_log:
            low, high = 10**low, 10**high
        return round_range(low, high, is_log=is_log, from_zero=self.plot.from_zero)

    def _make_room(self) -> None:
        """Extend x by sixteenths until the labels fit beside the ends of the curves."""
        longest = max((width_of(curve.label) for curve in self.curves), default=0)
        room = min(longest + 3, self.columns // 4)
        low, high = self.x_range
        needed = low + (self.data_end - low) * self.columns / (self.columns - room)
        if longest and needed > high:
            sixteenth = (high - low) / 16
            self.x_range = low, high + math.ceil((needed - high) / sixteenth - 1e-9) * sixteenth

    def _signals(self) -> list[Signal]:
        """Return what plotext draws: the values behind curves, then curves, then points that are not joined."""
        bottom, top = self.y_range
        height = top - bottom

        def near(points: Iterable[Point]) -> list[Point]:  # a far point costs as many dots as the line to it has
            return [(x, min(top + height, max(bottom - height, y))) for x, y in points]

        line = LINES[self.glyphs][0]
        bands = [Signal(near(zigzag(each.spans)), "band", BANDS[self.glyphs]) for each in self.curves if each.spans]
        curves = [
            Signal(near(each.points), each.role, each.letter or line if self.glyphs == "ascii" else line)
            for each in self.curves
            if each.style == "line"
        ]
        points = [
            Signal(near(each.points), each.role, POINTS[self.glyphs], is_joined=False)
            for each in self.curves
            if each.style == "points"
        ]
        return [signal for signal in (*bands, *curves, *points) if signal.points]

    def column(self, x: float) -> int:
        """Return the column of x, the nearest one where it is outside."""
        return self.left + min(self.columns - 1, max(0, int(sheet.position(x, self.x_range, self.columns))))

    def row(self, y: float) -> int:
        """Return the row of y, which may be above or below the canvas, as is one that is no number."""
        low, high = self.y_range
        place = sheet.position(y, (high, low), self.lines)
        return math.floor(min(1e6, max(-1e6, place))) if math.isfinite(place) else self.lines

    # ── labels and marks ────────────────────────────────────────────────────────────────────────────────────────────

    def is_free(self, row: int, column: int, width: int, soft: frozenset[str]) -> bool:
        """Return whether the cells, and one on each side of them, can be covered."""
        if not 0 <= row < self.lines or column < self.left or column + width > self.left + self.columns:
            return False
        return soft.issuperset(self.cells[row][1][max(self.left, column - 1) : column + width + 1])

    def put(self, row: int, column: int, text: str, role: str) -> None:
        characters, roles = self.cells[row]
        for start, end, cells in split_graphemes(text)[0]:
            characters[column : column + cells] = [text[start:end]] + [""] * (cells - 1)
            roles[column : column + cells] = [role] * cells
            column += cells

    def put_first(self, text: str, role: str, places: Sequence[Place], *, over_blank_first: bool = True) -> bool:
        """Put `text` at the first place where there is room, if need be over the values behind a curve."""
        for soft in (BLANK, SOFT) if over_blank_first else (SOFT,):
            for row, column in places:
                if self.is_free(row, column, width_of(text), soft):
                    self.put(row, column, text, role)
                    return True
        return False

    def put_letters(self) -> None:
        """Put the letter of each curve on it, at every sixth of the chart's width."""
        pace = max(6, self.columns // 6)
        for index, curve in enumerate(curve for curve in self.curves if curve.letter and len(curve.points) > 1):
            for column in range(self.left + 2 + 2 * index % pace, self.left + self.columns, pace):
                x = sheet.value_at(column - self.left, self.x_range, self.columns)
                if curve.points[0][0] <= x <= curve.points[-1][0]:
                    row = self.row(value_at(curve.points, x))
                    if 0 <= row < self.lines:
                        self.put(row, column, curve.letter, curve.role)

    def put_ends(self, *, with_letters: bool) -> None:
        """Put the labels of curves at their right ends, above and below each other."""
        ends = [(*curve.points[-1], curve) for curve in self.curves if curve.label and curve.points]
        ends.sort(key=lambda end: end[1], reverse=True)
        rightmost = max((self.column(x) for x, _, _ in ends), default=0)
        for index, (x, y, curve) in enumerate(ends):
            text = f"{curve.letter} {curve.label}" if with_letters and curve.letter else curve.label
            text = cut(text, max(4, self.columns // 3))
            row = min(self.lines - 1, max(0, self.row(y)))
            end = self.column(x)
            end = rightmost if rightmost - end <= NEAR_END else end
            column = min(end + 2, self.left + self.columns - width_of(text))
            outwards = -1 if index * 2 < len(ends) - 1 else 1
            offsets = sorted(range(-5, 6), key=lambda offset: (abs(offset), offset * outwards < 0))
            places = [(row + offset, column) for offset in offsets]
            self.put_first(text, curve.role, places, over_blank_first=False)

    def put_levels(self) -> None:
        """Put the label of each level at the right margin, with an arrow where the level is outside."""
        for level in self.plot.levels:
            row = self.row(level.y)
            arrow = " ↑" if row < 0 else " ↓" if row >= self.lines else ""
            text = f" {level.label}{arrow}"
            row = min(self.lines - 1, max(0, row))
            column = self.left + self.columns - width_of(text)
            self.put_first(text, level.role, [(at, column) for at in (row, row - 1, row + 1)], over_blank_first=False)

    def put_cuts(self) -> None:
        """Mark at the upper and lower edge what the y range cuts off, with its farthest value."""
        low, high = self.y_range
        slack = (high - low) * CUT_SLACK
        for above, limit, arrow in ((True, high + slack, "▲"), (False, low - slack, "▼")):
            found = []
            for curve in self.curves:
                spans = [(x, top if above else bottom) for x, bottom, top in curve.spans]
                found += runs_outside(spans or curve.points, limit, above=above)
            found.sort(key=lambda point: point[1], reverse=above)
            row = 0 if above else self.lines - 1
            for x, y in found[:MAX_CUTS]:
                text = f"{arrow} {format_short(10**y if self.plot.is_log else y)}"
                column = self.column(x)
                reach = max(6, self.columns // 8)
                places = (column, *range(column + 1, column + reach), column - len(text) - 1)
                self.put_first(text, "cut", [(row, place) for place in places])

    def put_marks(self, marks: Iterable[Mark]) -> None:
        for mark in marks:
            if not self.x_range[0] <= mark.x <= self.x_range[1]:
                continue
            column, row = self.column(mark.x), self.row(mark.y)
            if mark.place == "above":
                self._put_above(mark, min(row, self.lines - 1), column)
                continue
            if mark.place in ("top", "bottom"):
                row = 0 if mark.place == "top" else self.lines - 1
            if 0 <= row < self.lines and (mark.place != "bottom" or self.cells[row][1][column] in SOFT):
                self.put(row, column, mark.glyph, mark.role)
                if mark.label and self.is_free(row, column + 2, width_of(mark.label), SOFT):
                    self.put(row, column + 2, mark.label, mark.role)

    def _put_above(self, mark: Mark, row: int, column: int) -> None:
        """Put a mark and its label in the free rows above the curve, the label left out where it must be."""
        rows = range(row - 2, -1, -1)
        text, begin = f"{mark.glyph} {mark.label}", column
        if column + width_of(text) > self.left + self.columns:  # to the left of the glyph, then
            text, begin = f"{mark.label} {mark.glyph}", column - width_of(text) + 1
        if not self.put_first(text, mark.role, [(at, begin) for at in rows]):
            self.put_first(mark.glyph, mark.role, [(at, column) for at in rows])

    def rows(self) -> list[list[tuple[str, str]]]:
        """Return the rows, neighbours of one role as one piece."""
        found = []
        for characters, roles in self.cells:
            row, start = [], 0
            for role, group in groupby(roles):
                end = start + len(list(group))
                text = "".join(characters[start:end])
                row.append((to_ascii(text.translate(ASCII_MARKS)) if self.glyphs == "ascii" else text, role))
                start = end
            found.append(row)
        return found
