"""What happened to the run, newest first: commands and their answers, best evaluations, warnings, how it ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from textual.content import Content

from tui_gpt.run.messages import Event
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.pane import TextPane, hanging

SHOWN = 60  # the newest; the events viewer has all
SIGNS = {  # the sign, its style in Textual and in Rich
    "info": ("", "", ""),
    "warning": ("▲ ", "$text-warning", "yellow"),
    "error": ("✗ ", "$text-error", "red"),
}


class EventsPane(TextPane):
    """The newest events. `needle`: show only those that hold it."""

    NAME = "events"
    needle = ""

    def refresh_data(self) -> None:
        super().refresh_data()
        monitor = self.session.monitor
        alerts = sum(event.level != "info" for event in monitor.events) if monitor else 0
        count = (f" ▲ {alerts}" if alerts else "", "$text-warning")
        found = (f" with “{one_line(self.needle)}”" if self.needle else "", "$text-accent")
        self.set_title(Content.assemble("Events", count, found))

    def lines(self, width: int) -> Sequence[Content]:
        monitor = self.session.monitor
        if monitor is None or not monitor.is_read:
            return []
        found = [event for event in reversed(monitor.events) if self.needle.lower() in event.message.lower()]
        if not found:
            return [Content.styled("nothing matches" if self.needle else "nothing yet", "$foreground-muted")]
        return [line for event in found[:SHOWN] for line in _pane_lines(event, width)]


def _level(event: Event) -> str:
    return "error" if event.level == "info" and not event.ok else event.level


def _pane_lines(event: Event, width: int) -> list[Content]:
    """Return clock, sign and message, wrapped under itself."""
    sign, style, _ = SIGNS[_level(event)]
    clock = time.strftime("%H:%M ", time.localtime(event.time))
    mark = Content.assemble((clock, "$foreground-muted"), (sign, style))
    return hanging(mark, one_line(event.message), width, style, limit=8)


def viewer_lines(events: Sequence[Event]) -> list[Text]:
    """Return every event for the viewer, oldest first, with its date and step."""
    lines = []
    for event in events:
        sign, _, style = SIGNS[_level(event)]
        step = "" if event.step is None else f"step {event.step:,}"
        at = time.strftime("%d %b %H:%M:%S", time.localtime(event.time))
        lines.append(Text.assemble((f"{at}  {step:<13}", "dim"), (f"{sign or '· '}{one_line(event.message)}", style)))
    return lines or [Text("nothing yet", "dim")]
