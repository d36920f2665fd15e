"""A text as lines of tokens for the screen: what each looks like, where it stands, and which one lies where.

Boundaries show by two alternating roles, and where there are no colours by a bar between tokens. Tokens stay whole on
a line where they fit into one. A newline is drawn as `↵`, the end of a text as a mark of its own; control characters
become one visible sign each, as everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from functools import cached_property

from tui_gpt.workbench.canvas import Row, Span
from tui_gpt.workbench.chore_process import Tokens
from tui_gpt.workbench.text import clean, width_of

END = "■ end of text"
ROLES = ("token-0", "token-1")
BAR = "│"


class TokenLines:
    """The tokens laid out for one width. `starts[n]`: the first token of line n."""

    def __init__(self, tokens: Tokens, width: int, *, bars: bool) -> None:
        self.tokens, self.width, self.bars = tokens, max(8, width), bars
        self.lines: list[list[tuple[int, str]]] = [[]]
        self.starts = [0]
        used = 0
        for index, (id, piece) in enumerate(zip(tokens.ids, tokens.pieces, strict=True)):
            is_end = id == tokens.end_of_text
            for shown, breaks in [(END, True)] if is_end else _parts(piece):
                text = shown + BAR * bars
                if used and used + width_of(text) > self.width:
                    self._new_line(index)
                    used = 0
                while width_of(text) > self.width:
                    head = _fitting(text, self.width)
                    self.lines[-1].append((index, head))
                    self._new_line(index)
                    text = text[len(head) :]
                self.lines[-1].append((index, text))
                used += width_of(text)
                if breaks:
                    self._new_line(index + 1)
                    used = 0
        if len(self.lines) > 1 and not self.lines[-1]:
            self.lines.pop()
            self.starts.pop()

    def _new_line(self, first: int) -> None:
        self.lines.append([])
        self.starts.append(first)

    def line_of(self, index: int) -> int:
        """The first line that shows token `index`."""
        at = bisect_right(self.starts, index) - 1
        while at > 0 and (self.lines[at - 1] and self.lines[at - 1][-1][0] >= index):
            at -= 1
        return max(0, at)

    def row(self, line: int, marked: int) -> Row:
        spans: list[Span] = []
        for index, text in self.lines[line]:
            role = "token-end" if self.tokens.ids[index] == self.tokens.end_of_text else ROLES[index % 2]
            if self.bars and text.endswith(BAR):
                spans += [(text[:-1], "token-mark" if index == marked else role), (BAR, "faint")]
            else:
                spans.append((text, "token-mark" if index == marked else role))
        return tuple(spans)

    @cached_property
    def _times(self) -> Counter[int]:
        return Counter(self.tokens.ids)

    @property
    def distinct(self) -> int:
        """How many tokens of the vocabulary stand in this text."""
        return len(self._times)

    def times(self, index: int) -> int:
        """How often the token stands in this text."""
        return self._times[self.tokens.ids[index]]


def _parts(piece: str) -> list[tuple[str, bool]]:
    """A token's text as it is drawn, in parts that each stand on one line, and whether a line ends there."""
    if piece == "":
        return [("∅", False)]
    parts = clean(piece).split("\n")
    shown = [(part + "↵", True) for part in parts[:-1]]
    return [*shown, (parts[-1], False)] if parts[-1] else shown


def _fitting(text: str, width: int) -> str:
    used = 0
    for index, char in enumerate(text):
        used += width_of(char)
        if used > width:
            return text[: max(1, index)]
    return text
