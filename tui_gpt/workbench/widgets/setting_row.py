"""One setting of a config as a line of a form: its name, a stock control of its kind, and its unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Label, Select, Switch

from tui_gpt.config import Field
from tui_gpt.workbench.drawing.sanitizing import one_line


class SettingRow(Horizontal):
    """A form line. It posts what was entered, and leaves it to the screen whether that is allowed."""

    DEFAULT_CSS = """
    SettingRow { height: 1; padding: 0 1; }
    SettingRow:focus-within { background: $surface; }
    SettingRow .setting-mark { width: 2; color: $accent; }
    SettingRow .setting-name { width: 20; color: $text-muted; }
    SettingRow:focus-within .setting-name { color: $text; text-style: bold; }
    SettingRow .setting-unit { width: 11; padding: 0 1; color: $text-muted; }
    SettingRow .setting-help { width: 1fr; height: 1; color: $text-disabled; display: none; text-wrap: nowrap; }
    SettingRow Input { width: 30; border: none; height: 1; padding: 0 1; background: $panel; }
    SettingRow.-number Input { width: 18; }
    SettingRow Input:focus { border: none; }
    SettingRow.-invalid Input { color: $text-error; text-style: underline; }
    SettingRow Select { width: 44; }
    SettingRow Select SelectCurrent { background: $panel; }
    SettingRow Switch { border: none; height: 1; padding: 0 1; background: $panel; }
    SettingRow Switch:focus { border: none; background-tint: $foreground 8%; }
    """

    @dataclass
    class Entered(Message):
        """The user changed the value; `text` is it as TOML writes it."""

        row: SettingRow
        key: str
        text: str

    @dataclass
    class Focused(Message):
        """The cursor came to this setting."""

        row: SettingRow

    def __init__(
        self,
        field: Field,
        value: str,
        *,
        is_set: bool = False,
        suggestions: Iterable[str] = (),
        choices: Sequence[tuple[str, str]] = (),
        name_of: Callable[[Field], str] | None = None,
    ) -> None:
        """suggestions: complete a text. choices: (label, value) of a Select, where the schema has none."""
        super().__init__(id="setting-" + field.key.replace(".", "-"))
        self.field, self._value, self._is_set = field, value, is_set
        self._suggestions = list(suggestions)
        self._choices = list(choices) or [(choice, choice) for choice in field.choices]
        self._label = name_of(field) if name_of else field.name
        self.problem = ""
        self.set_class(field.kind in ("int", "float"), "-number")

    def compose(self) -> ComposeResult:
        yield Label("•" if self._is_set else " ", classes="setting-mark")
        yield Label(self._label, classes="setting-name", markup=False)
        if self._choices:
            values = [value for _, value in self._choices]
            value = self._value if self._value in values else Select.NULL
            yield Select(self._choices, value=value, compact=True)
        elif self.field.kind == "bool":
            yield Switch(self._value == "true", animate=False)
            yield Label(self._value, classes="setting-unit", id="switch-word")
        else:
            suggester = SuggestFromList(self._suggestions, case_sensitive=False) if self._suggestions else None
            field = Input(self._value, compact=True, select_on_focus=True, suggester=suggester)
            field.cursor_blink = False
            yield field
        if self.field.unit:
            yield Label(self.field.unit, classes="setting-unit", markup=False)
        yield Label(self.field.help, classes="setting-help", markup=False)

    @property
    def control(self) -> Widget:
        """Return the widget that takes the value."""
        return self.query_one("Input, Select, Switch")

    def show(self, value: str, *, is_set: bool) -> None:
        """Show another value, without announcing it as the user's; a control that is being typed in is left alone."""
        if not self.children:  # not composed yet: it is made with the value of then
            self._value, self._is_set = value, is_set
            return
        self.query_one(".setting-mark", Label).update("•" if is_set else " ")
        control: Any = self.control
        if value == self._value or (isinstance(control, Input) and control.has_focus):
            return
        self._value = value
        with self.prevent(Input.Changed, Select.Changed, Switch.Changed):
            control.value = value == "true" if isinstance(control, Switch) else value
        self._say_switch()

    def judge(self, problem: str) -> None:
        """Mark the value as refused, with the reason, or as good."""
        self.problem = one_line(problem)
        self.set_class(bool(problem), "-invalid")

    def _say_switch(self) -> None:
        if isinstance(control := self.control, Switch):
            self.query_one("#switch-word", Label).update("true" if control.value else "false")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._enter(event.value)

    @on(Select.Changed)
    def _chosen(self, event: Select.Changed) -> None:
        event.stop()
        if event.value is not Select.NULL:
            self._enter(str(event.value))

    @on(Switch.Changed)
    def _switched(self, event: Switch.Changed) -> None:
        event.stop()
        self._say_switch()
        self._enter("true" if event.value else "false")

    def _enter(self, text: str) -> None:
        if text != self._value:
            self._value = text
            self.post_message(self.Entered(self, self.field.key, text))

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.post_message(self.Focused(self))
