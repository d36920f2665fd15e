"""Choose a text file or a folder of them by its path: completed while it is typed, and checked before it is taken.

Paths begin at the workspace unless they begin with `/`, `~`, `./` or `../`; only folders and files that are text by
their name are offered. What is chosen is looked into by a child process, and what is wrong with it is said below.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import WorkerError

from tui_gpt.corpora.sources.text_files import TEXT_SUFFIXES
from tui_gpt.errors import UserError, reason
from tui_gpt.workbench.dialogs.dismiss_once import DismissOnce
from tui_gpt.workbench.dialogs.picker import FRAME_ROWS, Item, move_highlight, options_of
from tui_gpt.workbench.drawing.formatting import format_bytes
from tui_gpt.workbench.drawing.sanitizing import UNSAFE, one_line

LIMIT = 500


def absolute(text: str, base: Path) -> Path:
    """Return the path that `text` means. Raises RuntimeError for `~name` of an unknown user."""
    return Path(os.path.abspath(base / Path(text).expanduser()))  # noqa: PTH100  `..` goes, links stay


def path_items(text: str, base: Path) -> list[Item]:
    """Return what a path that is being typed can continue to, folders first. Blocking.

    An item's value is its path, or None where it says why there is none. A folder that is typed whole, with its `/`, is
    offered itself.
    """
    head, slash, tail = text.rpartition("/")
    try:
        folder = absolute(head + slash, base)
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name.lower())
    except OSError as error:
        return [Item(text, reason(error), None)]
    except RuntimeError:
        return [Item(text, "unknown user in ~name", None)]
    except ValueError as error:  # a NUL in the path
        return [Item(text, str(error), None)]
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    for entry in entries:
        if not entry.name.startswith(tail) or (entry.name.startswith(".") and not tail.startswith(".")):
            continue
        if _is_folder(entry):
            folders.append(entry)
        elif entry.name.lower().endswith(TEXT_SUFFIXES):
            files.append(entry)
    items = [_item(f"{head}{slash}{entry.name}/", entry) for entry in folders[:LIMIT]]
    items += [_item(f"{head}{slash}{entry.name}", entry) for entry in files[: LIMIT - len(items)]]
    if slash and not tail:
        texts = f"{len(files)} text file{'s' * (len(files) != 1)} here"
        items.insert(0, Item(text, f"this folder: {texts}", str(folder)))
    return items


def _item(label: str, entry: os.DirEntry[str]) -> Item:
    """Return the item of a folder or a file; one whose name cannot be typed has no value."""
    if UNSAFE.search(label):
        return Item(label, "cannot be used: rename it, its name holds characters that cannot be typed", None)
    return Item(label, "folder" if label.endswith("/") else format_bytes(_size(entry)), entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0


class PathPicker(DismissOnce, ModalScreen[str | None]):
    """Choose a path; the result is the corpus that it means, or None. check: raises UserError for what is none."""

    DEFAULT_CSS = """
    PathPicker { align: center middle; }
    PathPicker > Vertical {
        width: 90%; max-width: 100; height: auto; max-height: 90%; background: $surface; border: round $primary;
        border-title-color: $foreground; border-title-style: bold; border-subtitle-color: $text-muted;
    }
    PathPicker Input { border: none; height: 1; padding: 0 1; background: $surface; }
    PathPicker OptionList {
        border: none; height: auto; background: $surface; padding: 0; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    PathPicker OptionList > .option-list--option-highlighted {
        background: $block-cursor-background; color: $block-cursor-foreground; text-style: $block-cursor-text-style;
    }
    PathPicker #problem { height: auto; max-height: 3; padding: 0 1; color: $text-error; display: none; }
    """
    BINDINGS = [
        Binding("escape", "cancel", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("tab", "complete", show=False, priority=True),
    ]

    def __init__(self, base: Path, check: Callable[[str], Awaitable[str]]) -> None:
        super().__init__()
        self._base, self._check = base, check
        self._items: list[Item] = []

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content("A path")
            box.border_subtitle = Content("tab completes · enter chooses · esc cancels")
            field = Input(placeholder=f"in {one_line(str(self._base))}, or from / or ~/", compact=True)
            field.cursor_blink = False
            yield field
            yield Static(id="problem", markup=False)
            options = OptionList(markup=False, compact=True)
            options.can_focus = False  # letters always reach the input
            yield options

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._listing = self._list("")

    def on_resize(self, event: events.Resize) -> None:
        problem_rows = 2
        rows = event.size.height * 9 // 10 - FRAME_ROWS - problem_rows
        self.query_one(OptionList).styles.max_height = max(1, rows)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._say("")
        self._listing = self._list(event.value)

    def _say(self, text: str) -> None:
        problem = self.query_one("#problem", Static)
        problem.display = bool(text)
        problem.update(one_line(text))

    @work(group="list", exclusive=True)
    async def _list(self, text: str) -> None:
        self._items = await asyncio.to_thread(path_items, text, self._base)
        options = self.query_one(OptionList)
        options.set_options(options_of(self._items) or [Option("no folder and no text file begins so", disabled=True)])
        options.highlighted = 0 if self._items else None

    async def _highlighted(self) -> Item | None:
        """Return the highlighted item, once what was typed last has been looked up."""
        with suppress(WorkerError):
            await self._listing.wait()
        at = self.query_one(OptionList).highlighted
        return self._items[at] if at is not None and at < len(self._items) else None

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._choose()

    @on(Input.Submitted)
    @work(group="choose", exclusive=True)
    async def _choose(self) -> None:
        item = await self._highlighted()
        if item is None or item.value is None:
            return
        self._say("looking into it…")
        try:
            self.dismiss(await self._check(str(item.value)))
        except UserError as error:
            self._say(f"✗ {error}")

    @work(group="complete", exclusive=True)
    async def action_complete(self) -> None:
        """Complete to the highlighted path; swallow tab otherwise, so that focus stays."""
        item, field = await self._highlighted(), self.query_one(Input)
        if item is not None and item.value is not None:
            field.value = item.label
            field.cursor_position = len(item.label)

    def action_move(self, by: int) -> None:
        move_highlight(self.query_one(OptionList), by)

    def action_cancel(self) -> None:
        self.dismiss(None)
