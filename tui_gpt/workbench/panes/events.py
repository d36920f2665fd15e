"""What happened to the run: commands and their answers, evaluations that were best, warnings, how it ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tui_gpt.run.messages import Event
from tui_gpt.workbench.canvas import Row, Span, row
from tui_gpt.workbench.panes.pane import ScrollPane
from tui_gpt.workbench.text import one_line, wrap

_ROLES = {"info": "text", "warning": "warn", "error": "bad"}
_SIGNS = {"info": "·", "warning": "▲", "error": "✗"}


class EventsPane(ScrollPane):
    number, key, title = 8, "events", "Events"
    follow = True

    def __init__(self) -> None:
        super().__init__()
        self._needle = ""

    def filter(self, text: str) -> None:
        self._needle, self.offset_rows = text.lower(), 0
        self.redraw()

    def note(self) -> Row:
        if self._needle:
            return row((f"with “{one_line(self._needle)}”", "accent"))
        feed = self.workbench.feed
        alerts = sum(event.level != "info" for event in feed.events) if feed else 0
        return row((f"▲ {alerts}", "warn")) if alerts else ()

    def content(self, width: int, lines: int) -> Sequence[Sequence[Span]]:
        feed = self.workbench.feed
        if feed is None:
            return [row((line, "dim")) for line in wrap("what happens to the run is told here", width)]
        events = [event for event in feed.events if self._needle in event.message.lower()]
        rows: list[Row] = []
        for event in events[-(lines + 100) :]:
            rows += event_rows(event, width)
        return rows


def event_rows(event: Event, width: int) -> list[Row]:
    """Clock, sign and message, wrapped under itself."""
    role = _ROLES[event.level]
    at = time.strftime("%H:%M:%S", time.localtime(event.time))
    indent = len(at) + 3 if width >= 30 else 2
    sign = _SIGNS[event.level] if event.ok else "✗"
    lines = wrap(event.message.replace("\n", " ¶ "), width - indent, limit=6)
    lead = row((f"{at} ", "dim"), (f"{sign} ", role)) if width >= 30 else row((f"{sign} ", role))
    return [(*lead, (lines[0], role))] + [row((" " * indent, "text"), (line, role)) for line in lines[1:]]
