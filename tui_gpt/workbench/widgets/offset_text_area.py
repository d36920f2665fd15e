"""A text area for texts of which each character counts: its place in the whole text, and spans in styles."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from rich.text import Text
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import Location


class OffsetTextArea(TextArea):
    """A wrapped, plain text. Subclasses say in `styles_between` which stretches have which component class."""

    def __init__(self, *, id: str | None = None, classes: str = "", read_only: bool = False) -> None:
        super().__init__(
            id=id, classes=classes, soft_wrap=True, compact=True, highlight_cursor_line=False, read_only=read_only
        )
        self.cursor_blink = False
        self.match_cursor_bracket = False
        self._line_starts: list[int] | None = None

    def styles_between(self, start: int, end: int) -> Iterable[tuple[int, int, str]]:
        """Yield (start, end, component class) of the stretches that are seen between two offsets."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        # Textual 8.2 wraps the placeholder of an area without width, and raises ValueError
        return super().render_line(y) if self.content_size.width else Strip.blank(self.size.width)

    def load_text(self, text: str) -> None:
        super().load_text(text)
        self.forget_lines()

    def forget_lines(self) -> None:
        """Find anew where each line begins: the text has changed."""
        self._line_starts = None

    def _starts(self) -> list[int]:
        if self._line_starts is None:
            self._line_starts = [0, *accumulate(len(line) + 1 for line in self.document.lines)]
        return self._line_starts

    def offset_of(self, location: Location) -> int:
        """Return how many characters stand before a location."""
        row, column = location
        starts = self._starts()
        return min(starts[min(row, len(starts) - 1)] + column, starts[-1] - 1)

    def location_of(self, offset: int) -> Location:
        """Return the row and the column of a character."""
        starts = self._starts()
        row = bisect_right(starts, min(offset, starts[-1] - 1), hi=len(starts) - 1) - 1
        return row, offset - starts[row]

    def get_line(self, line_index: int) -> Text:
        line, begin = super().get_line(line_index), self._starts()[line_index]
        for start, end, name in self.styles_between(begin, begin + len(line)):
            line.stylize(self.get_component_rich_style(name), max(0, start - begin), end - begin)
        return line
