"""A question with a few answers, each a button and a key; cancelling is the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static
from textual.widgets.button import ButtonVariant

from tui_gpt.workbench.dialogs.dismiss_once import DismissOnce
from tui_gpt.workbench.drawing.sanitizing import clean, one_line


@dataclass(frozen=True)
class Answer:
    """One answer. `key` presses its button; never the key that opened the question when `is_destructive`."""

    key: str
    label: str
    value: str
    is_destructive: bool = False


class Confirm(DismissOnce, ModalScreen[str]):
    """Ask `text`; the result is the chosen answer's value, or "" when cancelled.

    Cancel has the focus, so that enter, or a key pressed too early, changes nothing.
    """

    DEFAULT_CSS = """
    Confirm { align: center middle; }
    Confirm > Vertical {
        width: 90%; max-width: 76; height: auto; padding: 0 1;
        background: $surface; border: round $primary; border-title-color: $foreground; border-title-style: bold;
    }
    Confirm > Vertical.-destructive { border: round $error; }
    Confirm VerticalScroll { height: auto; scrollbar-size-vertical: 1; margin-bottom: 1; }
    Confirm Static { height: auto; }
    Confirm Button { width: 100%; content-align: left middle; text-align: left; height: 1; }
    """
    BINDINGS = [
        Binding("escape", "cancel", show=False),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("pageup", "scroll('page_up')", show=False),
        Binding("pagedown", "scroll('page_down')", show=False),
    ]

    def __init__(self, title: str, text: str, answers: Sequence[Answer]) -> None:
        super().__init__()
        self._title, self._text, self._answers = title, text, answers
        for answer in answers:
            self._bindings.bind(answer.key, f"answer('{answer.value}')", show=False)

    def compose(self) -> ComposeResult:
        destructive = any(answer.is_destructive for answer in self._answers)
        with Vertical(classes="-destructive" if destructive else "") as box:
            box.border_title = Content(one_line(self._title))
            with VerticalScroll(can_focus=False):
                yield Static(clean(self._text), markup=False)
            for answer in self._answers:
                variant: ButtonVariant = "error" if answer.is_destructive else "default"
                label = Content(f"[{answer.key}] {one_line(answer.label)}")
                yield Button(label, id=f"answer-{answer.value}", variant=variant, compact=True)
            yield Button(Content("[esc] cancel: change nothing"), id="cancel", compact=True)

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()

    def on_resize(self, event: events.Resize) -> None:
        """Let the text scroll where it is too long, and keep every answer in sight."""
        text, rest = self.query_one(VerticalScroll), len(self._answers) + 1 + len("┌┐")
        is_tight = event.size.height < rest + 4
        text.styles.margin = (0, 0, 0 if is_tight else 1, 0)
        text.styles.max_height = max(1, event.size.height - rest - (not is_tight))

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        name = event.button.id or ""
        self.dismiss(name.removeprefix("answer-") if name.startswith("answer-") else "")

    def action_scroll(self, how: str) -> None:
        getattr(self.query_one(VerticalScroll), f"action_{how}")()

    def action_answer(self, value: str) -> None:
        self.dismiss(value)

    def action_cancel(self) -> None:
        self.dismiss("")
