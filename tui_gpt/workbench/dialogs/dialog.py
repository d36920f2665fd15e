"""What every dialog has: a box with a title, escape to cancel, and one answer however fast a key is doubled."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.terminal.current_size import CurrentSize

T = TypeVar("T")


class DismissOnce(CurrentSize):
    """Ignore a second answer: Textual 8.2 raises InvalidStateError for one that comes before the screen has gone."""

    is_answered = False

    def dismiss(self, result: Any = None) -> AwaitComplete:
        if self.is_answered:
            return AwaitComplete.nothing()
        self.is_answered = True
        return super().dismiss(result)


class Dialog(DismissOnce, ModalScreen[T]):
    """A modal screen with one box; the result is None when it is cancelled. Subclasses fill it in `compose_box`."""

    KEYS: ClassVar[str] = ""  # what the border says of the keys
    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > #box {
        width: 90%; max-width: 100; height: auto; max-height: 100%; padding: 0 1; overflow-y: auto;
        background: $surface; border: round $primary; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $text-muted; scrollbar-size-vertical: 1;
    }
    Dialog.-whole > #box { width: 100%; max-width: 100%; height: 100%; background: $background; }
    Dialog.-destructive > #box { border: round $error; }
    Dialog Static { height: auto; }
    Dialog Input { border: none; height: 1; padding: 0; background: $surface; }
    Dialog OptionList {
        border: none; height: auto; max-height: 65vh; background: $surface; padding: 0; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    Dialog Button { width: 100%; content-align: left middle; text-align: left; height: 1; }
    """
    BINDINGS = [Binding("escape", "cancel", show=False)]

    def __init__(self, title: str, *, classes: str = "") -> None:
        super().__init__(classes=classes)
        self._box_title = one_line(title)

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title, box.border_subtitle = Content(self._box_title), Content(self.KEYS)
            yield from self.compose_box()

    def compose_box(self) -> ComposeResult:
        """Yield what stands in the box."""
        raise NotImplementedError

    def action_cancel(self) -> None:
        self.dismiss(None)
