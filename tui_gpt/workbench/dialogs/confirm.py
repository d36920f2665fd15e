"""A question with a few answers, each a button and a key; cancelling is the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static
from textual.widgets.button import ButtonVariant

from tui_gpt.workbench.dialogs.dialog import Dialog
from tui_gpt.workbench.drawing.sanitizing import clean, one_line


@dataclass(frozen=True)
class Answer:
    """One answer. `key` presses its button; never the key that opened the question when `is_destructive`."""

    key: str
    label: str
    value: str
    is_destructive: bool = False


class Confirm(Dialog[str]):
    """Ask `text`; the result is the chosen answer's value, or "" when cancelled.

    Cancel has the focus, so that enter, or a key pressed too early, changes nothing.
    """

    DEFAULT_CSS = """
    Confirm > #box { max-width: 76; }
    Confirm VerticalScroll { height: auto; max-height: 30vh; scrollbar-size-vertical: 1; }
    Confirm.-roomy VerticalScroll { max-height: 60vh; margin-bottom: 1; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-tight"), (20, "-roomy")]  # every answer stays in sight
    BINDINGS = [
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("pageup", "scroll('page_up')", show=False),
        Binding("pagedown", "scroll('page_down')", show=False),
    ]

    def __init__(self, title: str, text: str, answers: Sequence[Answer]) -> None:
        super().__init__(title, classes="-destructive" if any(answer.is_destructive for answer in answers) else "")
        self.question, self._text, self._answers = title, text, answers
        for answer in answers:
            self._bindings.bind(answer.key, f"answer('{answer.value}')", show=False)

    def compose_box(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(clean(self._text), markup=False)
        for answer in self._answers:
            variant: ButtonVariant = "error" if answer.is_destructive else "default"
            label = Content(f"[{answer.key}] {one_line(answer.label)}")
            yield Button(label, id=f"answer-{answer.value}", variant=variant, compact=True)
        yield Button(Content("[esc] cancel: change nothing"), id="cancel", compact=True)

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss((event.button.id or "").partition("answer-")[2])

    def action_scroll(self, how: str) -> None:
        getattr(self.query_one(VerticalScroll), f"action_{how}")()

    def action_answer(self, value: str) -> None:
        self.dismiss(value)

    def action_cancel(self) -> None:
        self.dismiss("")
