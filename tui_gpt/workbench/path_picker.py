"""Choose a text file or a folder of them by its path: completed as it is typed, refused where it stands.

Paths begin at the workspace unless they begin with `/`, `~`, `./` or `../`; only folders and files that are text by
their name are offered. What is chosen is looked into by a child process before it is taken, and what is wrong with it
is said under what was typed.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.binding import Binding

from tui_gpt.corpora.sources.text_files import TEXT_SUFFIXES
from tui_gpt.errors import UserError, reason
from tui_gpt.workbench.dialogs import Item, Picker
from tui_gpt.workbench.text import size

LIMIT = 500


def absolute(text: str, base: Path) -> Path:
    """The path that `text` means. Raises RuntimeError for the home of nobody."""
    return Path(os.path.abspath(base / Path(text).expanduser()))  # noqa: PTH100  `..` goes, links stay


def path_items(text: str, base: Path) -> list[Item]:
    """What a path that is being typed can go on to, folders first; its value is the path, None where it says why not.

    A folder that is typed whole, with its `/`, is offered itself.
    """
    head, slash, tail = text.rpartition("/")
    try:
        folder = absolute(head + slash, base)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name.lower())
    except OSError as error:
        return [Item(text, reason(error), None)]
    except (RuntimeError, ValueError):
        return [Item(text, "there is no such home", None)]
    folders: list[Item] = []
    files: list[Item] = []
    for entry in entries:
        if not entry.name.startswith(tail) or (entry.name.startswith(".") and not tail.startswith(".")):
            continue
        label = f"{head}{slash}{entry.name}"
        if entry.is_dir():
            folders.append(Item(f"{label}/", "folder", entry.path))
        elif entry.name.lower().endswith(TEXT_SUFFIXES):
            files.append(Item(label, size(_size(entry)), entry.path))
    found = [*folders, *files][:LIMIT]
    if slash and not tail:
        texts = f"{len(files)} text file{'s' * (len(files) != 1)} here"
        found.insert(0, Item(text, f"this folder: {texts}", str(folder)))
    return found


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0


class PathPicker(Picker):
    """A picker of paths. `check` returns the corpus that a path means, and raises UserError for what is none."""

    BINDINGS = [Binding("right", "complete_at_end", show=False, priority=True)]

    def __init__(self, base: Path, check: Callable[[str], Awaitable[str]]) -> None:
        super().__init__(
            "A path",
            path_items("", base),
            hint="tab completes · enter chooses · esc leaves",
            placeholder=f"in {base}, or from / or ~/",
        )
        self._base, self._check = base, check
        self._checking = False

    def fitting(self, text: str) -> list[Item]:
        return path_items(text, self._base)

    def choose(self, item: Item) -> None:
        if item.value is not None and not self._checking:
            self._checking = True
            self.run_worker(self._look_into(str(item.value)), group="check", exclusive=True)

    async def _look_into(self, path: str) -> None:
        try:
            self.dismiss(await self._check(path))
        except UserError as error:
            self._problem = str(error)
            self._list.redraw()
        finally:
            self._checking = False

    def action_complete(self) -> None:
        if self._found and self._found[self._cursor].value is not None:
            self._input.value = self._found[self._cursor].label
            self._input.cursor_position = len(self._input.value)

    def action_complete_at_end(self) -> None:
        """The right arrow: moves where there is something to move over, and completes at the end."""
        if self._input.cursor_position < len(self._input.value):
            self._input.action_cursor_right()
        else:
            self.action_complete()
