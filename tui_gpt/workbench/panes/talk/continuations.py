"""The pane of Talk for one text: the text, and while several continuations of it are compared, those beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.talk.checkpoint_list import RunCheckpoint
from tui_gpt.workbench.state.talk.writer import Continuation
from tui_gpt.workbench.widgets.shared_text_area import SharedTextArea

COLUMN_CELLS = 40  # continuations stand beside each other while each has as many


class Continuations(Container):
    """Columns of text. The first is the text itself; the others hold the same beginning and another continuation.

    All are locked while the model writes, and from then on until one is kept. Typing keeps the one with the focus.
    """

    DEFAULT_CSS = "Continuations { layout: grid; }"

    class Kept(Message):
        """One of several continuations was kept."""

    def __init__(self, bound_keys: Iterable[str], id: str) -> None:
        super().__init__(id=id)
        self._bound_keys = list(bound_keys)
        self.text_area = SharedTextArea(bound_keys=self._bound_keys, id="text", classes="pane")
        self.columns = [self.text_area]
        self.is_choosing = False  # whether finished continuations stand side by side
        self._generation = 0

    def compose(self) -> ComposeResult:
        yield self.text_area

    def on_resize(self) -> None:
        self._arrange()

    # ── columns ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _show_columns(self, count: int) -> None:
        for column in self.columns[count:]:
            column.remove()
        self.columns = self.columns[:count]
        while len(self.columns) < count:
            column = SharedTextArea(bound_keys=self._bound_keys, classes="pane", locked=True)
            column.load(self.text_area.text, self.text_area.spans)
            self.mount(column)
            self.columns.append(column)
        self._arrange()

    def _arrange(self) -> None:
        """Lay the columns out beside each other; where they are too narrow, two by two, or one above the other."""
        count, fits = len(self.columns), self.size.width // COLUMN_CELLS
        self.styles.grid_size_columns = count if count <= fits else max(1, min(2, fits))

    @property
    def focused(self) -> SharedTextArea:
        """The column with the focus, else the text."""
        return next((column for column in self.columns if column.has_focus), self.text_area)

    def focus_text(self) -> None:
        self.focused.focus()

    def focus_neighbour(self, by: int) -> None:
        self.columns[(self.columns.index(self.focused) + by) % len(self.columns)].focus()

    # ── one generation ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def text(self) -> str:
        return self.focused.selected_text or self.focused.text

    @property
    def held(self) -> str:
        """What was typed while the text was locked."""
        return "".join(column.held for column in self.columns)

    def begin(self, count: int) -> str:
        """Lock the text, show it in `count` columns, and return it as the prompt."""
        text = self.text_area
        self._generation, self.is_choosing = text.last_generation + 1, False
        self._show_columns(1)  # what was written before and not kept goes
        self._show_columns(count)
        text.read_only = True
        text.move_cursor(text.document.end)
        return text.text

    def draw(self, continuations: Sequence[Continuation]) -> bool:
        """Add what came since the last call."""
        for column, continuation in zip(self.columns, continuations, strict=False):
            if text := continuation.take_text():
                column.write(text, self._generation)
        return False

    def finish(self) -> None:
        """Let the user choose among several continuations, or write again."""
        self.is_choosing = sum(bool(column.written_by(self._generation)) for column in self.columns) > 1
        if not self.is_choosing:
            self.keep(self.text_area)

    def keep(self, column: SharedTextArea) -> None:
        """Make one continuation the text, drop the others, and insert what was typed meanwhile."""
        if column is not self.text_area:
            self.text_area.take_out(self._generation)
            self.text_area.write(column.written_by(self._generation), self._generation)
            if column.has_focus:
                self.text_area.focus()
        self.is_choosing = False
        held = "".join(each.take_held() for each in self.columns)
        self._show_columns(1)
        self.text_area.unlock_text(held)
        self.post_message(self.Kept())

    def on_shared_text_area_held(self, event: SharedTextArea.Held) -> None:
        if self.is_choosing:
            event.stop()
            self.keep(event.text_area)

    def take_back(self) -> str:
        """Take the last continuation out for a retry, and return why that cannot be done; empty when it was."""
        text, last = self.text_area, self.text_area.last_generation
        if not last:
            return "the model has written nothing yet"
        spans = text.spans_of(last)
        if len(spans) > 1 or spans[0][1] != len(text.text):
            return "the continuation was edited, or written on: undo takes out what the model wrote of it"
        text.take_out(last)
        return ""

    def undo(self) -> str:
        """Take out what is left of the last generation; the user's own words stay."""
        if not (last := self.text_area.last_generation):
            return "nothing is left of what the model wrote"
        self.text_area.take_out(last)
        if self.is_choosing:
            self.keep(self.text_area)
        return ""

    def clear(self) -> str:
        """Empty the text; the edit can be undone."""
        if self.is_choosing:
            self.keep(self.focused)
        if not self.text_area.text:
            return ""
        self.text_area.clear()
        return "cleared; ctrl+z brings it back"


def set_title(widget: Widget, checkpoint: RunCheckpoint | None, *, side: str = "", subtitle: str = "") -> None:
    """Name a checkpoint in a widget's border: run, step and validation loss."""
    width = widget.outer_size.width - len(side) - 6
    title = side + (checkpoint.title(width) if checkpoint else "no checkpoint yet")
    for name, text in (("border_title", title), ("border_subtitle", subtitle)):
        content = Content(one_line(text))
        if (getattr(widget, name) or "") != content.markup:
            setattr(widget, name, content)
