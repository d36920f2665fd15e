"""The table of corpora: Textual's DataTable with the columns that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import JustifyMethod
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widgets import DataTable

from tui_gpt.workbench.drawing.formatting import cut, cut_head, format_bytes, format_short, width_of
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.corpora.corpus_table import CorpusRow

WIDTHS = {"kind": 9, "size": 9, "documents": 9, "tokens": 8, "floor": 7, "licence": 14}  # the last is the least
PRIORITY = ("kind", "size", "tokens", "floor", "documents", "licence")  # who gets room first
MIN_NAME, MAX_NAME, MAX_LICENCE, PADDING = 14, 40, 40, 2
CHOSEN = "● "


def columns_for(width: int, widest_name: int) -> dict[str, int]:
    """Return the columns that fit into `width` cells, and their widths; the name comes first."""
    name = max(MIN_NAME, min(widest_name, MAX_NAME, width * 45 // 100))
    room = width - name - PADDING
    found: dict[str, int] = {}
    for column in PRIORITY:
        if room >= WIDTHS[column] + PADDING:
            found[column] = min(room - PADDING, MAX_LICENCE) if column == "licence" else WIDTHS[column]
            room -= found[column] + PADDING
    name = min(name + room, max(name, min(widest_name, MAX_NAME)))
    return {"name": name} | {column: found[column] for column in WIDTHS if column in found}


class CorpusList(DataTable[Text], inherit_bindings=False):
    """The corpora; a click moves the cursor, a double click chooses."""

    BINDINGS = [  # enter is the screen's
        Binding("up", "cursor_up", show=False),
        Binding("down", "cursor_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]
    DEFAULT_CSS = """
    CorpusList { scrollbar-size-vertical: 1; scrollbar-gutter: stable; overflow-x: hidden; background: $background; }
    CorpusList:focus { background-tint: $foreground 0%; }
    CorpusList:nocolor > .datatable--cursor { text-style: reverse; }
    """

    @dataclass
    class Chosen(Message):
        """A row was clicked twice."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", classes="pane")
        self.rows_shown: Sequence[CorpusRow] = ()
        self._chosen = ""
        self._drawn: object = None

    @property
    def current(self) -> CorpusRow | None:
        """Return the row under the cursor."""
        return self.rows_shown[self.cursor_row] if self.cursor_row < len(self.rows_shown) else None

    def show(self, rows: Sequence[CorpusRow], *, chosen: str, current: str) -> None:
        """Show `rows` with the cursor on `current`; `chosen` is the one that the next run trains on."""
        self.rows_shown, self._chosen = rows, chosen
        self._fill(current)

    def on_resize(self) -> None:
        self._fill(self.current.name if self.current else "")

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and event.style.meta.get("row", -1) >= 0:
            self.post_message(self.Chosen())

    def _fill(self, current: str) -> None:
        width = self.scrollable_content_region.width
        if not width:
            return
        rows, before = self.rows_shown, self.cursor_row
        with self.prevent(DataTable.RowHighlighted):
            if (state := (width, tuple(rows), self._chosen)) != self._drawn:
                self._drawn = state
                widest = max((width_of(one_line(row.name)) for row in rows), default=0) + len(CHOSEN)
                columns = columns_for(width, widest)
                self.clear(columns=True)
                for name, wide in columns.items():
                    self.add_column(Text(name, justify=_side(name)), width=wide, key=name)
                for index, row in enumerate(rows):  # keys are numbers: two rows may have one name
                    self.add_row(*self._cells(row, columns), key=str(index))
            at = next((index for index, row in enumerate(rows) if row.name == current), min(before, len(rows) - 1))
            if rows and at != self.cursor_row:
                self.move_cursor(row=at)

    def _cells(self, row: CorpusRow, columns: dict[str, int]) -> list[Text]:
        mark = CHOSEN if row.name == self._chosen else " " * len(CHOSEN)
        name, room = one_line(row.name), columns["name"] - len(CHOSEN)
        texts = {
            "name": mark + (cut_head(name, room) if "/" in name and row.is_here else cut(name, room)),
            "kind": "✗ broken" if row.problem else row.kind,
            "size": format_bytes(row.size_bytes) if row.size_bytes else "",
            "documents": format_short(row.documents) if row.documents is not None else "",
            "tokens": format_short(row.tokens) if row.tokens is not None else "",
            "floor": f"{row.floor:.3f}" if row.floor is not None else "known" if row.has_floor else "",
            "licence": one_line(row.licence),
        }
        style = "bold" if row.is_here else "dim"
        return [
            Text(cut(texts[name], wide), style if name == "name" else "dim", justify=_side(name))
            for name, wide in columns.items()
        ]


def _side(column: str) -> JustifyMethod:
    return "left" if column in ("name", "kind", "licence") else "right"
