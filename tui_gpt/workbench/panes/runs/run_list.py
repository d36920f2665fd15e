"""The table of runs: Textual's DataTable, brought up to date cell by cell, so that a thousand runs cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from tui_gpt.workbench.drawing.formatting import cut, width_of
from tui_gpt.workbench.state.runs.run_columns import Column
from tui_gpt.workbench.state.runs.run_marks import Marks
from tui_gpt.workbench.state.runs.run_scan import RunRow
from tui_gpt.workbench.state.runs.run_table import MARK_WIDTH, RunTable, View
from tui_gpt.workbench.widgets.chart import RUN_COLORS
from tui_gpt.workbench.widgets.status_bar import STATES

MARK = "mark"
MAX_SINGLE_CHANGES = 16  # rows that come or go one by one; with more of them the table is filled anew


class Cell(NamedTuple):
    """A cell's text and the name of its style; cheaper than a Text, since it is measured by nobody."""

    text: str
    style: str
    is_right: bool
    style_of: Callable[[str], Style | None]
    run: str = ""  # in the column of marks: by it the rows are put in order

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = cut(self.text, options.max_width)
        space = " " * (options.max_width - width_of(text))
        yield Segment(space + text if self.is_right else text + space, self.style_of(self.style))


class RunList(DataTable[Cell], inherit_bindings=False):
    """Rows of a `View`; a row's key is its run's id."""

    BINDINGS = [  # as DataTable's, but that enter is the screen's, and home and end go to the first and last row
        Binding("up", "cursor_up", show=False),
        Binding("down", "cursor_down", show=False),
        Binding("right", "page_right", show=False),
        Binding("left", "page_left", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home,ctrl+home", "scroll_top", show=False),
        Binding("end,ctrl+end", "scroll_bottom", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"run--{name}" for name in ("success", "warning", "error", "accent", "muted", "strong", "foreground")),
        *(f"run--slot-{slot}" for slot in range(len(RUN_COLORS))),
    }
    DEFAULT_CSS = """
    RunList { background: $background; scrollbar-size: 0 1; }
    RunList:focus { background-tint: $foreground 0%; }
    RunList > .run--success { color: $text-success; }
    RunList > .run--warning { color: $text-warning; }
    RunList > .run--error { color: $text-error; }
    RunList > .run--accent { color: $text-accent; }
    RunList > .run--muted { color: $text-muted; }
    RunList > .run--strong { text-style: bold; }
    """ + "".join(f"RunList > .run--slot-{slot} {{ color: {color}; }}\n" for slot, color in enumerate(RUN_COLORS))

    def __init__(self, table: RunTable, marks: Marks) -> None:
        self._styles: dict[str, Style | None] = {}
        super().__init__(cursor_type="row", id="run-list")
        self._table, self._marks = table, marks
        self._view = View()
        self._shown_columns: tuple[object, ...] = ()
        self._marked: dict[str, str] = {}  # what the column of marks shows

    @property
    def current(self) -> RunRow | None:
        """The run under the cursor."""
        return self._view.rows[self.cursor_row] if self.cursor_row < len(self._view.rows) else None

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def style_of(self, name: str) -> Style | None:
        """Return the style of a name as the theme has it now."""
        if name not in self._styles:
            self._styles[name] = self.get_component_rich_style(name, partial=True) if name else None
        return self._styles[name]

    def show(self, view: View, *, follow: str = "") -> None:
        """Show a view, and change only what is not as before; the cursor stays on its run, or goes to `follow`."""
        current = follow or (self.current.id if self.current else "")
        before, self._view = self._view, view
        shown = {row.id: row for row in before.rows}
        wanted = {row.id: row for row in view.rows}
        gone, come = shown.keys() - wanted.keys(), wanted.keys() - shown.keys()
        marks_before, self._marked = self._marked, {run: self._mark_text(run) for run in self._marks}
        columns = tuple(column.memo or column.key for column, _ in view.columns)  # other differences, other names
        with self.prevent(DataTable.RowHighlighted):
            if columns != self._shown_columns or len(gone) + len(come) > MAX_SINGLE_CHANGES:
                self._shown_columns = columns
                self._fill()
            else:
                is_other_layout = self._title_columns()
                for run in gone:
                    self.remove_row(run)
                for run in come:
                    self.add_row(*self._cells(wanted[run]), key=run)
                for run in {*marks_before, *self._marked}:
                    if marks_before.get(run) != self._marked.get(run) and run in shown and run in wanted:
                        self.update_cell(run, MARK, self._mark_cell(run))
                for run, row in wanted.items():
                    if (old := shown.get(run)) is not None and old is not row:
                        self._update_row(old, row)
                if is_other_layout or list(shown) != list(wanted):
                    order = {run: index for index, run in enumerate(wanted)}
                    self.sort(MARK, key=lambda cell: order[cell.run])
            rows = list(wanted)
            if current in wanted and self.cursor_row != rows.index(current):
                self.move_cursor(row=rows.index(current))

    def _fill(self) -> None:
        self.clear(columns=True)
        self.add_column(Text(), width=MARK_WIDTH, key=MARK)
        for column, width in self._view.columns:
            self.add_column(self._title(column), width=width, key=column.key)
        for row in self._view.rows:
            self.add_row(*self._cells(row), key=row.id)

    def _title(self, column: Column) -> Text:
        return Text(self._table.title(column), justify="right" if column.is_number else "left")

    def _title_columns(self) -> bool:
        """Bring titles and widths of the columns up to date, and return whether one was not."""
        changed = False
        for column, width in self._view.columns:
            shown, title = self.columns[ColumnKey(column.key)], self._title(column)
            if (shown.label, shown.width) != (title, width):
                shown.label, shown.width, changed = title, width, True
        if changed and self._view.rows and (first := self._view.rows[0].id) in self.rows:
            self.update_cell(first, MARK, self._mark_cell(first), update_width=True)  # measures the table anew
        return changed

    def _update_row(self, old: RunRow, row: RunRow) -> None:
        for column, _ in self._view.columns:
            if column.text_of(old) != column.text_of(row) or (column.key == "state" and old.state != row.state):
                self.update_cell(row.id, column.key, self._cell(row, column))

    def _cells(self, row: RunRow) -> list[Any]:
        return [self._mark_cell(row.id), *(self._cell(row, column) for column, _ in self._view.columns)]

    def _mark_text(self, run: str) -> str:
        return f"● {self._marks.letter(run)}".rstrip()

    def _mark_cell(self, run: str) -> Cell:
        slot = self._marks.slot(run)
        style = "run--muted" if slot is None else f"run--slot-{slot}"
        return Cell(self._marked.get(run, ""), style, False, self.style_of, run)

    def _cell(self, row: RunRow, column: Column) -> Cell:
        text, style = column.text_of(row), ""
        if column.key == "state":
            glyph, color = STATES.get(row.state, ("○", ""))
            text, style = f"{glyph} {text}", f"run--{color.rpartition('-')[2].removeprefix('$')}"
        elif column.key == "name":
            style = "run--strong"
        elif column.key in ("run", "started", "note"):
            style = "run--muted"
        return Cell(text, style, column.is_number, self.style_of)
