"""A text that a person and a model write together: every character remembers whose it is.

Whose a character is survives any edit: what an edit left alone at both ends keeps its author, what came between is the
user's. So the prompt stays editable, also in the middle of what the model wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import TextArea

from tui_gpt.workbench.text import clean

if TYPE_CHECKING:
    from tui_gpt.workbench.app import Workbench

USER, MODEL = 0, 1


class Authors:
    """The text and, for each of its characters, who wrote it."""

    def __init__(self) -> None:
        self.text = ""
        self.marks = bytearray()

    def edited(self, text: str, author: int = USER) -> None:
        """The text is now `text`; what differs from before was written by `author`."""
        if text == self.text:
            return
        start = 0
        shortest = min(len(text), len(self.text))
        while start < shortest and text[start] == self.text[start]:
            start += 1
        end = 0
        while end < shortest - start and text[-1 - end] == self.text[-1 - end]:
            end += 1
        kept = self.marks[len(self.marks) - end :] if end else bytearray()
        self.marks = self.marks[:start] + bytearray([author]) * (len(text) - start - end) + kept
        self.text = text

    def spans(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """(start, end, author) runs between two offsets, relative to the first."""
        out: list[tuple[int, int, int]] = []
        for offset in range(start, min(end, len(self.marks))):
            mark = self.marks[offset]
            if out and out[-1][2] == mark:
                out[-1] = (out[-1][0], offset - start + 1, mark)
            else:
                out.append((offset - start, offset - start + 1, mark))
        return out


class Manuscript(TextArea):
    """The buffer of the sampling screen."""

    class Sent(Message):
        """Enter, in the mode of turns."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False, compact=True)
        self.cursor_blink = False
        self.turns = False
        self.authors = Authors()
        self._author = USER
        self._starts: tuple[str, list[int]] = ("", [0])

    def written(self, text: str) -> None:
        """Append what the model wrote."""
        self._author = MODEL
        self.insert(clean(text), self.document.end)
        self.authors.edited(self.text, MODEL)
        self._author = USER
        self.scroll_end(animate=False)

    def replace_all(self, text: str, marks: bytearray) -> None:
        """Put back an earlier state."""
        self.authors.text, self.authors.marks = text, bytearray(marks)
        self.load_text(text)
        self.move_cursor(self.document.end)

    def get_line(self, line_index: int) -> Text:
        line = super().get_line(line_index)
        self.authors.edited(self.text, self._author)
        start = self._start_of(line_index)
        roles = cast("Workbench", self.app).roles
        for first, last, author in self.authors.spans(start, start + len(line)):
            line.stylize(roles["text" if author == MODEL else "prompt"], first, last)
        return line

    def _start_of(self, line_index: int) -> int:
        text = self.authors.text
        if self._starts[0] is not text:
            starts = [0]
            for line in text.split("\n"):
                starts.append(starts[-1] + len(line) + 1)
            self._starts = (text, starts)
        return self._starts[1][min(line_index, len(self._starts[1]) - 1)]

    def on_text_area_changed(self) -> None:
        self.authors.edited(self.text, self._author)

    async def _on_key(self, event: events.Key) -> None:
        if self.turns and event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Sent())
            return
        if event.key == "escape":  # the screen's, also where a text area would keep it
            return
        await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = clean(event.text)
        await super()._on_paste(event)
