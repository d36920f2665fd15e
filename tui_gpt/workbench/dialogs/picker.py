"""Choose one item of a list, by arrows, mouse, or typing a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from tui_gpt.workbench.dialogs.dialog import Dialog
from tui_gpt.workbench.drawing.formatting import width_of
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.widgets.text_input import TextInput

WIDEST_LABEL = 40


class Item(NamedTuple):
    """A line of a picker: label, detail, and the value that it stands for, None where it cannot be chosen."""

    label: str
    detail: str
    value: object


def matching(items: Sequence[Item], text: str) -> list[Item]:
    """Return the items that hold every word of `text`, those whose label begins with it first."""
    words = text.lower().split()
    found = [item for item in items if all(word in f"{item.label} {item.detail}".lower() for word in words)]
    return sorted(found, key=lambda item: not item.label.lower().startswith(text.lower()))


def move_highlight(options: OptionList, by: int) -> None:
    """Move the highlight by lines, as far as there are some.

    The list's own page actions raise KeyError in Textual 8.2 while it has not been laid out.
    """
    if options.option_count:
        options.highlighted = max(0, min((options.highlighted or 0) + by, options.option_count - 1))


class Picker(Dialog[object]):
    """Show `items`; the result is the chosen item's value, or None when cancelled."""

    KEYS = "enter chooses · esc cancels"
    NOTHING = "nothing matches"
    BINDINGS = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
    ]

    def __init__(
        self, title: str, items: Sequence[Item], *, current: object = None, placeholder: str = "type to find"
    ) -> None:
        super().__init__(title)
        self._items, self._current, self._placeholder = items, current, placeholder
        self.found: Sequence[Item] = ()

    def compose_box(self) -> ComposeResult:
        yield TextInput(placeholder=self._placeholder, select_on_focus=False)
        options = OptionList(markup=False, compact=True)
        options.can_focus = False  # letters always reach the input
        yield options

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.show_items(self._items)
        at = next((index for index, item in enumerate(self.found) if item.value == self._current), 0)
        self.query_one(OptionList).highlighted = at if self.found else None

    def show_items(self, items: Sequence[Item]) -> None:
        """Show these items, their details below one another; a long label pushes its detail aside."""
        self.found, options = items, self.query_one(OptionList)
        labels = [one_line(item.label) for item in items]
        wide = max((width for width in map(width_of, labels) if width <= WIDEST_LABEL), default=0)
        options.set_options(
            Option(Content.assemble(label, " " * (max(0, wide - width_of(label)) + 2), (one_line(item.detail), "dim")))
            for label, item in zip(labels, items, strict=True)
        )
        if not items:
            options.add_option(Option(self.NOTHING, disabled=True))
        options.highlighted = 0 if items else None

    @property
    def highlighted(self) -> Item | None:
        at = self.query_one(OptionList).highlighted
        return self.found[at] if at is not None and at < len(self.found) else None

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.find(event.value)

    def find(self, text: str) -> None:
        """Show the items that match what was typed."""
        self.show_items(matching(self._items, text))

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _submitted(self) -> None:
        self.choose()

    def choose(self) -> None:
        """Answer with the highlighted item."""
        if self.highlighted is not None:
            self.dismiss(self.highlighted.value)

    def action_move(self, by: int) -> None:
        move_highlight(self.query_one(OptionList), by)
