"""A DataTable of rows with keys, brought up to date cell by cell, so that a thousand rows cost nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding
from textual.geometry import Offset
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from tui_gpt.workbench.drawing.formatting import cut, width_of
from tui_gpt.workbench.widgets.chart import RUN_COLORS

STYLES = {
    "success": "color: $text-success",
    "warning": "color: $text-warning",
    "error": "color: $text-error",
    "accent": "color: $text-accent",
    "muted": "color: $text-muted",
    "strong": "text-style: bold",
    **{f"run-{slot}": f"color: {color}" for slot, color in enumerate(RUN_COLORS)},
}


class Heading(NamedTuple):
    """A column: its key, its title, and on which side its texts stand."""

    key: str
    title: str
    is_right: bool = False


class Cell(NamedTuple):
    """A text, safe to show, and the name of its style. The table draws it as it is: a Text would be measured."""

    text: str
    style: str = ""


class _Drawn(NamedTuple):
    text: str
    style: Style
    is_right: bool
    key: str  # of its row: the rows are put in order by it

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        space = " " * (options.max_width - width_of(self.text))
        text = cut(self.text, options.max_width)
        yield Segment(space + text if self.is_right else text + space, self.style)


class RowTable(DataTable[_Drawn], inherit_bindings=False):
    """Rows by their keys; the cursor stays on its row. Where columns do not fit, they are scrolled to."""

    BINDINGS = [  # enter is the screen's
        Binding("up", "cursor_up", show=False),
        Binding("down", "cursor_down", show=False),
        Binding("right", "page_right", show=False),
        Binding("left", "page_left", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"row--{name}" for name in STYLES}
    DEFAULT_CSS = "RowTable { background: $background; scrollbar-size: 1 1; }\n" + "".join(
        f"RowTable > .row--{name} {{ {style}; }}\n" for name, style in STYLES.items()
    )

    def __init__(self, *, fixed_columns: int, id: str, classes: str = "") -> None:
        self._colors: dict[str, Style] = {"": Style.null()}  # each style's, as the theme has them now
        super().__init__(cursor_type="row", fixed_columns=fixed_columns, id=id, classes=classes)
        self._headings: Sequence[Heading] = ()
        self._cells: Mapping[str, Sequence[Cell]] = {}

    @property
    def current(self) -> str:
        """The key of the row under the cursor; empty when there is none."""
        keys = list(self._cells)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else ""  # -1 after `end` in an empty table

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._colors = {"": Style.null()}
        if self._cells and self.is_mounted:  # another theme: the cells hold its colors
            self.call_after_refresh(self._fill)

    def show(self, headings: Sequence[Heading], cells: Mapping[str, Sequence[Cell]], *, current: str = "") -> None:
        """Show these rows, and put the cursor on `current`, where that is not where it stays anyway."""
        current, at = current or self.current, self.cursor_row
        headings_before, before = self._headings, self._cells
        self._headings, self._cells = headings, cells
        is_as_before = cells.keys() == before.keys() and [each.key for each in headings] == [
            each.key for each in headings_before
        ]
        with self.prevent(DataTable.RowHighlighted):
            if not (is_as_before and self._update(before)):
                self._fill()
            elif headings != headings_before or list(cells) != list(before):
                order = {key: index for index, key in enumerate(cells)}
                self.sort(headings[0].key, key=lambda drawn: order[drawn.key])
            if cells:
                keys = list(cells)
                self.move_cursor(row=keys.index(current) if current in cells else min(at, len(keys) - 1))

    def _update(self, before: Mapping[str, Sequence[Cell]]) -> bool:
        """Bring titles and cells up to date, and return whether all fit into their columns."""
        widths = {}
        for heading in self._headings:
            column = self.columns[ColumnKey(heading.key)]
            column.label, widths[heading.key] = _label(heading), column.width
            if width_of(heading.title) > column.width:
                return False
        for key, row in self._cells.items():
            if row == before[key]:
                continue
            for heading, cell, old in zip(self._headings, row, before[key], strict=True):
                if width_of(cell.text) > widths[heading.key]:
                    return False
                if cell != old:
                    self.update_cell(key, heading.key, self._drawn(key, heading, cell))
        return True

    def _fill(self) -> None:
        """Show every row anew, with columns as wide as what stands in them."""
        top, at = self.scroll_offset, self.cursor_row
        self.clear(columns=True)
        for index, heading in enumerate(self._headings):
            width = max([width_of(heading.title), *(width_of(row[index].text) for row in self._cells.values())])
            self.add_column(_label(heading), width=width, key=heading.key)
        for key, row in self._cells.items():
            drawn = (self._drawn(key, heading, cell) for heading, cell in zip(self._headings, row, strict=True))
            self.add_row(*drawn, key=key)
        self.move_cursor(row=at)
        self.call_after_refresh(self._filled, top)

    def _filled(self, top: Offset) -> None:
        """Scroll back; and lay out again: a table that has just been shown takes no notice of its first rows."""
        self.scroll_to(top.x, top.y, animate=False)
        self.refresh(layout=True)

    def _drawn(self, key: str, heading: Heading, cell: Cell) -> _Drawn:
        if cell.style not in self._colors:
            self._colors[cell.style] = self.get_component_rich_style(f"row--{cell.style}", partial=True)
        return _Drawn(cell.text, self._colors[cell.style], heading.is_right, key)


def _label(heading: Heading) -> Text:
    return Text(heading.title, justify="right" if heading.is_right else "left")
