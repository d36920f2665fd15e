"""Screens that lay themselves out for the terminal's current size only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import events

if TYPE_CHECKING:
    from textual.screen import Screen

    _Base = Screen[Any]
else:
    _Base = object  # Textual looks for styles along the first base that is a widget, which must be the screen's own


class CurrentSize(_Base):
    """Ignore the sizes that the terminal had before.

    A screen of Textual 8.2 posts itself a Resize with each layout of another size. Where two sizes are in its queue,
    as while a window is dragged, it lays itself out for one and the other in turn for ever, on a whole core.
    """

    async def _on_resize(self, event: events.Resize) -> None:
        if event.size != self.app.size:
            event.prevent_default()
