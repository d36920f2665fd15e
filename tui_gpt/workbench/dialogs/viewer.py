"""A text or a table over the whole screen: logs, events, configs, differences, every key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from tui_gpt.workbench.app_messages import CopyText
from tui_gpt.workbench.dialogs.dialog import Dialog
from tui_gpt.workbench.drawing.sanitizing import clean

MOST_LINES = 2_000  # of a log; laying out more takes seconds


def log_text(text: str) -> Text:
    """Return the end of a plain text, made safe to show."""
    lines = clean(text).rstrip("\n").split("\n")
    return Text("\n".join(lines[-MOST_LINES:]))


def join_lines(lines: Iterable[Text]) -> Text:
    """Return lines as one text; what is unsafe in them becomes visible."""
    return Text("\n").join(lines)


class Viewer(Dialog[None]):
    """Show a text, wrapped, or a widget. at_end: begin at the last line, as for a log."""

    KEYS = "↑ ↓ pgup pgdn home end · Y copies · esc closes"
    DEFAULT_CSS = "Viewer VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }"
    BINDINGS = [
        Binding("q", "cancel", show=False),
        Binding("j", "scroll('scroll_down')", show=False),
        Binding("k", "scroll('scroll_up')", show=False),
        Binding("space", "scroll('page_down')", show=False),
        Binding("b", "scroll('page_up')", show=False),
        Binding("g", "scroll('scroll_home')", show=False),
        Binding("G", "scroll('scroll_end')", show=False),
        Binding("Y", "copy", show=False),
    ]

    def __init__(self, title: str, body: Text | Table | Widget, *, at_end: bool = False, copied: str = "") -> None:
        super().__init__(title, classes="-whole")
        self._body, self._is_at_end = body, at_end
        self._copied = copied or (body.plain if isinstance(body, Text) else "")

    def compose_box(self) -> ComposeResult:
        if isinstance(self._body, Widget):
            yield self._body
        else:
            yield VerticalScroll(Static(self._body, markup=False), can_focus=True)

    @property
    def _scroll(self) -> Widget:
        return self.query("#box > *").first()

    def on_mount(self) -> None:
        self._scroll.focus()
        if self._is_at_end:
            self.call_after_refresh(self._scroll.scroll_end, animate=False)

    def action_scroll(self, how: str) -> None:
        getattr(self._scroll, f"action_{how}")()

    def action_copy(self) -> None:
        self.post_message(CopyText(self._copied))


def key_table(groups: Sequence[tuple[str, list[tuple[str, str]]]]) -> Table:
    """Return the help: a line for each (keys, help) of the (title, lines) groups."""
    table = Table.grid(padding=(0, 2))
    for title, lines in groups:
        table.add_row(Text(title, "bold"))
        for keys, text in lines:
            table.add_row(Text(f"  {keys}", "bold cyan"), Text(text))
        table.add_row()
    return table
