"""A long text to read, wrapped to the width, whose rows are drawn when they are scrolled to.

Textual's RichLog renders each line when it is written, about 1 ms a line: a minute for a log of 50,000. Here only the
number of rows that each line takes is computed beforehand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from rich.segment import Segment
from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_gpt.workbench.drawing.formatting import width_of, wrap
from tui_gpt.workbench.drawing.sanitizing import clean

Line = Text | str
Lines = Callable[[int], Sequence[Line]]  # the lines for a width


class LineView(ScrollView, can_focus=True):
    """Show lines; what is on top stays there when the width changes. at_end: begin at the last row."""

    DEFAULT_CSS = "LineView { scrollbar-size-vertical: 1; scrollbar-gutter: stable; overflow-x: hidden; }"

    def __init__(self, lines: Lines, *, at_end: bool = False) -> None:
        super().__init__()
        self._lines_for, self._is_at_end = lines, at_end
        self._lines: Sequence[Line] = ()
        self._starts = [0]  # the first row of each line, and at last the number of rows
        self._size_before = Size()

    @property
    def text(self) -> str:
        """Return the whole text."""
        return "\n".join(map(_plain, self._lines))

    def on_resize(self) -> None:
        size, before = self.scrollable_content_region.size, self._size_before
        if not size.width:
            return
        if before.height:
            self._is_at_end = bool(self.scroll_y) and self.scroll_y + before.height >= self._starts[-1]
        self._size_before, top = size, round(self.scroll_y)
        if size.width != before.width:
            top = self._lay_out(size.width, top)
        y = self._starts[-1] if self._is_at_end else top
        self.scroll_to(y=y, animate=False, force=True, immediate=True)

    def _lay_out(self, width: int, top: int) -> int:
        """Wrap the lines, and return where the row `top` stands now."""
        place = 0.0  # what part of the lines is above `top`
        if self._lines:
            line, row, rows = self._locate(top)
            place = (line + row / rows) / len(self._lines)
        self._lines = self._lines_for(width)
        self._starts = list(accumulate((len(_spans(_plain(line), width)) for line in self._lines), initial=0))
        self.virtual_size = Size(width, self._starts[-1])
        self.refresh()
        whole, part = divmod(place * len(self._lines) + 1e-6, 1)
        start, end = (self._starts[int(whole) :] + self._starts[-1:])[:2]
        return start + int(part * (end - start))

    def _locate(self, row: int) -> tuple[int, int, int]:
        """Return the line that stands at `row`, which of its rows that is, and how many it has."""
        line = min(bisect_right(self._starts, row), len(self._lines)) - 1
        start, end = self._starts[line : line + 2]
        return line, row - start, end - start

    def render_line(self, y: int) -> Strip:
        row, style = y + self.scroll_offset.y, self.rich_style
        if row >= self._starts[-1]:
            return Strip.blank(self.size.width, style)
        number, part, _ = self._locate(row)
        line = self._lines[number]
        start, end = _spans(_plain(line), self._size_before.width)[part]
        found = line[start:end]
        segments = [Segment(found)] if isinstance(found, str) else self._segments(found)
        safe = [Segment(clean(segment.text), segment.style) for segment in segments]
        return Strip(safe).adjust_cell_length(self.size.width).apply_style(style)

    def _segments(self, text: Text) -> Iterable[Segment]:
        console = self.app.console  # a text without spans is rendered without its own style
        return Segment.apply_style(text.render(console), console.get_style(text.style))


def _plain(line: Line) -> str:
    return line if isinstance(line, str) else line.plain


def _spans(text: str, width: int) -> list[tuple[int, int]]:
    """Return where each row of a wrapped line begins and ends in it."""
    if width_of(text) <= width:
        return [(0, len(text))]
    spans, at = [], 0
    for row in wrap(text, width):
        start = max(text.find(row, at), at)
        at = start + len(row)
        spans.append((start, at))
    return spans
