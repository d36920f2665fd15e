"""Dialogs that are answered once, however fast a key is doubled."""

from __future__ import annotations

from typing import Any

from textual.await_complete import AwaitComplete

from tui_gpt.workbench.terminal.current_size import CurrentSize


class DismissOnce(CurrentSize):
    """Ignore a second answer: Textual 8.2 raises InvalidStateError for one that comes before the screen has gone."""

    is_answered = False

    def dismiss(self, result: Any = None) -> AwaitComplete:
        if self.is_answered:
            return AwaitComplete.nothing()
        self.is_answered = True
        return super().dismiss(result)
