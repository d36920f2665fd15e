"""The tokens of a text, each visible, with a cursor on one of them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_gpt.workbench.jobs.task_process import TokenizedText
from tui_gpt.workbench.state.corpora.token_lines import BAR, MIN_WIDTH, TokenLines


class TokenView(ScrollView, can_focus=True):
    """Draws lines on demand, so that a long text costs no more than what is in sight."""

    COMPONENT_CLASSES = {
        "token-view--even",
        "token-view--odd",
        "token-view--end",
        "token-view--cursor",
        "token-view--bar",
    }
    DEFAULT_CSS = """
    TokenView { background: $background; scrollbar-size-vertical: 1; scrollbar-gutter: stable; overflow-x: hidden; }
    TokenView > .token-view--even { color: $foreground; }
    TokenView > .token-view--odd { color: $foreground; background: $primary 28%; }
    TokenView > .token-view--end { color: $background; background: $accent; text-style: bold; }
    TokenView > .token-view--cursor { color: $background; background: $primary; text-style: bold; }
    TokenView > .token-view--bar { color: $text-muted; }
    TokenView:ansi > .token-view--odd { color: ansi_black; background: ansi_cyan; }
    TokenView:ansi > .token-view--end { color: ansi_black; background: ansi_yellow; }
    TokenView:ansi > .token-view--cursor { text-style: bold reverse; }
    """

    @dataclass
    class Moved(Message):
        """The cursor is on another token."""

        index: int

    def __init__(self, *, has_color: bool) -> None:
        super().__init__()
        self._has_color = has_color
        self.tokens: TokenizedText | None = None
        self.lines: TokenLines | None = None
        self.cursor = 0

    def show(self, tokens: TokenizedText) -> None:
        """Show a text, with the cursor on its first token."""
        self.tokens, self.lines, self.cursor = tokens, None, 0
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        if self.tokens is None or not width:
            return
        if self.lines is None or self.lines.width != max(width, MIN_WIDTH):
            self.lines = TokenLines(self.tokens, width, bars=not self._has_color)
            self.virtual_size = Size(width, len(self.lines.lines))
            self.refresh()
        self.move(self.cursor)  # keeps it in sight

    def render_line(self, y: int) -> Strip:
        line, width = y + self.scroll_offset.y, self.size.width
        background = self.rich_style
        if self.lines is None or line >= len(self.lines.lines):
            return Strip.blank(width, background)
        segments: list[Segment] = []
        for index, text in self.lines.lines[line]:
            style = background + self._style_of(index)
            if not self._has_color and text.endswith(BAR):
                segments += [Segment(text[:-1], style), Segment(BAR, background + self._style("bar"))]
            else:
                segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(width, background)

    def _style_of(self, index: int) -> Style:
        if index == self.cursor:
            return self._style("cursor")
        assert self.tokens is not None
        if self.tokens.ids[index] == self.tokens.end_of_text:
            return self._style("end")
        return self._style("odd" if index % 2 else "even")

    def _style(self, name: str) -> Style:
        style = self.get_component_rich_style(f"token-view--{name}")
        if name == "cursor" and not self._has_color:
            style += Style(reverse=True)
        return style

    def move(self, index: int) -> None:
        """Put the cursor on token `index`, or the nearest there is."""
        if self.tokens is None or self.lines is None or not self.tokens.ids:
            return
        self.cursor = max(0, min(index, len(self.tokens.ids) - 1))
        line, top, height = self.lines.line_of(self.cursor), self.scroll_offset.y, self.size.height
        if not top <= line < top + height:
            self.scroll_to(y=line if line < top else line - height + 1, animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved(self.cursor))

    def move_lines(self, by: int) -> None:
        """Put the cursor `by` lines further down."""
        if self.lines is not None:
            self.move(self.lines.beside(self.cursor, by))

    def on_click(self, event: events.Click) -> None:
        if self.lines is not None:
            index = self.lines.token_at(event.y + self.scroll_offset.y, event.x)
            if index is not None:
                self.move(index)
