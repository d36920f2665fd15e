"""One setting of a config as a line of a form: the row draws name, unit and help around a stock control."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Select, Switch

from tui_gpt.config import Field
from tui_gpt.workbench.drawing.formatting import cut
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.widgets.text_input import TextInput

NAME_WIDTH, UNIT_WIDTH = 20, 9  # in the style sheet, too: the control begins behind the name


class SettingRow(Widget):
    """A form line. It posts what was entered, and leaves it to the screen whether that is allowed."""

    DEFAULT_CSS = """
    SettingRow { layout: horizontal; height: 1; padding: 0 1; text-wrap: nowrap; }
    SettingRow:focus-within { background: $surface; }
    SettingRow > * { margin-left: 22; }
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
        label: str = "",
    ) -> None:
        """suggestions: complete a text. choices: (label, value) of a Select, where the schema has none."""
        super().__init__(id="setting-" + field.key.replace(".", "-"))
        self.field, self._value, self._is_set = field, value, is_set
        self._suggestions = list(suggestions)
        self._choices = list(choices) or [(choice, choice) for choice in field.choices]
        self._label = label or field.name
        self.problem = ""
        self.set_class(field.kind in ("int", "float"), "-number")

    def compose(self) -> ComposeResult:
        if self._choices:
            is_known = self._value in [value for _, value in self._choices]
            yield Select(self._choices, value=self._value if is_known else Select.NULL, compact=True)
        elif self.field.kind == "bool":
            yield Switch(self._value == "true", animate=False)
        else:
            suggester = SuggestFromList(self._suggestions, case_sensitive=False) if self._suggestions else None
            yield TextInput(self._value, select_on_focus=True, suggester=suggester)

    @property
    def control(self) -> Any:
        """Return the widget that takes the value."""
        return self.children[0]

    def on_resize(self) -> None:
        self.refresh()

    def render(self) -> Content:
        """Return what stands left and right of the control."""
        style = "bold $foreground" if self.has_focus_within else "$text-muted"
        name = (f"{cut(self._label, NAME_WIDTH):<{NAME_WIDTH}}", style)
        unit = self._value if self.field.kind == "bool" else self.field.unit
        help_text = self.field.help if self.screen.has_class("-wide") else ""
        behind = Content.assemble(
            (f"  {unit:<{UNIT_WIDTH}}", "$text-muted"), (f" {one_line(help_text)}", "$text-disabled")
        )
        if self.screen.has_class("-narrow") and self.field.kind != "bool":
            behind = Content()
        gap = " " * (self.control.size.width + self.control.gutter.width if self.children else 0)
        return Content.assemble(("•" if self._is_set else " ", "$accent"), " ", name, gap, behind)

    def show(self, value: str, *, is_set: bool) -> None:
        """Show another value, without announcing it as the user's; a control that is being typed in is left alone."""
        self._is_set = is_set
        self.refresh()
        if not self.children:  # not composed yet: it is made with the value of then
            self._value = value
            return
        control = self.control
        if value != self._value and not (isinstance(control, Input) and control.has_focus):
            self._value = value
            with self.prevent(Input.Changed, Select.Changed, Switch.Changed):
                control.value = value == "true" if isinstance(control, Switch) else value

    def judge(self, problem: str) -> None:
        """Mark the value as refused, with the reason, or as good."""
        self.problem = one_line(problem)
        self.set_class(bool(problem), "-invalid")

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Switch.Changed)
    def _changed(self, event: Input.Changed | Select.Changed | Switch.Changed) -> None:
        event.stop()
        if event.value is Select.NULL:
            return
        text = ("true" if event.value else "false") if isinstance(event, Switch.Changed) else str(event.value)
        if text != self._value:
            self._value = text
            self.refresh()
            self.post_message(self.Entered(self, text))

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.refresh()
        self.post_message(self.Focused(self))

    def on_descendant_blur(self) -> None:
        self.refresh()
