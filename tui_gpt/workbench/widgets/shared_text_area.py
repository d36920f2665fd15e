"""A text area in which a user and a model write together, and which knows what the model wrote.

While the model writes the text is locked: what is typed or pasted meanwhile is held, shown by the screen, and inserted
at the cursor by `unlock_text()`, so that no key is lost and none comes between the model's words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from textual import events
from textual.content import Content
from textual.keys import key_to_character
from textual.message import Message
from textual.widgets import TextArea
from textual.widgets.text_area import Edit, EditResult

from tui_gpt.workbench.drawing.sanitizing import clean
from tui_gpt.workbench.state.talk.shared_text import USER, Spans, edit_spans
from tui_gpt.workbench.widgets.offset_text_area import OffsetTextArea


@dataclass
class _AuthoredEdit(Edit):
    """An edit that keeps the spans in step, also when it is undone and done again."""

    author: int = USER
    _before: Spans = field(init=False, default=())

    def do(self, text_area: TextArea, record_selection: bool = True) -> EditResult:
        assert isinstance(text_area, SharedTextArea)
        self._before = text_area.spans
        start, end = text_area.offset_of(self.top), text_area.offset_of(self.bottom)
        text_area.set_spans(edit_spans(self._before, start, end, len(self.text), self.author))
        return super().do(text_area, record_selection)

    def undo(self, text_area: TextArea) -> EditResult:
        assert isinstance(text_area, SharedTextArea)
        text_area.set_spans(self._before)
        return super().undo(text_area)


class SharedTextArea(OffsetTextArea):
    """A text with authors. `bound_keys` are left to the screen, whatever a text area would do with them."""

    DEFAULT_CSS = """
    SharedTextArea { background: $background; padding: 0 1; min-height: 4; text-style: bold; }
    SharedTextArea .shared-text-area--model { color: $accent; text-style: not bold; }
    SharedTextArea.-read-only .text-area--cursor { text-style: reverse; background: $background; color: $foreground; }
    """
    COMPONENT_CLASSES = {"shared-text-area--model"}

    @dataclass
    class Held(Message):
        """Something was typed or pasted while the text was locked."""

        text_area: SharedTextArea

    def __init__(
        self, *, bound_keys: Iterable[str] = (), id: str | None = None, classes: str = "", locked: bool = False
    ) -> None:
        super().__init__(id=id, classes=classes, read_only=locked)
        self.spans: Spans = ()
        self.held = ""
        self._author = USER
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

    @property
    def last_generation(self) -> int:
        """The newest generation of which something is left; 0 when there is none."""
        return max((who for _, _, who in self.spans), default=USER)

    def spans_of(self, author: int) -> list[tuple[int, int]]:
        """Return (start, end) of each stretch by a generation."""
        return [(start, end) for start, end, who in self.spans if who == author]

    def written_by(self, author: int) -> str:
        """Return what is left of a generation's words."""
        text = self.text
        return "".join(text[start:end] for start, end in self.spans_of(author))

    def take_out(self, author: int) -> None:
        """Delete what is left of a generation's words."""
        for start, end in reversed(self.spans_of(author)):
            self.delete(self.location_of(start), self.location_of(end))

    def load(self, text: str, spans: Spans) -> None:
        """Show a copy of another text, with the cursor at its end."""
        self.load_text(text)
        self.set_spans(spans)
        self.move_cursor(self.document.end)

    def unlock_text(self, held: str = "") -> None:
        """Let the user write again; `held` is inserted at the cursor."""
        self.read_only = False
        self.type(held)

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

    def set_hint(self, text: str) -> None:
        """Show what can be done here while the text is empty."""
        if self.placeholder != (hint := Content(clean(text))):
            self.placeholder = hint

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

    # ── spans ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def edit(self, edit: Edit) -> EditResult:
        return super().edit(
            _AuthoredEdit(edit.text, edit.from_location, edit.to_location, edit.maintain_selection_offset, self._author)
        )

    def load_text(self, text: str) -> None:
        super().load_text(text)
        self.set_spans(())

    def set_spans(self, spans: Spans) -> None:
        """Say anew who wrote what, and that the text is another one; every edit does."""
        self.spans = spans
        self.forget_lines()

    def styles_between(self, start: int, end: int) -> Iterable[tuple[int, int, str]]:
        return ((a, b, "shared-text-area--model") for a, b, _ in self.spans if a < end and b > start)
