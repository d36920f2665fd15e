"""What was asked of the run and not yet answered.

A command counts as done when its ack stands in events.jsonl, not before: until then the status line says "pausing…".
The clock beside it is the watchdog: past `PATIENCE_SECONDS` it says how long the trainer has been silent and which key
goes further. Going further (SIGTERM, then SIGKILL) is the user's decision: saving a large checkpoint takes its time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui_gpt.run.messages import FINAL_STATES, Command, CommandName, Event

if TYPE_CHECKING:
    from tui_gpt.workbench.feed import RunFeed

PATIENCE_SECONDS = 10.0

WORDS: dict[CommandName, str] = {
    "pause": "pausing…",
    "resume": "resuming…",
    "checkpoint": "saving a checkpoint…",
    "sample": "sampling…",
    "stop": "stopping…",
}


@dataclass
class Ask:
    """A command on its way."""

    id: str
    name: CommandName
    run: str
    sent: float = field(default_factory=time.monotonic)

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.sent


class Commander:
    """Sends commands to the shown run and remembers them until they are answered."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []

    def send(self, feed: RunFeed, name: CommandName, *, now: bool = False) -> Ask:
        """Raises RunError when the run is not live."""
        from tui_gpt.run.command_files import send

        command = Command(name=name, sender="workbench", now=now)
        ask = Ask(send(feed.folder, command), name, feed.folder.id)
        self.asks.append(ask)
        return ask

    def settle(self, feed: RunFeed) -> list[Event]:
        """Drop what was answered, or what nobody will answer; the answers that came."""
        answers = [feed.acks[ask.id] for ask in self.asks if ask.id in feed.acks]
        over = feed.state in FINAL_STATES or feed.state in ("crashed", "gone")
        self.asks = [ask for ask in self.asks if ask.run == feed.folder.id and ask.id not in feed.acks and not over]
        return answers

    def waiting(self, name: CommandName | None = None) -> Ask | None:
        """The oldest ask on its way, of this name where one is given."""
        return next((ask for ask in self.asks if name in (None, ask.name)), None)

    @property
    def state_word(self) -> str:
        """What stands in the state's place until the run has answered: `pausing…`, or nothing."""
        return next((WORDS[ask.name] for ask in self.asks if ask.name in ("pause", "resume", "stop")), "")

    @property
    def side_words(self) -> list[str]:
        """What is under way beside the state: `saving a checkpoint…`."""
        return [WORDS[ask.name] for ask in self.asks if ask.name in ("checkpoint", "sample")]
