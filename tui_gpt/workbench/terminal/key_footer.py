"""The keys at the foot of a screen."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

ALWAYS = ("help", "quit")  # these lead to all the others


class KeyFooter(Footer):
    """Textual's footer with as many keys as fit, where Textual's own scrolls; help and quit are never left out."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False, compact=True)

    def compose(self) -> ComposeResult:
        keys = [key for key in super().compose() if isinstance(key, FooterKey)]
        room = self.app.size.width - sum(_width(key) for key in keys if key.action in ALWAYS)
        for key in keys:
            if key.action not in ALWAYS:
                room -= _width(key)
            if key.action in ALWAYS or room >= 0:
                yield key

    def on_resize(self, event: events.Resize) -> None:
        if self.children:
            self.call_after_refresh(self.recompose)


def _width(key: FooterKey) -> int:
    """Return the cells that a compact key takes, with the one after it."""
    return len(key.key_display) + len(key.description) + 2
