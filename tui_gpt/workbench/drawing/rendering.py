"""Draw a plot into rows of text in roles: the curves by plotext, labels and marks laid over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import split_graphemes

from tui_gpt.workbench.drawing import sheet as sheets
from tui_gpt.workbench.drawing.decimation import Range, clamped, extremes, runs_outside, thin, zigzag
from tui_gpt.workbench.drawing.formatting import cut, format_short, width_of
from tui_gpt.workbench.drawing.layout import Layout
from tui_gpt.workbench.drawing.plot_model import Level, Mark, Plot
from tui_gpt.workbench.drawing.sanitizing import to_ascii
from tui_gpt.workbench.drawing.sheet import Sheet, Signal

Row = list[tuple[str, str]]  # (text, role)

DOTS = {"braille": 2, "block": 2, "ascii": 1}  # across a cell
POINT = {"braille": "◆", "block": "◆", "ascii": "o"}
ASCII_MARKS = str.maketrans("▲▼★▴↻✗⚑┈", "^v@^>xP-")
BLANK = frozenset({"text"})
SOFT = frozenset({"text", "band", "floor"})  # roles that a label may cover
NEAR_END = 12  # columns: labels of curves that end so close to each other are aligned
MAX_CUTS = 3  # labels for what is cut off
CUT_SLACK = 0.1  # of the height: what reaches no farther beyond the edge needs no label


@dataclass
class Drawing:
    """Rows of spans, and where x values are in them. No rows when there is nothing that can be drawn."""

    rows: list[Row]
    left: int = 0  # the first column of the canvas
    columns: int = 1
    lines: int = 1  # rows of the canvas
    x_range: Range = (0.0, 1.0)
    data_end: float = 0.0  # x of the last point that is shown

    def column_of(self, x: float) -> int | None:
        """Return the column of `x`, None when it is outside."""
        if not self.x_range[0] <= x <= self.x_range[1]:
            return None
        return self.left + min(self.columns - 1, int(sheets.position(x, self.x_range, self.columns)))

    def x_at(self, column: int) -> float:
        """Return the x value in the middle of `column`."""
        value = sheets.value_at(column - self.left, self.x_range, self.columns)
        return min(self.x_range[1], max(self.x_range[0], value))


def render(plot: Plot, width: int, height: int, glyphs: str = "braille", *, has_color: bool = True) -> Drawing:
    """Draw `plot` into `height` rows of `width` cells with the glyphs `braille`, `block` or `ascii`."""
    layout = Layout(plot, width, height) if width > 0 and height > 0 else None
    if layout is None or not layout.has_data:
        return Drawing([])
    shows_letters = glyphs == "ascii" or not has_color
    grid = _draw_curves(plot, layout, width, height, glyphs)
    if shows_letters and glyphs != "ascii":
        grid.put_letters()
    if not plot.is_compact and layout.columns >= 24 and layout.lines >= 4:
        grid.put_marks([mark for mark in plot.marks if mark.place == "at"])
        grid.put_ends(with_letters=shows_letters)
        grid.put_levels(plot.levels)
        grid.put_cuts()
        grid.put_marks([mark for mark in plot.marks if mark.place != "at"])
    return Drawing(grid.spans(glyphs), layout.left, layout.columns, layout.lines, layout.x_range, layout.data_end)


def _draw_curves(plot: Plot, layout: Layout, width: int, height: int, glyphs: str) -> _Grid:
    """Return what plotext draws: levels and spans behind, axes and curves before them.

    Dots of one kind in one cell add up, so the spans are drawn apart and laid under the curves.
    """
    dots = layout.columns * DOTS[glyphs]
    back, front = (Sheet(width, height, layout.x_range, layout.y_range) for _ in range(2))
    back.y_ticks = front.y_ticks = layout.y_ticks
    back.x_ticks = front.x_ticks = layout.x_ticks
    low, high = layout.y_range
    levels = [(layout.scaled(level.y), level.role) for level in plot.levels if layout.can_show(0.0, level.y)]
    back.levels = [(y, role) for y, role in levels if low <= y <= high]
    scatters = []
    for shown in layout.shown:
        curve = shown.curve
        if shown.spans:
            spans = extremes(shown.spans, layout.x_range, layout.columns)
            back.signals.append(_signal(zigzag(spans), "band", layout, "." if glyphs == "ascii" else ""))
        if curve.style == "points":
            points = thin(shown.points, layout.x_range, layout.columns)
            scatters.append(_signal(points, curve.role, layout, POINT[glyphs], is_scatter=True))
        else:
            character = (curve.letter or "*") if glyphs == "ascii" else ""
            front.signals.append(_signal(thin(shown.line, layout.x_range, dots), curve.role, layout, character))
    front.signals += scatters
    grid = _Grid(layout, sheets.draw(front, glyphs))
    if back.signals or back.levels:
        grid.lay_under(sheets.draw(back, glyphs))
    return grid


def _signal(
    points: Sequence[tuple[float, float]], role: str, layout: Layout, character: str, *, is_scatter: bool = False
) -> Signal:
    scaled = [(x, layout.scaled(y)) for x, y in points]
    return Signal(clamped(scaled, layout.y_range), role, character, is_scatter)


class _Grid:
    """The cells of a drawing, on which labels and marks are put where there is room."""

    def __init__(self, layout: Layout, cells: list[tuple[list[str], list[str]]]) -> None:
        self.layout = layout
        self.cells = cells

    def lay_under(self, cells: list[tuple[list[str], list[str]]]) -> None:
        for (characters, roles), (under, under_roles) in zip(self.cells, cells, strict=True):
            if {"text", "axis"}.issuperset(under_roles):
                continue
            for column, character in enumerate(under):
                if character != " " and roles[column] == "text":
                    characters[column], roles[column] = character, under_roles[column]

    def is_free(self, row: int, column: int, width: int, soft: frozenset[str]) -> bool:
        """Return whether the cells, and one on each side of them, can be covered."""
        layout = self.layout
        if not 0 <= row < layout.lines or column < layout.left or column + width > layout.left + layout.columns:
            return False
        return soft.issuperset(self.cells[row][1][max(layout.left, column - 1) : column + width + 1])

    def put(self, row: int, column: int, text: str, role: str) -> None:
        characters, roles = self.cells[row]
        for start, end, cells in split_graphemes(text)[0]:
            for cell in range(cells):  # the second cell of a wide character holds nothing
                characters[column + cell], roles[column + cell] = "" if cell else text[start:end], role
            column += cells

    def put_letters(self) -> None:
        """Put the letter of each curve on it, at every sixth of the chart's width."""
        layout = self.layout
        pace = max(6, layout.columns // 6)
        for index, shown in enumerate(shown for shown in layout.shown if shown.curve.letter):
            by_column = {layout.column(x): layout.row(y) for x, y in shown.line}
            for column, row in by_column.items():
                if (column - layout.left - 2 * index - 2) % pace == 0 and 0 <= row < layout.lines:
                    self.put(row, column, shown.curve.letter, shown.curve.role)

    def put_ends(self, *, with_letters: bool) -> None:
        """Put the labels of curves at their right ends, above and below each other."""
        layout = self.layout
        ends = [(*shown.points[-1], shown.curve) for shown in layout.shown if shown.curve.label and shown.points]
        ends.sort(key=lambda end: end[1], reverse=True)
        rightmost = max((layout.column(x) for x, _, _ in ends), default=0)
        for index, (x, y, curve) in enumerate(ends):
            text = f"{curve.letter} {curve.label}" if with_letters and curve.letter else curve.label
            text = cut(text, max(4, layout.columns // 3))
            row = min(layout.lines - 1, max(0, layout.row(y)))
            end = layout.column(x)
            end = rightmost if rightmost - end <= NEAR_END else end
            column = min(end + 2, layout.left + layout.columns - width_of(text))
            outwards = -1 if index * 2 < len(ends) - 1 else 1
            offsets = sorted(range(-5, 6), key=lambda offset: (abs(offset), offset * outwards < 0))
            self._put_first(text, curve.role, [(row + offset, column) for offset in offsets], SOFT)

    def put_levels(self, levels: Sequence[Level]) -> None:
        """Put the label of each level at the right margin, with an arrow where the level is outside."""
        layout = self.layout
        for level in levels:
            if not layout.can_show(0.0, level.y) or not level.label:
                continue
            row = layout.row(level.y)
            arrow = " ↑" if row < 0 else " ↓" if row >= layout.lines else ""
            text = f" {level.label}{arrow}"
            row = min(layout.lines - 1, max(0, row))
            column = layout.left + layout.columns - width_of(text)
            self._put_first(text, level.role, [(row, column), (row - 1, column), (row + 1, column)], SOFT)

    def put_cuts(self) -> None:
        """Mark at the upper and lower edge what the y range cuts off, with its farthest value."""
        layout = self.layout
        low, high = layout.y_range
        slack = (high - low) * CUT_SLACK
        for above, limit, arrow in ((True, high + slack, "▲"), (False, low - slack, "▼")):
            found = []
            for shown in layout.shown:
                spans = [(x, top if above else bottom) for x, bottom, top in shown.spans]
                scaled = [(x, layout.scaled(y)) for x, y in spans or shown.points]
                found += runs_outside(scaled, limit, above=above)
            found.sort(key=lambda point: point[1], reverse=above)
            row = 0 if above else layout.lines - 1
            for x, y in found[:MAX_CUTS]:
                text = f"{arrow} {format_short(10**y if layout.is_log else y)}"
                column = layout.column(x)
                reach = max(6, layout.columns // 8)
                places = (column, *range(column + 1, column + reach), column - len(text) - 1)
                self._put_first(text, "cut", [(row, place) for place in places])

    def _put_first(self, text: str, role: str, places: Sequence[tuple[int, int]], *softer: frozenset[str]) -> bool:
        """Put `text` at the first place where there is room, by default if need be over the values behind a curve."""
        for soft in softer or (BLANK, SOFT):
            for row, column in places:
                if self.is_free(row, column, width_of(text), soft):
                    self.put(row, column, text, role)
                    return True
        return False

    def put_marks(self, marks: Sequence[Mark]) -> None:
        layout = self.layout
        for mark in marks:
            if not layout.x_range[0] <= mark.x <= layout.x_range[1]:
                continue
            column, row = layout.column(mark.x), layout.row(mark.y)
            if mark.place == "above":
                self._put_above(mark, min(row, layout.lines - 1), column)
                continue
            if mark.place in ("top", "bottom"):
                row = 0 if mark.place == "top" else layout.lines - 1
            if 0 <= row < layout.lines and (mark.place != "bottom" or self.cells[row][1][column] in SOFT):
                self.put(row, column, mark.glyph, mark.role)
                if mark.label and self.is_free(row, column + 2, width_of(mark.label), SOFT):
                    self.put(row, column + 2, mark.label, mark.role)

    def _put_above(self, mark: Mark, row: int, column: int) -> None:
        """Put a mark and its label in the free rows above the curve, the label cut or left out where it must be."""
        layout = self.layout
        room = layout.left + layout.columns - column
        rows = range(row - 2, -1, -1)
        if mark.label:
            text = f"{mark.glyph} {mark.label}"
            begin = column
            if width_of(text) > room:  # to the left of the glyph, then
                text = f"{mark.label} {mark.glyph}"
                begin = column - width_of(text) + 1
            if self._put_first(text, mark.role, [(at, begin) for at in rows]):
                return
        self._put_first(mark.glyph, mark.role, [(at, column) for at in rows])

    def spans(self, glyphs: str) -> list[Row]:
        """Return the rows, neighbours of one role as one span."""
        rows = []
        for characters, roles in self.cells:
            row: Row = []
            start = 0
            for role, group in groupby(roles):
                end = start + len(list(group))
                text = "".join(characters[start:end])
                row.append((to_ascii(text.translate(ASCII_MARKS)) if glyphs == "ascii" else text, role))
                start = end
            rows.append(row)
        return rows
