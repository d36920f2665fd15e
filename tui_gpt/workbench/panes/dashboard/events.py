"""What happened to the run, newest first: commands and their answers, best evaluations, warnings, how it ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from textual.content import Content

from tui_gpt.run.messages import Event
from tui_gpt.workbench.drawing.sanitizing import clean, one_line
from tui_gpt.workbench.panes.pane import TextPane, hanging

SHOWN = 60  # the newest; the events viewer has all
SIGNS = {"info": ("", ""), "warning": ("▲ ", "$text-warning"), "error": ("✗ ", "$text-error")}


class EventsPane(TextPane):
    """The newest events. `needle`: show only those that hold it."""

    NAME = "events"
    needle = ""

    def refresh_data(self) -> None:
        super().refresh_data()
        monitor = self.session.monitor
        alerts = sum(event.level != "info" for event in monitor.events) if monitor else 0
        count = Content.styled(f" ▲ {alerts}", "$text-warning") if alerts else Content()
        found = Content.styled(f" with “{one_line(self.needle)}”", "$text-accent") if self.needle else Content()
        self.set_title(Content.assemble("Events", count, found))

    def lines(self, width: int) -> Sequence[Content]:
        monitor = self.session.monitor
        if monitor is None or not monitor.is_read:
            return []
        found = [event for event in reversed(monitor.events) if self.needle.lower() in event.message.lower()]
        if not found:
            return [Content.styled("nothing matches" if self.needle else "nothing yet", "$foreground-muted")]
        return [line for event in found[:SHOWN] for line in event_lines(event, width)]


def event_lines(event: Event, width: int) -> list[Content]:
    """Return clock, sign and message, wrapped under itself."""
    sign, style = SIGNS[event.level if event.ok or event.level != "info" else "error"]
    clock = time.strftime("%H:%M", time.localtime(event.time))
    mark = Content.assemble((f"{clock} ", "$foreground-muted"), (sign, style))
    return hanging(mark, one_line(event.message), width, style, limit=8)


def viewer_lines(events: Sequence[Event]) -> list[Text]:
    """Return every event for the viewer, oldest first, with its date and step."""
    styles = {"info": "", "warning": "yellow", "error": "red"}
    lines = []
    for event in events:
        at = time.strftime("%d %b %H:%M:%S", time.localtime(event.time))
        step = "" if event.step is None else f"step {event.step:,}"
        text = clean(event.message).replace("\n", " ¶ ")
        sign = "✗" if not event.ok else SIGNS[event.level][0].strip() or "·"
        lines.append(Text.assemble((f"{at}  {step:<13}", "dim"), (f"{sign} {text}", styles[event.level])))
    return lines or [Text("nothing yet", "dim")]
