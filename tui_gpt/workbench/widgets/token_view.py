"""The tokens of a text, each visible, with the one under the cursor selected."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from textual.binding import Binding
from textual.message import Message
from textual.widgets.text_area import Selection

from tui_gpt.workbench.drawing.formatting import width_of
from tui_gpt.workbench.drawing.sanitizing import clean
from tui_gpt.workbench.jobs.task_process import TokenizedText
from tui_gpt.workbench.widgets.offset_text_area import OffsetTextArea

END, BAR, TAB = "■ end of text", "│", "→   "


def shown_text(piece: str) -> str:
    """Return what a token looks like: what would not be seen is written out, a newline as `↵` before it."""
    text = clean(piece.replace("\t", TAB)).replace("\n", "↵\n")
    return text if width_of(text.replace("\n", "")) else piece.encode("unicode_escape").decode() or "∅"


class TokenView(OffsetTextArea):
    """A text area to read in, whose cursor goes from token to token. Without colors a bar follows each token."""

    COMPONENT_CLASSES = {"token-view--odd", "token-view--end"}
    DEFAULT_CSS = """
    TokenView { background: $background; padding: 0; scrollbar-size-vertical: 1; }
    TokenView > .token-view--odd { background: $primary 28%; }
    TokenView > .token-view--end { color: $background; background: $accent; text-style: bold; }
    TokenView .text-area--selection, TokenView .text-area--cursor {
        color: $background; background: $primary; text-style: bold;
    }
    TokenView:ansi > .token-view--odd { color: ansi_black; background: ansi_cyan; }
    TokenView:ansi > .token-view--end { color: ansi_black; background: ansi_yellow; }
    TokenView:ansi .text-area--selection, TokenView:nocolor .text-area--selection { text-style: bold reverse; }
    """
    BINDINGS = [Binding("home", "move_to(0)", show=False), Binding("end", "move_to(-1)", show=False)]

    @dataclass
    class Moved(Message):
        """The cursor is on another token."""

        index: int

    def __init__(self, *, has_color: bool) -> None:
        super().__init__(read_only=True)
        self._has_color = has_color
        self.tokens: TokenizedText | None = None
        self.counts: Counter[int] = Counter()
        self._begins = [0]  # of each token in what is shown

    def show(self, tokens: TokenizedText) -> None:
        """Show a text, with the cursor on its first token."""
        self.tokens, self.counts = tokens, Counter(tokens.ids)
        texts = []
        for id, piece in zip(tokens.ids, tokens.pieces, strict=True):
            text = f"{END}\n" if id == tokens.end_of_text else shown_text(piece)
            bar = "" if self._has_color else BAR
            texts.append(f"{text[:-1]}{bar}\n" if text.endswith("\n") else text + bar)
        self._begins = [0, *accumulate(map(len, texts))]
        self.load_text("".join(texts))
        self.move(0)

    @property
    def cursor(self) -> int:
        """The token under the cursor."""
        return max(0, min(bisect_right(self._begins, self.offset_of(self.cursor_location)), len(self._begins) - 1) - 1)

    def move(self, index: int) -> None:
        """Put the cursor on token `index`, or the nearest there is, and select it."""
        if self.tokens is not None and self.tokens.ids:
            index = max(0, min(index, len(self.tokens.ids) - 1))
            end, start = self._begins[index + 1], self._begins[index]
            self.selection = Selection(self.location_of(end), self.location_of(start))
            self.post_message(self.Moved(index))

    def on_text_area_selection_changed(self) -> None:
        """Select the whole of the token that the cursor was put on."""
        begin = self._begins[self.cursor]
        if self.tokens and self.selection != Selection(
            self.location_of(self._begins[min(self.cursor + 1, len(self._begins) - 1)]), self.location_of(begin)
        ):
            self.move(self.cursor)

    def action_cursor_left(self, select: bool = False) -> None:
        self.move(self.cursor - 1)

    def action_cursor_right(self, select: bool = False) -> None:
        self.move(self.cursor + 1)

    def action_move_to(self, index: int) -> None:
        self.move(index % len(self._begins))

    def styles_between(self, start: int, end: int) -> Iterable[tuple[int, int, str]]:
        if self.tokens is None:
            return
        for index in range(max(0, bisect_right(self._begins, start) - 1), len(self.tokens.ids)):
            first, last = self._begins[index], self._begins[index + 1]
            if first >= end:
                return
            if self.tokens.ids[index] == self.tokens.end_of_text:
                yield first, last, "token-view--end"
            elif index % 2:
                yield first, last, "token-view--odd"
