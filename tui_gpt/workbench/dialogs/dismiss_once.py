"""Dialogs that are answered once, however fast a key is doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.await_complete import AwaitComplete

if TYPE_CHECKING:
    from textual.screen import Screen

    _Base = Screen[Any]
else:
    _Base = object  # Textual looks for styles along the first base that is a widget, which must be the dialog's own


class DismissOnce(_Base):
    """Ignore a second answer: Textual 8.2 raises InvalidStateError for one that comes before the screen has gone."""

    _is_answered = False

    def dismiss(self, result: Any = None) -> AwaitComplete:
        if self._is_answered:
            return AwaitComplete.nothing()
        self._is_answered = True
        return super().dismiss(result)
