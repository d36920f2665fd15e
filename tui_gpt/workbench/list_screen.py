"""A screen whose middle is a list: its cursor, page, mouse and filter. Subclasses give the lines and the actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast

from tui_gpt.workbench.canvas import Canvas, Row, Span, framed, row
from tui_gpt.workbench.screen import WorkScreen
from tui_gpt.workbench.text import one_line

Line = TypeVar("Line")


class Table(Canvas):
    """The list, in a frame; a click marks a line, a second one opens it."""

    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return cast("ListScreen[Any]", self.screen).table_rows(width, height)

    def on_click(self, event: object) -> None:
        cast("ListScreen[Any]", self.screen).click(event.y)  # type: ignore[attr-defined]


class ListScreen(WorkScreen, Generic[Line]):
    """The cursor is held by name, so that it stays on its line when the order changes."""

    def __init__(self) -> None:
        super().__init__()
        self.selected = ""
        self.needle = ""
        self._top, self._room = 0, 10

    # what a subclass gives

    @property
    def lines(self) -> list[Line]:
        """Those that hold the needle, in order."""
        raise NotImplementedError

    def name_of(self, line: Line) -> str:
        raise NotImplementedError

    def table_rows(self, width: int, height: int) -> list[Row]:
        """The list in its frame: `window` and `framed_list` do the common part."""
        raise NotImplementedError

    def open_line(self) -> None:
        """Do what enter does with the line under the cursor."""
        raise NotImplementedError

    def cursor_moved(self) -> None:
        """Another line is under the cursor."""
        self.redraw()

    # what it shows

    @property
    def current(self) -> Line | None:
        lines = self.lines
        return lines[self._place(lines)] if lines else None

    def _place(self, lines: list[Line]) -> int:
        """Where the cursor is among `lines`, which are sorted and filtered each time that they are asked for."""
        return next((index for index, line in enumerate(lines) if self.name_of(line) == self.selected), 0)

    def window(self, height: int) -> list[tuple[Line, bool]]:
        """The lines that fit into a frame of this height under a head, each with whether the cursor is on it."""
        lines = self.lines
        at = self._place(lines)
        self._room = max(1, height - 3)
        self._top = max(0, min(self._top, at, len(lines) - self._room), at - self._room + 1)
        return [(line, index == at) for index, line in enumerate(lines)][self._top : self._top + self._room]

    def framed_list(self, body: Sequence[Row], width: int, height: int, *, title: str, note: str) -> list[Row]:
        lines = self.lines
        note += f" · with “{one_line(self.needle)}”" if self.needle else ""
        return framed(
            body,
            width,
            height,
            title=row((title, "bright")),
            note=row((note, "dim")),
            foot=row((f"{self._place(lines) + 1} of {len(lines)}", "dim")) if lines else (),
            active=True,
        )

    # moving

    @property
    def page(self) -> int:  # type: ignore[override]
        return self._room

    def move(self, by: int) -> None:
        lines = self.lines
        if lines:
            self._mark(lines[max(0, min(self._place(lines) + by, len(lines) - 1))])

    def move_to(self, end: bool) -> None:
        self.move(10**6 if end else -(10**6))

    def click(self, y: int) -> None:
        lines, index = self.lines, self._top + y - 2
        if 0 <= index < len(lines):
            if self.name_of(lines[index]) == self.selected:
                self.open_line()
            else:
                self._mark(lines[index])

    def _mark(self, line: Line) -> None:
        self.selected = self.name_of(line)
        self.cursor_moved()

    # the filter

    def ask_for_filter(self, what: str, hint: str) -> None:
        def filter(text: str) -> None:
            self.needle = text
            self.cursor_moved()

        title = row(("Filter ", "bright"), (what, "dim"))
        self.ask(title, filter, value=self.needle, typed=filter, hint=row((hint, "dim")))

    def action_back(self) -> None:
        if self.leave_prompt():
            return
        if self.needle:
            self.needle = ""
            self.cursor_moved()
        else:
            self.workbench.show_screen("dashboard")
