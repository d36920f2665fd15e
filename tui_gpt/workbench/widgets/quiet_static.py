"""A Static that is updated only where its content changed: data arrives twice a second and is mostly as before."""

from __future__ import annotations

from typing import Any

from textual.content import Content
from textual.widgets import Static


class QuietStatic(Static):
    """Shows Content; `text` is what it shows, for the clipboard."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, **options)
        self.auto_links = False  # keys that can be clicked look like keys
        self._shown = Content()

    def show(self, content: Content) -> None:
        """Show `content`, and lay out anew only where its size may have changed."""
        before = self._shown
        if not content.is_same(before):
            self._shown = content
            old, new = ([line.cell_length for line in each.split()] for each in (before, content))
            is_as_large = old == new and max(new, default=0) <= self.size.width
            self.update(content, layout=not is_as_large)

    @property
    def text(self) -> str:
        return self._shown.plain
