"""Choose one item of a list, by arrows, mouse, or typing a part of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from tui_gpt.workbench.dialogs.dismiss_once import DismissOnce
from tui_gpt.workbench.drawing.formatting import width_of
from tui_gpt.workbench.drawing.sanitizing import one_line

WIDEST_LABEL = 40
FRAME_ROWS = 3  # the border and the input


class Item(NamedTuple):
    """A line of a picker: label, detail, and the value that it stands for."""

    label: str
    detail: str
    value: object


def matching(items: Iterable[Item], text: str) -> list[Item]:
    """Return the items that hold every word of `text`, those whose label begins with it first."""
    words = text.lower().split()
    found = [item for item in items if all(word in f"{item.label} {item.detail}".lower() for word in words)]
    return sorted(found, key=lambda item: not item.label.lower().startswith(text.lower()))


def options_of(items: Sequence[Item]) -> list[Option]:
    """Return an option for each item, their details below one another; a long label pushes its detail aside."""
    labels = [one_line(item.label) for item in items]
    wide = max((width for width in map(width_of, labels) if width <= WIDEST_LABEL), default=0)
    return [
        Option(Content.assemble(label, " " * (max(0, wide - width_of(label)) + 2), (one_line(detail), "dim")))
        for label, (_, detail, _) in zip(labels, items, strict=True)
    ]


def move_highlight(options: OptionList, by: int) -> None:
    """Move the highlight by lines, as far as there are some.

    The list's own page actions raise KeyError in Textual 8.2 while it has not been laid out.
    """
    if options.option_count:
        options.highlighted = max(0, min((options.highlighted or 0) + by, options.option_count - 1))


class Picker(DismissOnce, ModalScreen[object]):
    """Show `items`; the result is the chosen item's value, or None when cancelled."""

    DEFAULT_CSS = """
    Picker { align: center middle; }
    Picker > Vertical {
        width: 90%; max-width: 100; height: auto; max-height: 90%;
        background: $surface; border: round $primary; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $text-muted;
    }
    Picker Input { border: none; height: 1; padding: 0 1; background: $surface; }
    Picker OptionList {
        border: none; height: auto; background: $surface; padding: 0; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    Picker OptionList > .option-list--option-highlighted {
        background: $block-cursor-background; color: $block-cursor-foreground; text-style: $block-cursor-text-style;
    }
    """
    BINDINGS = [
        Binding("escape", "cancel", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
    ]

    def __init__(self, title: str, items: Sequence[Item], *, current: object = None, placeholder: str = "") -> None:
        super().__init__()
        self._title, self._items, self._current = title, list(items), current
        self._placeholder = placeholder or "type to find"
        self._found = self._items

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(one_line(self._title))
            box.border_subtitle = Content("enter chooses · esc cancels")
            field = Input(placeholder=self._placeholder, compact=True, select_on_focus=False)
            field.cursor_blink = False
            yield field
            options = OptionList(*options_of(self._found), markup=False, compact=True)
            options.can_focus = False  # letters always reach the input
            yield options

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        at = next((index for index, item in enumerate(self._found) if item.value == self._current), 0)
        self.query_one(OptionList).highlighted = at if self._found else None

    def on_resize(self, event: events.Resize) -> None:
        """Let the items scroll where they do not fit: a box that grows with its content does not see to it."""
        options = self.query_one(OptionList)
        options.styles.max_height = max(1, event.size.height * 9 // 10 - FRAME_ROWS)
        self.call_after_refresh(options.scroll_to_highlight)

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self._found = matching(self._items, event.value)
        options = self.query_one(OptionList)
        options.set_options(options_of(self._found) or [Option("nothing matches", disabled=True)])
        options.highlighted = 0 if self._found else None

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._choose(self.query_one(OptionList).highlighted)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._choose(event.option_index)

    def _choose(self, index: int | None) -> None:
        if index is not None and index < len(self._found):
            self.dismiss(self._found[index].value)

    def action_move(self, by: int) -> None:
        move_highlight(self.query_one(OptionList), by)

    def action_cancel(self) -> None:
        self.dismiss(None)
