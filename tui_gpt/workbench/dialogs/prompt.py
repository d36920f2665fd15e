"""Ask for one line of text, checked while it is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual import on
from textual.app import ComposeResult
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from tui_gpt.workbench.dialogs.dialog import Dialog
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.widgets.text_input import TextInput


class Prompt(Dialog[str | None]):
    """Ask for a line; the result is the text, or None when cancelled.

    validate: returns what is wrong with a text, "" when nothing is; such a text cannot be entered.
    on_change: gets each valid text on the way, for a live preview such as a filter.
    """

    KEYS = "enter accepts · esc cancels"
    DEFAULT_CSS = """
    Prompt { align: center bottom; background: transparent; }
    Prompt > #box { width: 100%; max-width: 100%; }
    Prompt #hint { max-height: 3; color: $text-muted; }
    Prompt #hint.-problem { color: $text-error; }
    """

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        hint: str = "",
        validate: Callable[[str], str] = lambda text: "",
        suggestions: Iterable[str] = (),
        on_change: Callable[[str], object] = lambda text: None,
    ) -> None:
        super().__init__(title)
        self._value, self._hint, self._validate, self._on_change = one_line(value), hint, validate, on_change
        self._suggester = SuggestFromList(suggestions)

    def compose_box(self) -> ComposeResult:
        yield TextInput(self._value, select_on_focus=False, suggester=self._suggester)
        yield Static(id="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._is_allowed(self._value)

    def _is_allowed(self, text: str) -> bool:
        """Return whether `text` can be entered, and say below the input why not."""
        problem, hint = self._validate(text), self.query_one("#hint", Static)
        hint.update(one_line(f"✗ {problem}" if problem else self._hint))
        hint.set_class(bool(problem), "-problem")
        return not problem

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._is_allowed(event.value):
            self._on_change(event.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._is_allowed(event.value):
            self.dismiss(event.value)
