"""A pane: a framed canvas with a number, a title, and a scroll position of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events

from tui_gpt.workbench.canvas import Canvas, Row, Span, framed, row
from tui_gpt.workbench.text import count

if TYPE_CHECKING:
    from tui_gpt.workbench.dashboard import Dashboard


class Pane(Canvas):
    """One of the nine. Subclasses give `body`, and `note` or `foot` for the frame."""

    number: ClassVar[int]
    key: ClassVar[str]  # its id
    title: ClassVar[str]
    tab: ClassVar[str] = ""  # a shorter title for the tabs of a small screen

    def __init__(self) -> None:
        super().__init__(id=self.key)

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.screen)

    @property
    def active(self) -> bool:
        return self.dashboard.active == self.key

    def name_now(self) -> str:
        return self.title

    def note(self) -> Row:
        """What stands at the top right of the frame."""
        return ()

    def foot(self) -> Row:
        """What stands at the bottom right of the frame."""
        return ()

    def body(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        raise NotImplementedError

    def compose_rows(self, width: int, height: int) -> list[Row]:
        body = self.body(max(1, width - 4), max(1, height - 2))
        title = row((f"{self.number} ", "key"), (self.name_now(), "bright" if self.active else "title"))
        edges = {"title": title, "note": self.note(), "foot": self.foot()}
        return framed(body, width, height, **edges, active=self.active, heavy=self.workbench.colourless)

    # what keys do, where the pane has something to do

    def move(self, by: int) -> None:
        """Up or down by lines."""

    def move_to(self, end: bool) -> None:
        """To the top, or to the end."""

    def activate(self) -> None:
        """Enter."""

    def filter(self, text: str) -> None:
        """Show only what holds `text`."""

    @property
    def can_filter(self) -> bool:
        return type(self).filter is not Pane.filter

    @property
    def page(self) -> int:
        return max(1, self.size.height - 3)

    def on_click(self) -> None:
        self.dashboard.focus_pane(self.key)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move(3)


class ScrollPane(Pane):
    """A pane whose content is longer than the pane. `follow`: it stays at the end while more comes."""

    follow: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.offset_rows = 0  # from the top, or from the end where it follows
        self._shape = (0, 0)  # lines there are, lines that fit

    def content(self, width: int, lines: int) -> Sequence[Sequence[Span]]:
        """All rows, or at least the first `lines` (the last ones where it follows)."""
        raise NotImplementedError

    def body(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        rows = self.content(width, self.offset_rows + height)
        self._shape = (len(rows), height)
        self.offset_rows = min(self.offset_rows, max(0, len(rows) - height))
        if not self.follow:
            return rows[self.offset_rows : self.offset_rows + height]
        end = len(rows) - self.offset_rows
        return rows[max(0, end - height) : end]

    def foot(self) -> Row:
        total, height = self._shape
        if total <= height:
            return ()
        first = max(0, total - self.offset_rows - height) if self.follow else self.offset_rows
        return row((f"{count(first + 1)}–{count(min(total, first + height))} of {count(total)}", "dim"))

    def move(self, by: int) -> None:
        by = -by if self.follow else by
        self.offset_rows = max(0, min(self.offset_rows + by, max(0, self._shape[0] - self._shape[1])))
        self.redraw()

    def move_to(self, end: bool) -> None:
        self.offset_rows = 0 if end == self.follow else max(0, self._shape[0] - self._shape[1])
        self.redraw()


class ChartPane(Pane):
    """A pane whose drawing costs milliseconds and is kept until what it shows has changed."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn: tuple[object, list[Row]] = (None, [])

    def drawn(self, subject: object, draw: Callable[[], list[Row]]) -> list[Row]:
        """The kept drawing of `subject` (everything that it depends on), or a new one."""
        if self._drawn[0] != subject:
            self._drawn = (subject, draw())
        return self._drawn[1]
