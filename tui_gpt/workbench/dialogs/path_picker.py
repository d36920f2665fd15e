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

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerError

from tui_gpt.corpora.sources.text_files import TEXT_SUFFIXES
from tui_gpt.errors import UserError, reason
from tui_gpt.safe_text import UNSAFE
from tui_gpt.workbench.dialogs.picker import Item, Picker
from tui_gpt.workbench.drawing.formatting import format_bytes
from tui_gpt.workbench.drawing.sanitizing import one_line

LIMIT = 500


def path_items(text: str, base: Path) -> list[Item]:
    """Return what a path that is being typed can continue to, folders first. Blocking.

    An item's value is its path, or None where it says why there is none. A folder that is typed whole, with its `/`, is
    offered itself.
    """
    head, slash, tail = text.rpartition("/")
    try:
        folder = Path(os.path.abspath(base / Path(head + slash).expanduser()))  # noqa: PTH100  `..` goes, links stay
        names = sorted(os.listdir(folder), key=str.lower)  # noqa: PTH208
    except OSError as error:
        return [Item(text, reason(error), None)]
    except RuntimeError:
        return [Item(text, "unknown user in ~name", None)]
    except ValueError as error:  # a NUL in the path
        return [Item(text, str(error), None)]
    begun = [name for name in names if name.startswith(tail) and (tail.startswith(".") or not name.startswith("."))]
    folders = [name for name in begun if (folder / name).is_dir()]
    files = [name for name in begun if name.lower().endswith(TEXT_SUFFIXES) and name not in folders]
    items = [_item(f"{head}{slash}{name}/", folder / name) for name in folders[:LIMIT]]
    items += [_item(f"{head}{slash}{name}", folder / name) for name in files[: LIMIT - len(items)]]
    if slash and not tail:
        here = f"this folder: {len(files)} text file{'s' * (len(files) != 1)} here"
        items.insert(0, Item(text, here, str(folder)))
    return items


def _item(label: str, path: Path) -> Item:
    """Return the item of a folder or a file; one whose name cannot be typed has no value."""
    if UNSAFE.search(label):
        return Item(label, "cannot be used: rename it, its name holds characters that cannot be typed", None)
    if label.endswith("/"):
        return Item(label, "folder", str(path))
    try:
        return Item(label, format_bytes(path.stat().st_size), str(path))
    except OSError as error:
        return Item(label, reason(error), None)


class PathPicker(Picker):
    """Ask for a path below `base`. The result is what `check` makes of it; what it raises is shown."""

    KEYS = "tab completes · enter chooses · esc cancels"
    NOTHING = "no folder and no text file begins so"
    DEFAULT_CSS = "PathPicker #problem { color: $text-error; display: none; max-height: 3; }"
    BINDINGS = [Binding("tab", "complete", show=False), Binding("shift+tab", "complete", show=False)]

    def __init__(self, base: Path, check: Callable[[str], Awaitable[str]]) -> None:
        super().__init__("A path", [], placeholder=f"in {one_line(str(base))}, or from / or ~/")
        self._base, self._check = base, check
        self._listing: Worker[None] | None = None

    def compose_box(self) -> ComposeResult:
        yield Static(id="problem", markup=False)
        yield from super().compose_box()

    def on_mount(self) -> None:
        self.find("")

    def find(self, text: str) -> None:
        self._say("")
        self._listing = self._list(text)

    @work(group="list", exclusive=True)
    async def _list(self, text: str) -> None:
        self.show_items(await asyncio.to_thread(path_items, text, self._base))

    def _say(self, text: str) -> None:
        problem = self.query_one("#problem", Static)
        problem.display = bool(text)
        problem.update(one_line(text))

    async def _looked_up(self) -> Item | None:
        """Return the highlighted item, once what was typed last has been looked up."""
        if self._listing is not None:
            with suppress(WorkerError):
                await self._listing.wait()
        return self.highlighted if self.highlighted and self.highlighted.value is not None else None

    def choose(self) -> None:
        self._choose()

    @work(group="choose", exclusive=True)
    async def _choose(self) -> None:
        if (item := await self._looked_up()) is None:
            return
        self._say("looking into it…")
        try:
            self.dismiss(await self._check(str(item.value)))
        except UserError as error:
            self._say(f"✗ {error}")

    @work(group="complete", exclusive=True)
    async def action_complete(self) -> None:
        """Complete to the highlighted path; swallow tab otherwise, so that focus stays."""
        if (item := await self._looked_up()) is not None:
            field = self.query_one(Input)
            field.value = item.label
            field.cursor_position = len(item.label)
