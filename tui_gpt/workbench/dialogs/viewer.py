"""A text over the whole screen: logs, events, configs, every key."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen

from tui_gpt.workbench.app_messages import CopyText
from tui_gpt.workbench.dialogs.dismiss_once import DismissOnce
from tui_gpt.workbench.drawing.sanitizing import clean, one_line
from tui_gpt.workbench.widgets.line_view import Lines, LineView

LONGEST_LINE = 4_000  # characters; a longer line goes on in the next one, so that it wraps in no time


def plain_lines(text: str) -> Lines:
    """Return the viewer's lines of a plain text, made safe to show."""
    lines = [
        line[start : start + LONGEST_LINE]
        for line in clean(text).split("\n")
        for start in range(0, max(1, len(line)), LONGEST_LINE)
    ]
    return lambda width: lines


class Viewer(DismissOnce, ModalScreen[None]):
    """Show a long text. lines: returns its lines for a width; they are wrapped where they are longer.

    at_end: begin at the last line, as for a log.
    """

    DEFAULT_CSS = """
    Viewer LineView {
        width: 100%; height: 100%; padding: 0 1; background: $background;
        border: round $primary; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $text-muted;
    }
    """
    BINDINGS = [
        Binding("escape,q", "close", show=False),
        Binding("j", "scroll('scroll_down')", show=False),
        Binding("k", "scroll('scroll_up')", show=False),
        Binding("space", "scroll('page_down')", show=False),
        Binding("b", "scroll('page_up')", show=False),
        Binding("g", "scroll('scroll_home')", show=False),
        Binding("G", "scroll('scroll_end')", show=False),
        Binding("Y", "copy", show=False),
    ]

    def __init__(self, title: str, lines: Lines, *, at_end: bool = False) -> None:
        super().__init__()
        self._title, self._view = title, LineView(lines, at_end=at_end)

    def compose(self) -> ComposeResult:
        self._view.border_title = Content(one_line(self._title))
        self._view.border_subtitle = Content("↑ ↓ pgup pgdn home end · Y copies · esc closes")
        yield self._view

    def on_mount(self) -> None:
        self._view.focus()

    def action_scroll(self, how: str) -> None:
        getattr(self._view, f"action_{how}")()

    def action_copy(self) -> None:
        self.post_message(CopyText(self._view.text))

    def action_close(self) -> None:
        self.dismiss(None)
