"""Ask for one line of text, checked while it is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from tui_gpt.workbench.dialogs.dismiss_once import DismissOnce
from tui_gpt.workbench.drawing.sanitizing import one_line


class Prompt(DismissOnce, ModalScreen[str | None]):
    """Ask for a line; the result is the text, or None when cancelled.

    validate: returns what is wrong with a text, "" when nothing is; such a text cannot be entered.
    on_change: gets each valid text on the way, for a live preview such as a filter.
    """

    DEFAULT_CSS = """
    Prompt { align: center bottom; background: transparent; }
    Prompt > Vertical {
        width: 100%; height: auto; background: $surface; padding: 0 1;
        border: round $primary; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $text-muted;
    }
    Prompt Input { border: none; height: 1; padding: 0; background: $surface; }
    Prompt #hint { height: auto; max-height: 3; color: $text-muted; }
    Prompt #hint.-problem { color: $text-error; }
    """
    BINDINGS = [Binding("escape", "cancel", show=False)]

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        hint: str = "",
        validate: Callable[[str], str] | None = None,
        suggestions: Iterable[str] = (),
        on_change: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint = title, value, hint
        self._validate, self._suggestions, self._on_change = validate, list(suggestions), on_change

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(one_line(self._title))
            box.border_subtitle = Content("enter accepts · esc cancels")
            suggester = SuggestFromList(self._suggestions) if self._suggestions else None
            field = Input(one_line(self._value), compact=True, select_on_focus=False, suggester=suggester)
            field.cursor_blink = False
            yield field
            yield Static(id="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._judge(self._value)

    def _judge(self, text: str) -> str:
        problem = self._validate(text) if self._validate is not None else ""
        hint = self.query_one("#hint", Static)
        hint.update(one_line(f"✗ {problem}" if problem else self._hint))
        hint.set_class(bool(problem), "-problem")
        return problem

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self._judge(event.value) and self._on_change is not None:
            self._on_change(event.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._judge(event.value):
            self.dismiss(event.value)

    def action_cancel(self) -> None:
        self.dismiss(None)
