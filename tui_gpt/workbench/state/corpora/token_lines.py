"""A text as lines of tokens: where each token stands at a width, and what it looks like.

Tokens stay whole on a line where they fit into one. A newline is drawn as `↵`, the end of a text as a mark of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from functools import cached_property

from tui_gpt.workbench.drawing.formatting import width_of
from tui_gpt.workbench.drawing.sanitizing import clean
from tui_gpt.workbench.jobs.task_process import TokenizedText

END = "■ end of text"
BAR = "│"
TAB = "→   "
MIN_WIDTH = 8


class TokenLines:
    """The tokens laid out for one width. bars: a bar follows each token, for terminals without colors."""

    def __init__(self, tokens: TokenizedText, width: int, *, bars: bool) -> None:
        self.tokens, self.width, self.bars = tokens, max(MIN_WIDTH, width), bars
        self.lines: list[list[tuple[int, str]]] = [[]]
        self._first = [0]  # the first token of each line
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
            self._first.pop()

    def _new_line(self, first: int) -> None:
        self.lines.append([])
        self._first.append(first)

    def line_of(self, index: int) -> int:
        """Return the first line that shows token `index`."""
        at = bisect_right(self._first, index) - 1
        while at > 0 and (self.lines[at - 1] and self.lines[at - 1][-1][0] >= index):
            at -= 1
        return max(0, at)

    def token_at(self, line: int, x: int) -> int | None:
        """Return the token at cell `x` of a line, or None where there is none."""
        if not 0 <= line < len(self.lines):
            return None
        for index, text in self.lines[line]:
            x -= width_of(text)
            if x < 0:
                return index
        return None

    def beside(self, index: int, by: int) -> int:
        """Return the token that stands `by` lines below `index`, at the same place in its line."""
        here = self.line_of(index)
        nth = next((n for n, (other, _) in enumerate(self.lines[here]) if other == index), 0)
        found = self.lines[max(0, min(here + by, len(self.lines) - 1))]
        return found[min(nth, len(found) - 1)][0] if found else index

    @cached_property
    def _counts(self) -> Counter[int]:
        return Counter(self.tokens.ids)

    @property
    def distinct(self) -> int:
        """Return how many tokens of the vocabulary stand in this text."""
        return len(self._counts)

    def occurrences(self, index: int) -> int:
        """Return how often the token stands in this text."""
        return self._counts[self.tokens.ids[index]]


def _parts(piece: str) -> list[tuple[str, bool]]:
    """Return a token's text in parts that each stand on one line, and whether a line ends there.

    What would not be seen is written out: a tab as an arrow, a lone joiner or accent as its code.
    """
    if piece == "":
        return [("∅", False)]
    parts = clean(piece.replace("\t", TAB)).split("\n")
    if len(parts) == 1 and not width_of(parts[0]):
        return [(piece.encode("unicode_escape").decode(), False)]
    shown = [(part + "↵", True) for part in parts[:-1]]
    return [*shown, (parts[-1], False)] if parts[-1] else shown


def _fitting(text: str, width: int) -> str:
    used = 0
    for index, char in enumerate(text):
        used += width_of(char)
        if used > width:
            return text[: max(1, index)]
    return text
