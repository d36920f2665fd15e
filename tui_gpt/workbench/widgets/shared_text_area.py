"""A text area in which a user and a model write together; each character remembers who wrote it.

While the model writes the text is locked: what is typed or pasted meanwhile is held, shown by the screen, and inserted
at the cursor by `unlock_text()`, so that no key is lost and none comes between the model's words.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from rich.text import Text
from textual import events
from textual.content import Content
from textual.keys import key_to_character
from textual.message import Message
from textual.widgets import TextArea
from textual.widgets.text_area import Edit, EditResult, Location

from tui_gpt.workbench.drawing.sanitizing import clean
from tui_gpt.workbench.state.talk.shared_text import USER, Authors, Marks, marks_of


@dataclass
class _AuthoredEdit(Edit):
    """An edit that keeps the authors in step, also when it is undone and done again."""

    author: int = USER
    _replaced: Marks[int] = field(init=False, default_factory=lambda: marks_of(USER, 0))

    def do(self, text_area: TextArea, record_selection: bool = True) -> EditResult:
        assert isinstance(text_area, SharedTextArea)
        start, end = text_area.offset_of(self.top), text_area.offset_of(self.bottom)
        self._replaced = text_area.authors.replace(start, end, marks_of(self.author, len(self.text)))
        text_area.forget_lines()
        return super().do(text_area, record_selection)

    def undo(self, text_area: TextArea) -> EditResult:
        assert isinstance(text_area, SharedTextArea)
        start = text_area.offset_of(self.top)
        text_area.authors.replace(start, start + len(self.text), self._replaced)
        text_area.forget_lines()
        return super().undo(text_area)


class SharedTextArea(TextArea):
    """A text with authors. `bound_keys` are left to the screen, whatever a text area would do with them."""

    DEFAULT_CSS = """
    SharedTextArea { background: $background; padding: 0 1; }
    SharedTextArea .shared-text-area--user { text-style: bold; }
    SharedTextArea .shared-text-area--model { color: $accent; }
    SharedTextArea.-read-only .text-area--cursor { text-style: reverse; background: $background; color: $foreground; }
    """
    COMPONENT_CLASSES = {"shared-text-area--user", "shared-text-area--model"}

    @dataclass
    class Held(Message):
        """Something was typed or pasted while the text was locked."""

        text_area: SharedTextArea

    def __init__(
        self, *, bound_keys: Iterable[str] = (), id: str | None = None, classes: str = "", locked: bool = False
    ) -> None:
        super().__init__(
            id=id, classes=classes, soft_wrap=True, compact=True, highlight_cursor_line=False, read_only=locked
        )
        self.cursor_blink = False
        self.match_cursor_bracket = False
        self.authors = Authors()
        self.held = ""
        self._author = USER
        self._line_starts: list[int] | None = None
        self._line_spans: tuple[int, list[tuple[int, int, int]]] = (-1, [])  # of the line drawn last
        # A letter stays text whatever it is bound to; of the other keys the screen's win over the text area's.
        self._bound = {key for key in bound_keys if not (key_to_character(key) or "\0").isprintable()}
        for key in self._bound:
            self._bindings.key_to_bindings.pop(key, None)

    # ── what the screen does ────────────────────────────────────────────────────────────────────────────────────────

    def write(self, text: str, author: int) -> None:
        """Append what a model wrote; the view follows while the cursor is at the end."""
        follows = self.cursor_at_end_of_text
        self._author = author
        try:
            self.insert(clean(text), self.document.end)
        finally:
            self._author = USER
        if follows:
            self.move_cursor(self.document.end)

    def written_by(self, author: int) -> str:
        """Return what is left of an author's words."""
        text = self.text
        return "".join(text[start:end] for start, end in self.authors.spans_of(author))

    def take_out(self, author: int) -> None:
        """Delete what is left of an author's words."""
        for start, end in reversed(self.authors.spans_of(author)):
            self.delete(self._location_of(start), self._location_of(end))

    def load(self, text: str, authors: Authors) -> None:
        """Show a copy of another text, with the cursor at its end."""
        self.load_text(text)
        self.authors = Authors(authors.marks)
        self.forget_lines()
        self.move_cursor(self.document.end)

    def lock_text(self) -> None:
        """Hold what is typed from now on."""
        self.read_only = True

    def unlock_text(self, held: str = "") -> None:
        """Let the user write again; what was held, here and in `held`, is inserted at the cursor."""
        self.read_only = False
        self.type(held + self.take_held())

    def take_held(self) -> str:
        """Return what is held, and hold it no longer."""
        held, self.held = self.held, ""
        return held

    def type(self, text: str) -> None:
        """Put a text at the cursor as if typed, or hold it while the text is locked."""
        if self.read_only:
            self.held += text
            self.post_message(self.Held(self))
        elif text:
            self.replace(text, *self.selection, maintain_selection_offset=False)

    # ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        return character is not None and character.isprintable()

    async def on_key(self, event: events.Key) -> None:
        if event.key in self._bound or event.key.startswith(("alt+", "ctrl+", "super+", "meta+")):
            event.prevent_default()  # many terminals send alt+r as a letter with a prefix; it is not text
        elif self.read_only and event.is_printable:
            event.stop()
            self.type(event.character or "")
        elif self.read_only and event.key == "backspace" and self.held:
            event.stop()
            self.held = self.held[:-1]
            self.post_message(self.Held(self))

    async def on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.type(clean(event.text.replace("\r\n", "\n").replace("\r", "\n")))  # terminals paste CR for a new line

    def action_undo(self) -> None:
        if not self.read_only:
            super().action_undo()

    def action_redo(self) -> None:
        if not self.read_only:
            super().action_redo()

    # ── authors ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def edit(self, edit: Edit) -> EditResult:
        return super().edit(
            _AuthoredEdit(edit.text, edit.from_location, edit.to_location, edit.maintain_selection_offset, self._author)
        )

    def load_text(self, text: str) -> None:
        super().load_text(text)
        self.authors = Authors(marks_of(USER, len(self.text)))
        self.forget_lines()

    def forget_lines(self) -> None:
        """Find anew where each line begins and who wrote what of it; every edit calls this."""
        self._line_starts = None
        self._line_spans = (-1, [])

    def offset_of(self, location: Location) -> int:
        """Return how many characters stand before a location."""
        row, column = location
        return min(self._starts()[min(row, self.document.line_count)] + column, len(self.authors.marks))

    def _starts(self) -> list[int]:
        if self._line_starts is None:
            self._line_starts = [0, *accumulate(len(line) + 1 for line in self.document.lines)]
        return self._line_starts

    def _location_of(self, offset: int) -> Location:
        starts = self._starts()
        row = bisect_right(starts, offset, hi=len(starts) - 1) - 1
        return row, offset - starts[row]

    def get_line(self, line_index: int) -> Text:
        line = super().get_line(line_index)
        user, model = (self.get_component_rich_style(f"shared-text-area--{who}") for who in ("user", "model"))
        if self._line_spans[0] != line_index:  # a line that is wrapped is asked for once for each row of it
            start = self.offset_of((line_index, 0))
            self._line_spans = line_index, self.authors.spans(start, start + len(line))
        for first, last, author in self._line_spans[1]:
            line.stylize(user if author == USER else model, first, last)
        return line

    def set_hint(self, text: str) -> None:
        """Show what can be done here while the text is empty."""
        if self.placeholder != (hint := Content(clean(text))):
            self.placeholder = hint
