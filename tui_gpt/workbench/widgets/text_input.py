"""Textual's Input as the workbench uses it everywhere."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.widgets import Input


class TextInput(Input):
    """An Input of one row that does not blink, and leaves keys with alt or ctrl to the screen.

    Terminals send alt+o as a letter with a prefix, and Textual would write the letter.
    """

    def __init__(self, value: str = "", **options: Any) -> None:
        super().__init__(value, compact=True, **options)
        self.cursor_blink = False

    def on_key(self, event: events.Key) -> None:
        if event.key.startswith(("alt+", "ctrl+")):
            event.prevent_default()
